"""An entry of the zoo and its weight file -> the encoder, and a report on every tensor."""

from contextlib import suppress
from pathlib import Path

import torch
from torch import nn

from benchmark.errors import BenchmarkError
from benchmark.recipe import Initialization
from benchmark.zoo.catalog import ZooEntry
from benchmark.zoo.forms import Form, build_encoder, pyramid_names
from benchmark.zoo.matching import LoadReport, read_encoder_tensors
from benchmark.zoo.positions import interpolate_as


def load_encoder(
    entry: ZooEntry,
    path: Path | None,
    form: Form,
    seed: int,
    image_size: int | None = None,
    initialization: Initialization = "torchvision",
) -> tuple[nn.Module, LoadReport]:
    """Returns the entry's encoder in the given form, and the report. `path` is its weight file; None means random weights.

    Raises BenchmarkError for a file that is no such container, or whose tensors are not exactly the encoder's.
    """
    if path is None:
        encoder = build_encoder(entry.architecture, form, seed, image_size, initialization=initialization)
        return encoder, LoadReport(random=["all of it"])
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
    """Returns the entry's encoder in the given form, with the tensors that `read_encoder_tensors` returned.

    A ViT's positions stay as the file has them; for images of another size, each forward pass interpolates them by the
    entry's rule. Raises BenchmarkError where they cannot be.
    """
    encoder = build_encoder(entry.architecture, form, seed, image_size, initialization=initialization)
    own = encoder.state_dict()
    names = [*tensors, *report.random]
    in_form = {name: name for name in names} if form == "pooled" else pyramid_names(own, names)
    values = {in_form[name]: tensor for name, tensor in tensors.items() if name in in_form}
    if [name for name, tensor in values.items() if own[name].shape != tensor.shape] == [in_form.get("pos_embed")]:
        with suppress(TypeError, BenchmarkError):  # not every network can: `_fill` reports what does not fit
            encoder = build_encoder(entry.architecture, form, seed, stretched=True)
            if entry.positions is not None:
                interpolate_as(encoder if form == "pooled" else encoder.get_submodule("model"), entry.positions)
    _fill(encoder, values)
    return encoder


def _fill(encoder: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Copies values into the encoder's tensors of these names. Raises BenchmarkError where a shape is another."""
    own = encoder.state_dict()
    if resized := [name for name, tensor in tensors.items() if own[name].shape != tensor.shape]:
        raise BenchmarkError(
            f"{resized[0]} is {tuple(tensors[resized[0]].shape)} in the file and {tuple(own[resized[0]].shape)} in a network "
            f"built for this image size: these weights work only at the size they were trained at (--set image_size=…)"
        )
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)
