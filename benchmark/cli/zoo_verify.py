"""`benchmark zoo verify`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.options import Project, workspace_of
from benchmark.text import first_few

if TYPE_CHECKING:
    from benchmark.zoo.inspection import Inspection

FORMAT = 2  # of the JSON


def verify(
    names: Annotated[str, typer.Argument(help="Entries, as --models takes them.")] = "all",
    as_json: Annotated[
        Path | None, typer.Option("--json", help="Write all of it into this file too.", show_default=False)
    ] = None,
    project: Project = None,
) -> None:
    """Check files here: digest, the report of every tensor, and whether the net's features are a trained one's.

    FAIL: the file is damaged or another, or not exactly the encoder. WARN: it loads, and its features are constant, not
    finite, or like those of random weights. Each verdict is printed as soon as it is known,
    the table at the end.
    """
    from benchmark.cli.console import out, table_of
    from benchmark.experiment.selection import select
    from benchmark.zoo.catalog import read_catalog

    workspace = workspace_of(project=project)
    catalog = read_catalog(workspace.project / "model_zoo.yaml", workspace.own_zoo)
    chosen = [catalog[name] for name in select(names, {e.name: e.family for e in catalog.values()}, noun="model")]

    from benchmark.torch_setup import prepare_for_torch

    prepare_for_torch()
    from benchmark.files import write_atomically
    from benchmark.zoo.inspection import WHAT_MAY_DIFFER, inspect

    table = table_of(
        "name",
        "verdict",
        "digest",
        "from the file",
        "dropped",
        "fingerprint",
        "from fresh",
        "licence",
        "what",
        prose=["what"],
    )
    inspections = []
    entries = [entry for entry in chosen if not entry.is_scratch]
    for number, entry in enumerate(entries, 1):
        inspections.append(inspect(entry, workspace.weights))
        table.add_row(*_row(inspections[-1]))
        if inspections[-1].verdict != "not here":  # that takes no time
            typer.echo(f"[{number}/{len(entries)}] {entry.name}: {inspections[-1].verdict}", err=True)
    out().print(table)
    if any(inspection.fingerprint for inspection in inspections):
        typer.echo(WHAT_MAY_DIFFER)
    if as_json:
        content = {
            "format": FORMAT,
            "note": WHAT_MAY_DIFFER,
            "entries": [inspection.as_json() for inspection in inspections],
        }
        write_atomically(as_json, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    if any(inspection.verdict == "FAIL" for inspection in inspections):
        raise typer.Exit(1)


def _row(inspection: "Inspection") -> list[str]:
    share = dropped = print_ = distance = ""
    what = (
        "; ".join(inspection.reasons)
        if inspection.reasons
        else inspection.source
        if inspection.verdict == "not here"
        else ""
    )
    if inspection.report:
        share, dropped = f"{inspection.report.loaded_fraction:.1%}", str(len(inspection.report.dropped))
        what = what or first_few(inspection.report.dropped)
    if inspection.fingerprint:
        of = inspection.fingerprint
        print_ = f"{of.mean:.4g} ± {of.sd:.4g}; {', '.join(f'{number:.4g}' for number in of.first)}; {of.hash}"
    if inspection.statistics and inspection.statistics.distance is not None:
        distance = f"{inspection.statistics.distance:.2g} (fresh: {inspection.statistics.fresh_distance:.2g})"
    return [
        inspection.name,
        inspection.verdict,
        inspection.digest or "",
        share,
        dropped,
        print_,
        distance,
        inspection.licence,
        what,
    ]
