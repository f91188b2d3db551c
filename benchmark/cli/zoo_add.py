"""`benchmark zoo add`."""

import re
import shlex
import sys
import tempfile
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.options import Offline, Project, workspace_of
from benchmark.errors import BenchmarkError
from benchmark.files import digest_of
from benchmark.text import first_few, plural
from benchmark.workspace import Workspace

if TYPE_CHECKING:
    from benchmark.zoo.catalog import Channels, ZooEntry
    from benchmark.zoo.proposal import Proposal


def add(
    *,
    file: Annotated[
        str, typer.Argument(help="A checkpoint file, its URL, hf:OWNER/REPO/FILE[@REVISION], or timm:NAME.")
    ],
    name: Annotated[str, typer.Option("--name", help="The new entry's name.")],
    architecture: Annotated[
        str | None,
        typer.Option("--architecture", help="timm's name of it, or package.module:function [default: proposed].", show_default=False),
    ] = None,
    naming: Annotated[
        str | None,
        typer.Option("--naming", help="How the file names its tensors [default: proposed].", show_default=False),
    ] = None,
    container: Annotated[
        str | None, typer.Option("--container", help="How the file is read [default: proposed].", show_default=False)
    ] = None,
    member: Annotated[
        str, typer.Option("--member", help="The file's path, where it lies in a zip or tar.", show_default=False)
    ] = "",
    mean: Annotated[
        tuple[float, float, float] | None,
        typer.Option("--mean", help="What it was trained on: per RGB channel, of images in 0..1.", show_default=False),
    ] = None,
    std: Annotated[
        tuple[float, float, float] | None,
        typer.Option("--std", help="As --mean [default: ImageNet's, both].", show_default=False),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Take what is proposed without asking.")] = False,
    title: Annotated[str, typer.Option(help="What a table's reader should know.")] = "",
    family: Annotated[str, typer.Option(help="Groups entries for family:NAME.")] = "own",
    pretrained_on: Annotated[
        list[str] | None, typer.Option(help="Data sets that the weights have seen. May be repeated.")
    ] = None,
    licence: Annotated[str, typer.Option(help="Of the weights.")] = "not told",
    cite: Annotated[str, typer.Option(help="What to cite.")] = "not told",
    offline: Offline = False,
    project: Project = None,
) -> None:
    """Register a checkpoint of yours: its tensors are accounted for, to the last, before anything is written.

    What is not told of architecture, naming and container is proposed by that report, and asked for.
    """
    from benchmark.zoo.architectures import check_architecture
    from benchmark.zoo.catalog import add_entry, check_entry_name, read_catalog
    from benchmark.zoo.fetch import REMOTE, delete_weight_file, import_weight_file
    from benchmark.zoo.naming import NAMINGS
    from benchmark.zoo.unpack import CONTAINERS

    check_entry_name(name)
    workspace = workspace_of(project=project)
    if name in read_catalog(workspace.project / "model_zoo.yaml", workspace.own_zoo):
        raise BenchmarkError(
            f"the zoo has an entry {name!r} already: choose another name, or `benchmark zoo remove {name}` where it is yours"
        )
    for told, known, noun in ((naming, NAMINGS, "naming"), (container, CONTAINERS, "container")):
        if told is not None and told not in known:
            raise BenchmarkError(f"no {noun} {told!r}: one of {', '.join(known)}")
    if architecture:
        check_architecture(architecture, workspace.home)
    facts = {
        "name": name,
        "title": title,
        "family": family,
        "pretrained_on": tuple(pretrained_on or ()),
        "source": file if file.startswith(REMOTE) else f"file:{Path(file).name}",
        "member": member,
        "licence": licence,
        "cite": cite,
        **_statistics(mean, std),
    }
    _entry(facts, architecture or "unknown", "torch", "plain")  # what is wrong with them is told before a download
    here, arriving = _brought(file, workspace, offline=offline)

    from benchmark.torch_setup import prepare_for_torch

    prepare_for_torch()
    from benchmark.zoo.proposal import propose

    proposals = propose(here, name=name, architecture=architecture, naming=naming, container=container, member=member)
    if len(proposals) > 1:
        listed = "; ".join(
            f"--architecture {p.architecture} --naming {p.naming} --container {p.container}" for p in proposals
        )
        raise BenchmarkError(f"{here.name} is, to the last tensor, {len(proposals)} things: say which: {listed}")
    (proposal,) = proposals
    typer.echo(_told(name, proposal))
    command = [file, "--name", name, "--architecture", proposal.architecture, "--naming", proposal.naming]
    command += ["--container", proposal.container, *(["--member", member] if member else [])]
    for option, numbers in (("--mean", mean), ("--std", std)):
        command += [option, *map(str, numbers)] if numbers else []
    said = f"benchmark zoo add {shlex.join(command)}"
    if not (architecture and naming):
        _agreed("take this proposal?", f"it was proposed, not told: --yes takes it, or say it: {said}", yes=yes)
    if _hand_written(workspace.own_zoo):
        _agreed(
            f"{workspace.own_zoo} was written by hand; write it anew, without its comments?",
            f"{workspace.own_zoo} was written by hand, and comments in it would be lost: --yes writes it anew",
            yes=yes,
        )
    entry = _entry(facts, proposal.architecture, proposal.container, proposal.naming)
    kept = import_weight_file(entry, here, workspace.weights)
    if arriving:
        delete_weight_file(arriving, workspace.weights)
    add_entry(workspace.own_zoo, entry.model_copy(update={"sha256": kept.sha256}))
    typer.echo(f"{name}: sha256 {kept.sha256[:16]}…; an entry of {workspace.own_zoo}")
    if not pretrained_on:
        typer.echo("--pretrained-on was not told: tasks whose images the weights have seen cannot be left out")


def _entry(facts: Mapping[str, object], architecture: str, container: str, naming: str) -> "ZooEntry":
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
    """An entry's `input`, where it was told. Raises BenchmarkError for numbers that no image could be normalised by."""
    if mean is None and std is None:
        return {}
    if mean is None or std is None:
        raise BenchmarkError(
            f"--{'mean' if mean is None else 'std'} is not told: --mean and --std are told together, or neither"
        )
    if not all(map(isfinite, (*mean, *std))) or min(std) <= 0:
        raise BenchmarkError(f"--mean {mean} --std {std}: wanted numbers, and deviations above 0 (of images in 0..1)")
    return {"input": {"mean": mean, "std": std}}


def _brought(file: str, workspace: Workspace, *, offline: bool) -> "tuple[Path, ZooEntry | None]":
    """The file here, fetched where it is not; and the entry under which it was fetched.

    It arrives under a name of its source: what a refused command has fetched serves the next for the same source, and
    can be taken for no other's.
    """
    from benchmark.api.progress import bytes_bar
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
    arriving = _entry(
        {"name": f"arriving-{digest_of(file)[:12]}", "family": "own", "source": file, "licence": "–", "cite": "–"},
        "unknown",
        "torch",
        "plain",
    )
    try:
        with bytes_bar(file) as show:
            return fetch(arriving, workspace.weights, offline=offline, progress=show).path, arriving
    except BenchmarkError as fault:
        # no entry has that name: by hand, it is the downloaded file that is added
        why = re.sub(r"(:|; or) get it by hand .*", "", str(fault).removeprefix(f"{arriving.name}: "), flags=re.DOTALL)
        raise BenchmarkError(f"{file}: {why}; or get it by hand and give that file to `benchmark zoo add`") from fault


def _told(name: str, proposal: "Proposal") -> str:
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


def _agreed(question: str, otherwise: str, *, yes: bool) -> None:
    """Ask on a terminal; where there is none, only `--yes` agrees. Raises BenchmarkError."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise BenchmarkError(otherwise)
    if not typer.confirm(question):
        raise BenchmarkError(f"nothing was added: {otherwise}")


def _hand_written(own: Path) -> bool:
    """Whether the user's zoo file is other than these verbs would write it."""
    from benchmark.zoo.catalog import read_zoo, write_own

    if not own.is_file():
        return False
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / own.name
        write_own(written, list(read_zoo(own).values()))
        return written.read_bytes() != own.read_bytes()
