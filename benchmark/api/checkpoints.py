"""`add_checkpoint`: a checkpoint becomes an entry of the user's zoo."""

import re
import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.api.options import PathLike, find_places, progress_of
from benchmark.api.progress import Progress
from benchmark.errors import BenchmarkError
from benchmark.files import digest_of
from benchmark.text import first_few, plural
from benchmark.workspace import Workspace

if TYPE_CHECKING:
    from benchmark.zoo.catalog import Channels, ZooEntry
    from benchmark.zoo.proposal import Proposal

Confirm = Callable[[str, str], None]  # a question, and what to do otherwise; raises BenchmarkError for a no


@dataclass(frozen=True, kw_only=True)
class AddedCheckpoint:
    """A new entry of the zoo: `entry`, as the zoo file has it; `description`, what its file gave; `zoo`, that zoo file."""

    entry: "ZooEntry"
    description: str
    zoo: Path


def add_checkpoint(
    file: PathLike,
    *,
    name: str,
    architecture: str | None = None,
    naming: str | None = None,
    container: str | None = None,
    member: str = "",
    mean: "Channels | None" = None,
    std: "Channels | None" = None,
    title: str = "",
    family: str = "own",
    pretrained_on: Sequence[str] = (),
    licence: str = "not told",
    cite: str = "not told",
    offline: bool = False,
    project: PathLike | None = None,
    progress: Progress | bool = False,
    confirm: Confirm | None = None,
) -> AddedCheckpoint:
    """Registers a checkpoint as an entry of your zoo, after a report on every tensor; returns the entry.

    `file` is a path, a URL, `hf:OWNER/REPO/FILE[@REVISION]` or `timm:NAME`. `architecture` (timm's name), `naming` (how
    the file names its tensors) and `container` (how it is read) are found by trying those that are known, if not given.
    `mean` and `std` are what the encoder was trained on, for each RGB channel, of images in 0..1; ImageNet's if not given.
    `pretrained_on` names the data sets that the weights have seen. `confirm` is called before what was found is taken and
    before comments in a zoo file are lost; without it, both are accepted. Raises BenchmarkError for a name that is taken,
    and where a tensor of the file or of the encoder is left over.

    >>> bm.add_checkpoint(
    ...     "weights.pth", name="mine", pretrained_on=["ChestX-ray14"]
    ... ).entry.architecture  # doctest: +SKIP
    """
    from benchmark.zoo.architectures import check_architecture
    from benchmark.zoo.catalog import add_entry, check_entry_name, read_catalog
    from benchmark.zoo.fetch import REMOTE, delete_weight_file, import_weight_file
    from benchmark.zoo.naming import NAMINGS
    from benchmark.zoo.unpack import CONTAINERS

    check_entry_name(name)
    file, shown = str(file), progress_of(progress)
    workspace = find_places(None, None, project)
    if name in read_catalog(workspace.project / "model_zoo.yaml", workspace.own_zoo):
        raise BenchmarkError(
            f"the zoo has an entry {name!r} already: choose another name, or `benchmark zoo remove {name}` where it is yours"
        )
    for given, known, noun in ((naming, NAMINGS, "naming"), (container, CONTAINERS, "container")):
        if given is not None and given not in known:
            raise BenchmarkError(f"no {noun} {given!r}: one of {', '.join(known)}")
    if architecture:
        check_architecture(architecture, workspace.home)
    facts = {
        "name": name,
        "title": title,
        "family": family,
        "pretrained_on": tuple(pretrained_on),
        "source": file if file.startswith(REMOTE) else f"file:{Path(file).name}",
        "member": member,
        "licence": licence,
        "cite": cite,
        **_statistics(mean, std),
    }
    _make_entry(facts, architecture or "unknown", "torch", "plain")  # what is wrong is reported before a download
    path, download = _find_or_fetch(file, workspace, offline=offline, progress=shown)

    from benchmark.torch_setup import prepare_for_torch

    prepare_for_torch()
    from benchmark.zoo.proposal import propose

    proposals = propose(path, name=name, architecture=architecture, naming=naming, container=container, member=member)
    if len(proposals) > 1:
        listed = "; ".join(
            f"--architecture {p.architecture} --naming {p.naming} --container {p.container}" for p in proposals
        )
        raise BenchmarkError(f"{path.name} is, to the last tensor, {len(proposals)} things: say which: {listed}")
    (proposal,) = proposals
    description = _describe(name, proposal)
    shown.say(description)
    if confirm and not (architecture and naming):
        command = [file, "--name", name, "--architecture", proposal.architecture, "--naming", proposal.naming]
        command += ["--container", proposal.container, *(["--member", member] if member else [])]
        for option, numbers in (("--mean", mean), ("--std", std)):
            command += [option, *map(str, numbers)] if numbers else []
        full = f"benchmark zoo add {shlex.join(command)}"
        confirm("take this proposal?", f"it was proposed, not given: --yes takes it, or give it: {full}")
    if confirm and _has_comments(workspace.own_zoo):
        confirm(
            f"{workspace.own_zoo} was written by hand; write it anew, without its comments?",
            f"{workspace.own_zoo} was written by hand, and comments in it would be lost: --yes writes it anew",
        )
    entry = _make_entry(facts, proposal.architecture, proposal.container, proposal.naming)
    stored = import_weight_file(entry, path, workspace.weights)
    if download:
        delete_weight_file(download, workspace.weights)
    entry = entry.model_copy(update={"sha256": stored.sha256})
    add_entry(workspace.own_zoo, entry)
    return AddedCheckpoint(entry=entry, description=description, zoo=workspace.own_zoo)


def _make_entry(facts: Mapping[str, object], architecture: str, container: str, naming: str) -> "ZooEntry":
    from pydantic import ValidationError

    from benchmark.strict import explain
    from benchmark.zoo.catalog import ZooEntry

    try:
        return ZooEntry.model_validate(
            {**facts, "architecture": architecture, "container": container, "naming": naming}
        )
    except ValidationError as error:
        raise BenchmarkError(explain(error, ZooEntry)) from error


def _statistics(mean: "Channels | None", std: "Channels | None") -> dict[str, object]:
    """Returns an entry's `input`, if it was given. Raises BenchmarkError for numbers that cannot normalize an image."""
    if mean is None and std is None:
        return {}
    if mean is None or std is None:
        raise BenchmarkError(
            f"--{'mean' if mean is None else 'std'} is missing: give --mean and --std together, or neither"
        )
    if not all(map(isfinite, (*mean, *std))) or min(std) <= 0:
        raise BenchmarkError(f"--mean {mean} --std {std}: wanted numbers, and deviations above 0 (of images in 0..1)")
    return {"input": {"mean": mean, "std": std}}


def _find_or_fetch(
    file: str, workspace: Workspace, *, offline: bool, progress: Progress
) -> "tuple[Path, ZooEntry | None]":
    """Returns the file on this machine, and the entry under which it was downloaded, if it was.

    A download is kept under a name that its source gives: what a refused call has downloaded serves the next call with
    the same source, and is never taken for another's.
    """
    from benchmark.zoo.fetch import REMOTE, fetch

    if not file.startswith(REMOTE):
        if Path(file).is_dir():
            raise BenchmarkError(
                f"{file}: a folder, wanted a file; a TensorFlow checkpoint is given as one archive of its files: "
                f"tar cf NAME.tar {file}"
            )
        if not Path(file).is_file():
            raise BenchmarkError(f"{file}: no such file")
        return Path(file), None
    download = _make_entry(
        {"name": f"arriving-{digest_of(file)[:12]}", "family": "own", "source": file, "licence": "–", "cite": "–"},
        "unknown",
        "torch",
        "plain",
    )
    try:
        with progress.download(file) as show:
            return fetch(download, workspace.weights, offline=offline, progress=show).path, download
    except BenchmarkError as fault:
        # no entry has that name: by hand, it is the downloaded file that is added
        why = re.sub(r"(:|; or) get it by hand .*", "", str(fault).removeprefix(f"{download.name}: "), flags=re.DOTALL)
        raise BenchmarkError(f"{file}: {why}; or get it by hand and give that file to `benchmark zoo add`") from fault


def _describe(name: str, proposal: "Proposal") -> str:
    """Returns a line about what the file is, and how much of the encoder it gives."""
    report = proposal.report
    line = (
        f"{name}: {report.loaded_fraction:.1%} of the parameters of {proposal.architecture} from {report.num_loaded} tensors, "
        f"container {proposal.container}, naming {proposal.naming}"
    )
    if proposal.same:
        line += f" ({', '.join(proposal.same)} would give the same)"
    if report.dropped:
        line += f"; {plural(len(report.dropped), 'tensor')} dropped by name ({first_few(report.dropped)})"
    return line + (f"; beside them {first_few(report.other_contents)}" if report.other_contents else "")


def _has_comments(own: Path) -> bool:
    """Returns whether the user's zoo file is other than `write_own` writes it: somebody edited it by hand."""
    from benchmark.zoo.catalog import read_zoo, write_own

    if not own.is_file():
        return False
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / own.name
        write_own(written, list(read_zoo(own).values()))
        return written.read_bytes() != own.read_bytes()
