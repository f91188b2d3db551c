"""Encoders by architecture, in the two forms that tasks need, before any weights are loaded into them.

`pooled`: the network without classifier, images -> vectors, by timm's own pooling (a mean over the last map; a ViT's class
token, where it was trained with one). `pyramid`: the feature maps that a U-Net decodes; of networks whose maps all have one
scale, such as ViT, the four maps that DPT decodes.
"""

from collections.abc import Iterable
from typing import Any, Literal

import timm
from segmentation_models_pytorch.encoders import get_encoder
from segmentation_models_pytorch.encoders.timm_vit import TimmViTEncoder
from timm.models import is_model_in_modules
from torch import nn

from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.models.seeded import seeded
from benchmark.recipe import Initialization
from benchmark.zoo import wide  # noqa: F401 - registers its architectures
from benchmark.zoo.architectures import WIDE
from benchmark.zoo.custom import build_custom, custom_pyramid

Form = Literal["pooled", "pyramid"]
COUNTER = "num_batches_tracked"  # of batch norms: it changes nothing here, and files may lack it
# what smp and timm raise for a network that gives no maps, or takes no such option
BUILD_ERRORS = (RuntimeError, ValueError, AssertionError, AttributeError, TypeError, LookupError)
STRIDE = 32  # a U-Net sees images padded to a multiple of this (models.networks.Segmenter)


def build_encoder(
    architecture: str,
    form: Form,
    seed: int,
    image_size: int | None = None,
    *,
    stretched: bool = False,
    initialization: Initialization = "torchvision",
) -> nn.Module:
    """Returns an encoder with random weights, drawn from `seed`, in one of its two forms.

    `image_size` (pixels) matters to networks of a fixed input size (ViT, Swin), which are built for it; with `stretched`
    they are built for their own size and interpolate their positions to that of the images (raises TypeError or
    BenchmarkError where timm cannot). `initialization`: "torchvision" draws ResNets as torchvision does, where timm starts
    the last norm of each block at zero; all others are drawn as timm, or the package that has them, draws them.
    Raises BenchmarkError where nobody has the architecture, or it gives no feature maps that a U-Net or DPT can decode.
    """
    if not timm.is_model(architecture):
        with seeded(seed):
            network = build_custom(architecture, image_size)
        if network is not None:
            return network if form == "pooled" else custom_pyramid(architecture, network)
    if not timm.is_model(architecture):
        raise BenchmarkError(
            f"timm has no architecture {architecture!r}: {did_you_mean(architecture, timm.list_models())}"
        )
    config = timm.get_pretrained_cfg(architecture)
    fixed = config is not None and config.fixed_input_size and image_size is not None
    options: dict[str, Any] = {}
    if stretched:
        options = {"dynamic_img_size": True}
    elif fixed and image_size:
        options = {"img_size": image_size if form == "pooled" else -(-image_size // STRIDE) * STRIDE}
    if initialization == "torchvision" and (architecture in WIDE or is_model_in_modules(architecture, ["resnet"])):
        options["zero_init_last"] = False
    with seeded(seed):
        if form == "pooled":
            return timm.create_model(architecture, pretrained=False, num_classes=0, **options)
        try:
            encoder: nn.Module = get_encoder(f"tu-{architecture}", in_channels=3, depth=5, weights=None, **options)
        except BUILD_ERRORS as error:
            return _one_scale(architecture, options, " ".join(str(error).split())[:120])
        return encoder


def _one_scale(architecture: str, size_options: dict[str, Any], reason: str) -> nn.Module:
    """Returns a network whose maps all have one scale in the form that DPT decodes: four maps, after each quarter of the
    blocks.

    DPT (Ranftl et al. 2021) brings them to 1/4, 1/8, 1/16 and 1/32 of the side, which wants patches of a power of two.
    """
    no_maps = f"{architecture} gives no feature maps that a U-Net can decode ({reason})"
    try:
        encoder = TimmViTEncoder(architecture, pretrained=False, in_channels=3, depth=4, num_classes=0, **size_options)
    except BUILD_ERRORS as error:
        raise BenchmarkError(no_maps) from error
    strides = set(encoder.output_strides)
    if strides - {4, 8, 16, 32} or len(strides) > 1:
        raise BenchmarkError(
            f"{no_maps}, nor that DPT can: its patches are "
            f"{', '.join(map(str, sorted(strides)))} pixels wide, wanted 4, 8, 16 or 32"
        )
    return encoder


def classifier_names(model: nn.Module) -> tuple[str, ...]:
    """Returns timm's names of a model's classifier modules; none for a network that is not timm's."""
    config: Any = getattr(model, "pretrained_cfg", None) or {}
    named = config.get("classifier") or ()
    return (named,) if isinstance(named, str) else tuple(named)


def pyramid_names(pyramid: Iterable[str], pooled: Iterable[str]) -> dict[str, str]:
    """Returns the names of the pooled form's tensors in the pyramid form: pooled name -> pyramid name.

    timm wraps a model's stages under `model.` and joins nested names by underscores (`blocks.0.0` becomes
    `blocks_0.0`). What the pyramid leaves out (the last pooling's norm, a final convolution) is not in the result. Raises
    BenchmarkError where a tensor of the pyramid would stay without its weights.
    """
    names = set(pyramid)
    mapping = {}
    for name in pooled:
        parts = name.split(".")
        candidates = (f"model.{'_'.join(parts[:n])}.{'.'.join(parts[n:])}" for n in range(1, len(parts)))
        inner = f"model.model.{name}"  # timm's FeatureGetterNet keeps the model in one piece
        if pyramid_name := next((s for s in (*candidates, f"model.{name}", inner) if s in names), None):
            mapping[name] = pyramid_name
    unfilled = [n for n in names - set(mapping.values()) if not n.endswith(COUNTER)]
    if unfilled:
        raise BenchmarkError(
            f"the U-Net's encoder has tensors that the weights do not name: {', '.join(sorted(unfilled)[:5])}"
        )
    return mapping
