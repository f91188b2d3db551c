"""Finds out what a weight file may be: container, naming and architecture, each judged by the report on every tensor.

Nothing is guessed from a file's own keys: what the file holds is crossed with all of `NAMINGS` and with a short list of
architectures, and a candidate counts where `zoo.matching` accounts for every tensor on both sides. Candidates are first
narrowed down by names and sizes alone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from math import inf
from pathlib import Path

import torch

from benchmark.errors import BenchmarkError
from benchmark.zoo.architectures import WIDE
from benchmark.zoo.catalog import ZooEntry
from benchmark.zoo.forms import COUNTER, build_encoder, classifier_names
from benchmark.zoo.matching import LoadReport, UnusableWeights, match_tensors
from benchmark.zoo.naming import NAMINGS, Renamed, rename
from benchmark.zoo.unpack import Arrays, opened

# tried where no architecture is given: families of networks whose tensors are named alike, the smallest first
FAMILIES: tuple[tuple[str, ...], ...] = (
    (
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "resnet152",
        "wide_resnet50_2",
        "wide_resnet101_2",
        "resnext50_32x4d",
        *WIDE,
    ),
    (
        "vit_tiny_patch16_224",
        "vit_small_patch16_224",
        "vit_small_patch8_224",
        "vit_base_patch16_224",
        "vit_base_patch8_224",
        "vit_large_patch16_224",
        "vit_small_patch14_dinov2",
        "vit_base_patch14_dinov2",
    ),
    ("convnext_tiny", "convnext_small", "convnext_base"),
    ("swin_tiny_patch4_window7_224", "swin_small_patch4_window7_224", "swin_base_patch4_window7_224"),
    ("mobilenetv2_100",),
    ("mobilenetv3_large_100",),
    ("efficientnet_b0", "tf_efficientnet_b0"),  # equal tensors, another padding: the user must say which
    ("densenet121",),
)
MIN_SHARED_NAMES = 0.5  # share of a family's smallest net's names that a file of the family has at least
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A way to read a file, and the report on its tensors. `same`: namings that would give the same tensors."""

    architecture: str
    container: str
    naming: str
    report: LoadReport
    same: tuple[str, ...] = ()


def propose(
    path: Path,
    *,
    name: str,
    architecture: str | None = None,
    naming: str | None = None,
    container: str | None = None,
    member: str = "",
) -> list[Proposal]:
    """Returns every reading that fits to the last tensor: one where it is clear, several where the user must choose.

    What is given is not tried otherwise; `member` is the file's path in an archive. Of namings that give the same
    tensors, the one that drops the fewest kinds of names is proposed, then the first of its table. Raises BenchmarkError where
    nothing reads the file, where its weights are no finite numbers, and with the nearest candidate's account, both sides,
    where nothing is complete.
    """
    namings = sorted([naming] if naming else NAMINGS, key=_num_drops)  # stable: the table's order among equals
    actual_container, read = _read(path, container, namings, member)
    candidates = [
        (misfit, one_naming, one_architecture)
        for one_naming, arrays in read.items()
        for one_architecture, misfit in _misfits(arrays, one_naming, architecture)
    ]

    def judged(naming: str, architecture: str) -> tuple[Proposal, Tensors]:
        """Returns a candidate's proposal. Raises BenchmarkError where its report is not complete."""
        entry = ZooEntry(
            name=name,
            family="own",
            architecture=architecture,
            container=actual_container,
            member=member,
            naming=naming,
            licence="–",
            cite="–",
        )
        tensors, report = match_tensors(entry, path, read[naming])
        return Proposal(architecture=architecture, container=actual_container, naming=naming, report=report), tensors

    proposals: list[tuple[Proposal, Tensors]] = []
    unfit: UnusableWeights | None = None
    for misfit, *candidate in candidates:
        if misfit == 0:
            try:
                _take(proposals, *judged(*candidate))
            except UnusableWeights as fault:  # another network of the file may be whole
                unfit = unfit or fault
            except BenchmarkError:  # names and sizes are not yet the account
                continue
    if proposals:
        return [proposal for proposal, _ in proposals]
    if unfit:
        raise unfit
    if not candidates:
        raise BenchmarkError(
            f"{path.name}: its tensors are named as none of the architectures tried, in none of the namings "
            f"{', '.join(namings)}: give --architecture (timm's name) and --naming"
        )
    _, *nearest = min(candidates, key=lambda row: row[0])
    try:
        return [judged(*nearest)[0]]
    except UnusableWeights:
        raise
    except BenchmarkError as fault:
        if architecture and naming:
            raise
        raise BenchmarkError(
            f"{path.name}: nothing that was tried accounts for every tensor; the nearest:",
            *str(fault).split("\n"),
            f"give --architecture (timm's name) and --naming ({', '.join(NAMINGS)}) where it is something else",
        ) from fault


def _read(path: Path, container: str | None, namings: list[str], member: str) -> tuple[str, dict[str, Arrays]]:
    """Returns the file's container, and its arrays as each naming reads them, of those that can; the file is read once.

    Raises BenchmarkError where none can.
    """
    read: dict[str, Arrays | BenchmarkError] = {}  # by where in the file the tensors lie
    with opened(path, container, member) as file:
        for inside in dict.fromkeys(NAMINGS[naming].inside for naming in namings):
            try:
                read[inside] = file.arrays(inside)
            except BenchmarkError as fault:
                read[inside] = fault
    of_naming = {naming: read[NAMINGS[naming].inside] for naming in namings}
    readable = {naming: arrays for naming, arrays in of_naming.items() if isinstance(arrays, Arrays)}
    if not readable:
        raise next(fault for fault in of_naming.values() if isinstance(fault, BenchmarkError))
    return file.container, readable


def _misfits(arrays: Arrays, naming: str, architecture: str | None) -> Iterator[tuple[str, float]]:
    """Yields architectures to try, and how many tensors have no counterpart (infinitely many in a wrong naming)."""
    if architecture:
        yield architecture, _misfit(arrays, naming, architecture)
        return
    for family in FAMILIES:
        smallest = family[0]
        renamed = _renamed(arrays, naming, smallest)
        wanted, _ = _encoder_sizes(smallest)
        if renamed is None or len(wanted.keys() & renamed.names.keys()) < MIN_SHARED_NAMES * len(wanted):
            continue
        for member in family:
            yield member, _misfit(arrays, naming, member)


def _misfit(arrays: Arrays, naming: str, architecture: str) -> float:
    renamed = _renamed(arrays, naming, architecture)
    if renamed is None:
        return inf
    wanted, _ = _encoder_sizes(architecture)
    apart = [n for n in wanted.keys() ^ renamed.names.keys() if not (n in wanted and n.endswith(COUNTER))]
    # a naming may turn tensors round, so sizes are compared in any order, and those of one not at all
    both = wanted.keys() & renamed.names.keys()
    return len(apart) + len([n for n in both if wanted[n] != _sizes(_shape(arrays, renamed, n))])


def _shape(arrays: Arrays, renamed: Renamed, name: str) -> list[int]:
    """Returns the shape that the file has for an encoder's name; parts are stacked along the first axis."""
    first, *rest = arrays.tensors[renamed.names[name]].shape or (1,)
    return [first * len(renamed.parts.get(name, (name,))), *rest]


def _renamed(arrays: Arrays, naming: str, architecture: str) -> Renamed | None:
    wanted, classifier = _encoder_sizes(architecture)
    try:
        return rename(list(arrays.tensors), naming, classifier, wanted)
    except BenchmarkError:
        return None


@cache
def _encoder_sizes(architecture: str) -> tuple[dict[str, list[int]], tuple[str, ...]]:
    """Returns an architecture's tensors with their sizes, and its classifier's names, without allocating memory."""
    with torch.device("meta"):
        encoder = build_encoder(architecture, "pooled", 0)
    return {name: _sizes(tensor.shape) for name, tensor in encoder.state_dict().items()}, classifier_names(encoder)


def _sizes(shape: Iterable[int]) -> list[int]:
    return sorted(size for size in shape if size != 1)


def _num_drops(naming: str) -> int:
    rule = NAMINGS[naming]
    return len(rule.drop) + rule.drop_classifier + bool(rule.drop_like)


def _take(proposals: list[tuple[Proposal, Tensors]], proposal: Proposal, tensors: Tensors) -> None:
    """Adds a proposal, or only its naming where an earlier one, which is preferred, gives the same tensors."""
    for position, (earlier, earlier_tensors) in enumerate(proposals):
        same_names = earlier.architecture == proposal.architecture and earlier_tensors.keys() == tensors.keys()
        if same_names and all(torch.equal(earlier_tensors[name], tensor) for name, tensor in tensors.items()):
            proposals[position] = (replace(earlier, same=(*earlier.same, proposal.naming)), earlier_tensors)
            return
    proposals.append((proposal, tensors))
