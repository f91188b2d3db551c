"""`benchmark zoo …`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli import zoo_add, zoo_cite, zoo_verify
from benchmark.cli.console import print_error
from benchmark.cli.options import AsJson, License, Offline, Project, workspace_of
from benchmark.errors import BenchmarkError
from benchmark.text import first_few, plural, printable
from benchmark.workspace import Workspace

if TYPE_CHECKING:
    from benchmark.zoo.catalog import ZooEntry

app = typer.Typer(no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="An entry's name.")]


@app.command("list")
def list_entries(
    *,
    family: Annotated[str | None, typer.Option(help="Only entries of this family.", show_default=False)] = None,
    license: License = None,  # noqa: A002 - the option's name
    max_parameters: Annotated[
        float | None,
        typer.Option(metavar="MILLIONS", help="Only encoders of at most this size.", show_default=False),
    ] = None,
    as_json: AsJson = False,
    project: Project = None,
) -> None:
    """List the entries: family, architecture, and whether their file is here."""
    from benchmark.api.listing import list_models
    from benchmark.cli.console import out, print_json, table_of

    models = list_models(family=family, license=license, max_parameters=max_parameters, project=project)
    if as_json:
        print_json([{**model.entry.model_dump(mode="json", exclude_none=True), "file": model.file} for model in models])
        return
    heads = ("name", "family", "architecture", "pretrained on", "file", "license")
    table = table_of(*heads, prose=["pretrained on", "license"], optional=["license", "pretrained on", "family"])
    for model in models:
        entry, trained_on = model.entry, ", ".join(model.entry.pretrained_on)
        table.add_row(entry.name, entry.family, entry.architecture, trained_on, model.file, entry.licence)
    if models:
        out().print(table)
    else:
        typer.echo("no entry is like this")


@app.command()
def show(name: Name, project: Project = None) -> None:
    """Show an entry's facts, where its file lies, and what it was made from, back to the first weights."""
    import yaml

    from benchmark.zoo.ancestry import ancestry, describe
    from benchmark.zoo.catalog import find_entry
    from benchmark.zoo.fetch import find_weight_file

    workspace = workspace_of(project=project)
    catalog = _catalog(workspace)
    entry = find_entry(name, catalog)
    facts = yaml.safe_dump(entry.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True)
    typer.echo(printable(facts.rstrip()))
    if not entry.is_scratch:
        file = find_weight_file(entry, workspace.weights)
        typer.echo(f"file: {file.path}\nfile_sha256: {file.sha256}" if file else "file: not here")
    if entry.made_by:
        typer.echo("\nmade from:\n" + printable("\n".join(describe(ancestry(entry, catalog)))))


app.command("add")(zoo_add.add)
app.command("cite")(zoo_cite.cite)


@app.command()
def remove(name: Name, project: Project = None) -> None:
    """Remove an entry of your own, and its file here. Results that were made with it stay."""
    from benchmark.zoo.catalog import read_zoo, write_own
    from benchmark.zoo.fetch import delete_weight_file

    workspace = workspace_of(project=project)
    own = read_zoo(workspace.own_zoo) if workspace.own_zoo.is_file() else {}
    if name not in own:
        raise BenchmarkError(f"{name!r} is no entry of {workspace.own_zoo}: {first_few(own, 8) or 'it has none'}")
    write_own(workspace.own_zoo, [entry for entry in own.values() if entry.name != name])
    delete_weight_file(own[name], workspace.weights)
    typer.echo(f"{name}: removed")


@app.command("fetch")
def fetch_entries(
    names: Annotated[
        str | None,
        typer.Argument(help="Entries, as --models takes them (default: all, after asking).", show_default=False),
    ] = None,
    from_file: Annotated[
        Path | None, typer.Option("--from-file", help="Take this file instead of downloading.", show_default=False)
    ] = None,
    offline: Offline = False,  # noqa: FBT002 - typer's way to declare a flag
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Fetch all without asking.")] = False,  # noqa: FBT002
    project: Project = None,
) -> None:
    """Download the weight files of entries, and continue what was interrupted.

    A file is compared with its published digest. Where none is published, the first download is pinned: later loads are
    compared with it, but nobody vouches for the first.
    """
    from benchmark.api.progress import bytes_bar
    from benchmark.zoo.fetch import fetch, import_weight_file

    workspace = workspace_of(project=project)
    entries = [e for e in _chosen(names or "all", workspace) if not e.is_scratch]
    if names is None and not from_file and not yes:
        _ask_for_all(entries, workspace)
    if from_file:
        if len(entries) != 1:
            raise BenchmarkError(f"--from-file is for one entry; {names!r} names {len(entries)}")
        file = import_weight_file(entries[0], from_file, workspace.weights)
        typer.echo(f"{entries[0].name}: here, sha256 {file.sha256[:16]}…{_pinned(entries[0])}")
        return
    failures = []
    for entry in entries:
        try:
            with bytes_bar(entry.name) as show:
                file = fetch(entry, workspace.weights, offline=offline, progress=show)
            typer.echo(f"{entry.name}: here, sha256 {file.sha256[:16]}…{_pinned(entry)}")
        except BenchmarkError as fault:
            failures.append(str(fault))
            print_error(f"error: {fault}")
    if failures:
        raise typer.Exit(1)


app.command("verify")(zoo_verify.verify)


def _catalog(workspace: Workspace) -> "dict[str, ZooEntry]":
    from benchmark.zoo.catalog import read_catalog

    return read_catalog(workspace.project / "model_zoo.yaml", workspace.own_zoo)


def _chosen(names: str, workspace: Workspace) -> "list[ZooEntry]":
    from benchmark.experiment.selection import select

    catalog = _catalog(workspace)
    return [catalog[name] for name in select(names, {e.name: e.family for e in catalog.values()}, noun="model")]


def _ask_for_all(entries: "list[ZooEntry]", workspace: Workspace) -> None:
    """Asks whether to download all files that are missing. Raises BenchmarkError where the answer is no, or nobody is there."""
    from concurrent.futures import ThreadPoolExecutor

    from benchmark.zoo.fetch import find_weight_file, remote_size

    missing = [entry for entry in entries if find_weight_file(entry, workspace.weights) is None]
    if not missing:
        return
    with ThreadPoolExecutor(8) as pool:
        sizes = [size for size in pool.map(remote_size, missing) if size is not None]
    amount = f"{sum(sizes) / 1e9:,.1f} GB" if sizes else "an unknown size"
    if sizes and len(sizes) < len(missing):
        amount = f"at least {amount}, {len(missing) - len(sizes)} of unknown size"
    question = f"download {plural(len(missing), 'file')} ({amount}) into {workspace.weights}?"
    if not sys.stdin.isatty():
        raise BenchmarkError(f"{question} Name the entries that you want, or agree with --yes")
    if not typer.confirm(question):
        raise BenchmarkError("nothing was downloaded: name the entries that you want")


def _pinned(entry: "ZooEntry") -> str:
    """Returns what the digest was compared with."""
    if len(entry.sha256) == 64:
        return " (as published)"
    if entry.sha256:
        return f" (its first {len(entry.sha256)} digits as published; pinned now)"
    return " (no digest is published: pinned now, on first use)"
