"""`benchmark zoo …`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.options import Offline, Project, places_of
from benchmark.disk import Places
from benchmark.fault import Fault, first_few, plural

if TYPE_CHECKING:
    from benchmark.zoo.catalog import ZooEntry

app = typer.Typer(no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="An entry's name.")]


@app.command("list")
def list_entries(project: Project = None) -> None:
    """All entries: family, architecture, and whether their file is here."""
    from benchmark.cli.shown import out, table_of
    from benchmark.zoo.fetch import located

    places = places_of(project=project)
    table = table_of("name", "family", "architecture", "pretrained on", "file", "licence")
    for entry in _catalog(places).values():
        try:
            here = "fresh weights" if entry.is_scratch else "here" if located(entry, places.weights) else "not here"
        except Fault:
            here = "damaged"  # `zoo verify` says how
        table.add_row(entry.name, entry.family, entry.architecture, ", ".join(entry.pretrained_on), here, entry.licence)
    out().print(table)


@app.command()
def show(name: Name, project: Project = None) -> None:
    """One entry's facts, and where its file lies."""
    import yaml

    from benchmark.zoo.catalog import find_entry
    from benchmark.zoo.fetch import located

    places = places_of(project=project)
    entry = find_entry(name, _catalog(places))
    typer.echo(
        yaml.safe_dump(entry.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True).rstrip()
    )
    if not entry.is_scratch:
        file = located(entry, places.weights)
        typer.echo(f"file: {file.path}\nfile_sha256: {file.sha256}" if file else "file: not here")


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="A checkpoint file.")],
    name: Annotated[str, typer.Option("--name", help="The new entry's name.")],
    architecture: Annotated[str, typer.Option("--architecture", help="timm's name of the architecture.")],
    naming: Annotated[
        str, typer.Option("--naming", help="How the file names its tensors: torchvision, timm, moco, swav, plain.")
    ],
    container: Annotated[
        str | None, typer.Option(help="torch or safetensors [default: by the file's suffix].", show_default=False)
    ] = None,
    title: Annotated[str, typer.Option(help="What a table's reader should know.")] = "",
    family: Annotated[str, typer.Option(help="Groups entries for family:NAME.")] = "own",
    pretrained_on: Annotated[
        list[str] | None, typer.Option(help="Data sets that the weights have seen. May be repeated.")
    ] = None,
    licence: Annotated[str, typer.Option(help="Of the weights.")] = "not told",
    cite: Annotated[str, typer.Option(help="What to cite.")] = "not told",
    project: Project = None,
) -> None:
    """Register a checkpoint of yours: its tensors are accounted for, to the last, before anything is written."""
    from benchmark.zoo.architectures import check_architecture
    from benchmark.zoo.backbone import encoder_tensors
    from benchmark.zoo.catalog import ZooEntry, add_entry
    from benchmark.zoo.fetch import admit_file
    from benchmark.zoo.naming import NAMINGS
    from benchmark.zoo.unpack import CONTAINERS

    places = places_of(project=project)
    if name in _catalog(places) or name.startswith("scratch"):
        raise Fault(
            f"the zoo has an entry {name!r} already: choose another name, or `benchmark zoo remove {name}` where it is yours"
        )
    if not file.is_file():
        raise Fault(f"{file}: no such file")
    container = container or ("safetensors" if file.suffix == ".safetensors" else "torch")
    if naming not in NAMINGS or container not in CONTAINERS:
        raise Fault(
            f"namings: {', '.join(NAMINGS)}; containers: {', '.join(CONTAINERS)}; found {naming!r} and {container!r}"
        )
    check_architecture(architecture, places.home)
    entry = ZooEntry(
        name=name,
        title=title,
        family=family,
        architecture=architecture,
        pretrained_on=tuple(pretrained_on or ()),
        source=f"file:{file.name}",
        container=container,
        naming=naming,
        licence=licence,
        cite=cite,
    )
    tensors, account = encoder_tensors(entry, file)
    kept = admit_file(entry, file, places.weights)
    add_entry(places.own_zoo, entry.model_copy(update={"sha256": kept.sha256}))
    dropped = (
        f", {plural(len(account.dropped), 'tensor')} dropped by name ({first_few(account.dropped)})"
        if account.dropped
        else ""
    )
    typer.echo(
        f"{name}: {len(tensors)} tensors, {account.share:.1%} of the parameters of {architecture}{dropped}; "
        f"sha256 {kept.sha256[:16]}…; an entry of {places.own_zoo}"
    )


@app.command()
def remove(name: Name, project: Project = None) -> None:
    """Remove an entry of your own, and its file here. Results that were made with it stay."""
    from benchmark.zoo.catalog import read_zoo, write_own
    from benchmark.zoo.fetch import forget

    places = places_of(project=project)
    own = read_zoo(places.own_zoo) if places.own_zoo.is_file() else {}
    if name not in own:
        raise Fault(f"{name!r} is no entry of {places.own_zoo}: {first_few(own, 8) or 'it has none'}")
    write_own(places.own_zoo, [entry for entry in own.values() if entry.name != name])
    forget(own[name], places.weights)
    typer.echo(f"{name}: removed")


@app.command("fetch")
def fetch_entries(
    names: Annotated[str, typer.Argument(help="Entries, as --models takes them.")] = "all",
    from_file: Annotated[
        Path | None, typer.Option("--from-file", help="Take this file instead of downloading.", show_default=False)
    ] = None,
    offline: Offline = False,  # noqa: FBT002 - typer's way to declare a flag
    project: Project = None,
) -> None:
    """Bring the weight files of entries here: with resume, checked against their digests."""
    from benchmark.cli.progress import bytes_bar
    from benchmark.zoo.fetch import admit_file, fetch

    places = places_of(project=project)
    entries = [e for e in _chosen(names, places) if not e.is_scratch]
    if from_file:
        if len(entries) != 1:
            raise Fault(f"--from-file is for one entry; {names!r} names {len(entries)}")
        file = admit_file(entries[0], from_file, places.weights)
        typer.echo(f"{entries[0].name}: here, sha256 {file.sha256[:16]}…{_pinned(entries[0])}")
        return
    failures = []
    for entry in entries:
        try:
            with bytes_bar(entry.name) as show:
                file = fetch(entry, places.weights, offline=offline, progress=show)
            typer.echo(f"{entry.name}: here, sha256 {file.sha256[:16]}…{_pinned(entry)}")
        except Fault as fault:
            failures.append(str(fault))
            typer.secho(f"error: {fault}", err=True, fg="red")
    if failures:
        raise typer.Exit(1)


@app.command()
def verify(
    names: Annotated[str, typer.Argument(help="Entries, as --models takes them.")] = "all", project: Project = None
) -> None:
    """Check files here: digest, and the account of every tensor. Entries whose file is not here are said to be so."""
    from benchmark.cli.shown import out, table_of
    from benchmark.zoo.backbone import encoder_tensors
    from benchmark.zoo.fetch import located, verified

    places = places_of(project=project)
    table = table_of("name", "verdict", "digest", "from the file", "dropped", "what")
    num_failed = 0
    for entry in _chosen(names, places):
        if entry.is_scratch:
            continue
        try:
            file = located(entry, places.weights)
            if file is None:
                table.add_row(entry.name, "not here", "", "", "", entry.source)
                continue
            verified(file)
            _, account = encoder_tensors(entry, file.path)
            how = "as published" if entry.sha256 and not entry.source.startswith("file:") else "pinned when it came"
            table.add_row(
                entry.name, "PASS", how, f"{account.share:.1%}", str(len(account.dropped)), first_few(account.dropped)
            )
        except Fault as fault:
            num_failed += 1
            table.add_row(entry.name, "FAIL", "", "", "", str(fault))
    out().print(table)
    if num_failed:
        raise typer.Exit(1)


def _catalog(places: Places) -> "dict[str, ZooEntry]":
    from benchmark.zoo.catalog import read_catalog

    return read_catalog(places.project / "model_zoo.yaml", places.own_zoo)


def _chosen(names: str, places: Places) -> "list[ZooEntry]":
    from benchmark.selection import select

    catalog = _catalog(places)
    return [catalog[name] for name in select(names, {e.name: e.family for e in catalog.values()}, noun="model")]


def _pinned(entry: "ZooEntry") -> str:
    return "" if len(entry.sha256) == 64 else " (pinned now: checked against this at every load)"
