"""The door of the zoo: an entry and its file -> an encoder, with an account of every tensor.

Two forms of one encoder: `pooled` (timm's model without classifier: images -> vectors, by timm's own pooling: a mean
over the last map; a ViT's class token, where it was trained with one) and `pyramid` (the feature maps that a U-Net
decodes; of nets of one scale, such as ViT, the four that DPT does). The account is always taken on the pooled form, the
whole encoder. Every tensor of the file is loaded, dropped by its naming, or an error that prints both sides; so is
every tensor of the encoder that the file lacks, but for batch norms' counters, which change nothing here.
"""

import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import timm
import torch
from segmentation_models_pytorch.encoders import get_encoder
from segmentation_models_pytorch.encoders.timm_vit import TimmViTEncoder
from timm.models import is_model_in_modules
from torch import nn

from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.models.seeded import seeded
from benchmark.recipe import Initialization
from benchmark.text import first_few
from benchmark.zoo import wide  # noqa: F401 - registers its architectures
from benchmark.zoo.architectures import WIDE
from benchmark.zoo.catalog import ZooEntry
from benchmark.zoo.naming import NAMINGS, rename
from benchmark.zoo.positions import interpolate_as
from benchmark.zoo.unpack import Arrays, unpack

Form = Literal["pooled", "pyramid"]
COUNTER = "num_batches_tracked"
# what smp and timm raise for a net that gives no maps, or takes no such option
BUILD_ERRORS = (RuntimeError, ValueError, AssertionError, AttributeError, TypeError, LookupError)
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
MAX_WEIGHT = 1.8e19  # the square of a larger one is infinite in float32
STRIDE = 32  # a U-Net sees images padded to a multiple of this (models.networks.Segmenter)


class UnusableWeights(BenchmarkError):
    """Tensors of the right names that no network can compute with."""


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What became of every tensor of a weight file and of the encoder.

    `num_loaded` tensors of the encoder have the file's values; `dropped` names the file's tensors that the naming leaves
    out (heads, momentum encoders), `other_contents` what else the file held (optimizer, epoch), `random` the encoder's
    tensors that keep random values. `loaded_fraction` is the part of the encoder's parameters that came from the file,
    between 0 and 1.
    """

    num_loaded: int = 0
    dropped: list[str] = field(default_factory=list)
    other_contents: list[str] = field(default_factory=list)
    random: list[str] = field(default_factory=list)
    loaded_fraction: float = 0.0


def build_encoder(
    architecture: str,
    form: Form,
    seed: int,
    image_size: int | None = None,
    *,
    stretched: bool = False,
    initialization: Initialization = "torchvision",
) -> nn.Module:
    """Returns a fresh encoder in one of its forms, its first weights drawn from `seed`.

    `image_size` matters to nets of a fixed input size (ViT, Swin), which are made for it; `stretched`, they are made for
    the size that is their own, and stretch their positions to the images (TypeError or BenchmarkError where timm cannot).
    `initialization`: "torchvision" draws ResNets as torchvision does, where timm starts the last norm of each block at
    zero; all other nets are drawn as timm draws them.
    Raises BenchmarkError where the architecture gives no feature maps that a U-Net or DPT can decode.
    """
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


def _one_scale(architecture: str, sized: dict[str, Any], reason: str) -> nn.Module:
    """A net whose maps all have one scale, in the form that DPT decodes: four maps from a quarter of the blocks each.

    DPT (Ranftl et al. 2021) brings them to 1/4, 1/8, 1/16 and 1/32 of the side, which wants patches of a power of two.
    """
    unfit = f"{architecture} gives no feature maps that a U-Net can decode ({reason})"
    try:
        encoder = TimmViTEncoder(architecture, pretrained=False, in_channels=3, depth=4, num_classes=0, **sized)
    except BUILD_ERRORS as error:
        raise BenchmarkError(unfit) from error
    strides = set(encoder.output_strides)
    if strides - {4, 8, 16, 32} or len(strides) > 1:
        told = ", ".join(map(str, sorted(strides)))
        raise BenchmarkError(f"{unfit}, nor that DPT can: its patches are {told} pixels wide, wanted 4, 8, 16 or 32")
    return encoder


def load_encoder(
    entry: ZooEntry,
    path: Path | None,
    form: Form,
    seed: int,
    image_size: int | None = None,
    initialization: Initialization = "torchvision",
) -> tuple[nn.Module, LoadReport]:
    """The entry's encoder in the form asked for, and the account. `path` is its file (None: fresh weights).

    Raises BenchmarkError for a file that is no such container, or whose tensors are not exactly the encoder's.
    """
    if path is None:
        fresh = build_encoder(entry.architecture, form, seed, image_size, initialization=initialization)
        return fresh, LoadReport(random=["all of it"])
    tensors, report = read_encoder_tensors(entry, path)
    return build_with_tensors(entry, tensors, report, form, seed, image_size, initialization), report


def build_with_tensors(
    entry: ZooEntry,
    tensors: dict[str, torch.Tensor],
    report: LoadReport,
    form: Form,
    seed: int,
    image_size: int | None = None,
    initialization: Initialization = "torchvision",
) -> nn.Module:
    """The entry's encoder in the form asked for, with the tensors that `encoder_tensors` found.

    A ViT's positions are kept as the file has them; where images are of another size, each pass interpolates them by the
    entry's rule. Raises BenchmarkError where they cannot be.
    """
    encoder = build_encoder(entry.architecture, form, seed, image_size, initialization=initialization)
    own = encoder.state_dict()
    names = [*tensors, *report.random]
    positions = {name: name for name in names} if form == "pooled" else pyramid_names(own, names)
    placed = {place: tensors[name] for name, place in positions.items() if name in tensors}
    if [place for place, tensor in placed.items() if own[place].shape != tensor.shape] == [positions.get("pos_embed")]:
        with suppress(TypeError, BenchmarkError):  # not every net can: what does not fit is told below
            encoder = build_encoder(entry.architecture, form, seed, stretched=True)
            if entry.positions is not None:
                interpolate_as(encoder if form == "pooled" else encoder.get_submodule("model"), entry.positions)
    _fill(encoder, placed)
    return encoder


def read_encoder_tensors(entry: ZooEntry, path: Path) -> tuple[dict[str, torch.Tensor], LoadReport]:
    """Returns the file's tensors under the encoder's names, and the account of them; see `fitted`."""
    return match_tensors(entry, path, unpack(path, entry.container, NAMINGS[entry.naming].inside, entry.member))


def match_tensors(entry: ZooEntry, path: Path, arrays: Arrays) -> tuple[dict[str, torch.Tensor], LoadReport]:
    """Returns a file's arrays under the encoder's names, and the account of them.

    Raises UnfitWeights where an encoder's tensor is not dense, real, finite and of floating point (counters may be
    whole numbers), and BenchmarkError where the names and shapes are not exactly the encoder's.
    """
    rule = NAMINGS[entry.naming]
    with torch.device("meta"):
        whole = build_encoder(entry.architecture, "pooled", 0)
    wanted = dict(whole.state_dict())
    renamed = rename(list(arrays.tensors), entry.naming, classifier_names(whole), wanted)
    unfit = [
        f"{source} is {what}"
        for name in renamed.names
        if name in wanted
        for source in renamed.parts.get(name, (renamed.names[name],))
        if (what := arrays.unfit.get(source) or _unfit(arrays.tensors[source], wanted[name]))
    ]
    if unfit:
        raise UnusableWeights(
            f"{entry.name}: {path.name}: {first_few(unfit)}: an encoder's weights are dense, real, finite floats"
        )
    tensors = {name: arrays.tensors[source] for name, source in renamed.names.items()}
    tensors |= {name: _one([arrays.tensors[part] for part in parts]) for name, parts in renamed.parts.items()}
    if rule.haiku:
        tensors = {name: _from_haiku(tensor, renamed.names[name]) for name, tensor in tensors.items()}
    random = [
        n for n in wanted if n not in tensors and not n.endswith(COUNTER) and n.startswith(entry.fresh or ("\0",))
    ]
    missing = [n for n in wanted if n not in tensors and not n.endswith(COUNTER) and n not in set(random)]
    stray = [n for n in tensors if n not in wanted]
    misshapen = [n for n in tensors if n in wanted and tensors[n].shape != wanted[n].shape]
    if missing or stray or misshapen:
        raise BenchmarkError(*_both_sides(entry, path, tensors, renamed.names, wanted, missing, stray, misshapen))
    sizes = {name: parameter.numel() for name, parameter in whole.named_parameters()}
    fraction = sum(size for name, size in sizes.items() if name in tensors) / sum(sizes.values())
    report = LoadReport(
        num_loaded=len(tensors),
        dropped=renamed.dropped,
        other_contents=arrays.other_contents,
        random=random,
        loaded_fraction=fraction,
    )
    return tensors, report


def _unfit(tensor: torch.Tensor, wanted: torch.Tensor) -> str:
    """Returns what keeps a dense tensor from being one of an encoder's, or nothing."""
    if tensor.dtype not in FLOATS:
        usable = not wanted.is_floating_point() and not tensor.is_complex()
        return "" if usable else f"of type {str(tensor.dtype).removeprefix('torch.')}"
    if not tensor.numel():
        return ""
    lowest, highest = map(float, tensor.aminmax())
    if math.isnan(lowest) or math.isnan(highest):
        return "NaN"
    largest = max(-lowest, highest)
    if math.isinf(largest):
        return "infinite"
    return f"as large as {largest:.0e}" if largest > MAX_WEIGHT else ""


def _one(parts: list[torch.Tensor]) -> torch.Tensor:
    """Parts one below the other; the first alone, which will not fit, where they are of several shapes or types."""
    same = len({(part.shape, part.dtype) for part in parts}) == 1 and parts[0].ndim > 0
    return torch.cat(parts) if same else parts[0]


def _from_haiku(tensor: torch.Tensor, source: str) -> torch.Tensor:
    """A kernel, height x width x in x out, as torch has it; a norm's 1 x 1 x 1 x channels as a row."""
    if tensor.ndim != 4:
        return tensor
    if source.endswith((".w", "/kernel")):
        return tensor.permute(3, 2, 0, 1).contiguous()
    return tensor.reshape(-1) if tensor.numel() == tensor.shape[-1] else tensor


def classifier_names(model: nn.Module) -> tuple[str, ...]:
    """Timm's names of a model's classifier modules."""
    config: Any = getattr(model, "pretrained_cfg", None) or {}
    named = config.get("classifier") or ()
    return (named,) if isinstance(named, str) else tuple(named)


def pyramid_names(pyramid: Iterable[str], whole: Iterable[str]) -> dict[str, str]:
    """Where the whole encoder's tensors lie in its pyramid form: whole name -> pyramid name.

    timm wraps a model's stages under `model.` and joins nested names by underscores (`blocks.0.0` becomes
    `blocks_0.0`). What the pyramid leaves out (the last pooling's norm, a final convolution) has no place there. Raises
    BenchmarkError where a tensor of the pyramid would stay without its weights.
    """
    names = set(pyramid)
    positions = {}
    for name in whole:
        parts = name.split(".")
        spelled = (f"model.{'_'.join(parts[:n])}.{'.'.join(parts[n:])}" for n in range(1, len(parts)))
        inner = f"model.model.{name}"  # timm's FeatureGetterNet keeps the model whole
        if place := next((s for s in (*spelled, f"model.{name}", inner) if s in names), None):
            positions[name] = place
    unfilled = [n for n in names - set(positions.values()) if not n.endswith(COUNTER)]
    if unfilled:
        raise BenchmarkError(
            f"the U-Net's encoder has tensors that the weights do not name: {', '.join(sorted(unfilled)[:5])}"
        )
    return positions


def _fill(encoder: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Copy tensors into the encoder's own; the names have been accounted for."""
    own = encoder.state_dict()
    if resized := [name for name, tensor in tensors.items() if own[name].shape != tensor.shape]:
        raise BenchmarkError(
            f"{resized[0]} is {tuple(tensors[resized[0]].shape)} in the file and {tuple(own[resized[0]].shape)} in a net "
            f"made for this image size: these weights work at the size they were trained at alone (--set image_size=…)"
        )
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)


def _both_sides(
    entry: ZooEntry,
    path: Path,
    tensors: dict[str, torch.Tensor],
    names: dict[str, str],
    wanted: dict[str, torch.Tensor],
    missing: list[str],
    stray: list[str],
    misshapen: list[str],
) -> list[str]:
    lines = [f" - {n} {tuple(wanted[n].shape)}: the file lacks it" for n in missing]
    lines += [f" + {names[n]} {tuple(tensors[n].shape)}: {entry.architecture} has no such tensor" for n in stray]
    lines += [
        f" ≠ {names[n]}: {tuple(tensors[n].shape)} in the file, {tuple(wanted[n].shape)} in {entry.architecture}"
        for n in misshapen
    ]
    head = (
        f"{entry.name}: {path.name} does not hold exactly a {entry.architecture} in naming {entry.naming!r}: "
        f"{len(missing)} missing, {len(stray)} stray, {len(misshapen)} of another shape, of {len(wanted)} wanted"
    )
    shown = lines[:12] + ([f" … and {len(lines) - 12} more"] if len(lines) > 12 else [])
    return [head, *shown]
