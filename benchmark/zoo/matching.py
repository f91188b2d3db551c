"""A weight file's tensors -> an encoder's, with a report on every one of them.

Every tensor of the file is loaded, dropped by its naming, or an error that prints both sides; so is every tensor of the
encoder that the file lacks, but for batch norms' counters. The comparison is always with the pooled form, the complete
encoder.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

import torch

from benchmark.errors import BenchmarkError
from benchmark.text import first_few
from benchmark.zoo.catalog import ZooEntry
from benchmark.zoo.forms import COUNTER, build_encoder, classifier_names
from benchmark.zoo.naming import NAMINGS, rename
from benchmark.zoo.unpack import Arrays, unpack

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
MAX_WEIGHT = 1.8e19  # the square of a larger one is infinite in float32


class UnusableWeights(BenchmarkError):
    """A file holds tensors of the right names that no network can compute with."""


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


def read_encoder_tensors(entry: ZooEntry, path: Path) -> tuple[dict[str, torch.Tensor], LoadReport]:
    """Reads a weight file and returns what `match_tensors` does."""
    return match_tensors(entry, path, unpack(path, entry.container, NAMINGS[entry.naming].inside, entry.member))


def match_tensors(entry: ZooEntry, path: Path, arrays: Arrays) -> tuple[dict[str, torch.Tensor], LoadReport]:
    """Returns a file's arrays under the encoder's names, and the report on all of them.

    Raises UnfitWeights where an encoder's tensor is not dense, real, finite and of floating point (counters may be
    whole numbers), and BenchmarkError where the names and shapes are not exactly the encoder's.
    """
    rule = NAMINGS[entry.naming]
    with torch.device("meta"):
        encoder = build_encoder(entry.architecture, "pooled", 0)
    wanted = dict(encoder.state_dict())
    renamed = rename(list(arrays.tensors), entry.naming, classifier_names(encoder), wanted)
    unusable = [
        f"{source} is {reason}"
        for name in renamed.names
        if name in wanted
        for source in renamed.parts.get(name, (renamed.names[name],))
        if (reason := arrays.not_dense.get(source) or _unusable(arrays.tensors[source], wanted[name]))
    ]
    if unusable:
        raise UnusableWeights(
            f"{entry.name}: {path.name}: {first_few(unusable)}: an encoder's weights are dense, real, finite floats"
        )
    tensors = {name: arrays.tensors[source] for name, source in renamed.names.items()}
    tensors |= {name: _stacked([arrays.tensors[part] for part in parts]) for name, parts in renamed.parts.items()}
    if rule.haiku:
        tensors = {name: _from_haiku(tensor, renamed.names[name]) for name, tensor in tensors.items()}
    random = [
        n for n in wanted if n not in tensors and not n.endswith(COUNTER) and n.startswith(entry.fresh or ("\0",))
    ]
    missing = [n for n in wanted if n not in tensors and not n.endswith(COUNTER) and n not in random]
    unexpected = [n for n in tensors if n not in wanted]
    misshaped = [n for n in tensors if n in wanted and tensors[n].shape != wanted[n].shape]
    if missing or unexpected or misshaped:
        raise BenchmarkError(*_both_sides(entry, path, tensors, renamed.names, wanted, missing, unexpected, misshaped))
    sizes = {name: parameter.numel() for name, parameter in encoder.named_parameters()}
    fraction = sum(size for name, size in sizes.items() if name in tensors) / sum(sizes.values())
    report = LoadReport(
        num_loaded=len(tensors),
        dropped=renamed.dropped,
        other_contents=arrays.other_contents,
        random=random,
        loaded_fraction=fraction,
    )
    return tensors, report


def _unusable(tensor: torch.Tensor, wanted: torch.Tensor) -> str:
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


def _stacked(parts: list[torch.Tensor]) -> torch.Tensor:
    """Returns parts stacked along the first axis; only the first, which will not fit, where shapes or types differ."""
    same = len({(part.shape, part.dtype) for part in parts}) == 1 and parts[0].ndim > 0
    return torch.cat(parts) if same else parts[0]


def _from_haiku(tensor: torch.Tensor, source: str) -> torch.Tensor:
    """Returns a kernel of height x width x in x out as torch has it, and a norm's 1 x 1 x 1 x channels as a vector."""
    if tensor.ndim != 4:
        return tensor
    if source.endswith((".w", "/kernel")):
        return tensor.permute(3, 2, 0, 1).contiguous()
    return tensor.reshape(-1) if tensor.numel() == tensor.shape[-1] else tensor


def _both_sides(
    entry: ZooEntry,
    path: Path,
    tensors: dict[str, torch.Tensor],
    names: dict[str, str],
    wanted: dict[str, torch.Tensor],
    missing: list[str],
    unexpected: list[str],
    misshaped: list[str],
) -> list[str]:
    lines = [f" - {n} {tuple(wanted[n].shape)}: the file lacks it" for n in missing]
    lines += [f" + {names[n]} {tuple(tensors[n].shape)}: {entry.architecture} has no such tensor" for n in unexpected]
    lines += [
        f" ≠ {names[n]}: {tuple(tensors[n].shape)} in the file, {tuple(wanted[n].shape)} in {entry.architecture}"
        for n in misshaped
    ]
    head = (
        f"{entry.name}: {path.name} does not hold exactly a {entry.architecture} in naming {entry.naming!r}: "
        f"{len(missing)} missing, {len(unexpected)} stray, {len(misshaped)} of another shape, of {len(wanted)} wanted"
    )
    listed = lines[:12] + ([f" … and {len(lines) - 12} more"] if len(lines) > 12 else [])
    return [head, *listed]
