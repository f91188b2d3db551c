"""`benchmark compare`."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.cli.options import Project, Results, Tasks
from benchmark.text import first_few

if TYPE_CHECKING:
    import pandas as pd


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A model, as reports name it; or a results folder.")],
    second: Annotated[
        str, typer.Argument(metavar="B", help="What A is compared with: a model, or a first run's folder.")
    ],
    *,
    tasks: Tasks = None,
    margin: Annotated[
        float, typer.Option("--margin", help="Points (of 100) within which results count as equivalent.")
    ] = 1.0,
    test_sets: Annotated[
        bool,
        typer.Option("--test-sets/--no-test-sets", help="Resample the test part by patient under all runs of both."),
    ] = True,
    csv: Annotated[Path | None, typer.Option("--csv", help="Also write the table here.", show_default=False)] = None,
    results: Results = None,
    project: Project = None,
) -> None:
    """Compare two models, or a replication with a first run: which is better, by how much, how sure, on which tasks.

    Differences are A - B, in points (100 x the score).
    """
    from benchmark.api.compare import compare as compare_runs
    from benchmark.files import write_atomically
    from benchmark.reporting.table_writers import frame_csv

    comparison = compare_runs(
        first, second, tasks=tasks, margin=margin, test_sets=test_sets, results=results, project=project
    )
    for data, rows in comparison.table.groupby("data", sort=False):
        _show(rows, comparison.sentences[str(data)], margin, first, second)
    if csv is not None:
        write_atomically(csv, frame_csv(comparison.table))
        typer.echo(f"{len(comparison.table)} rows in {csv}")
    for line in comparison.unread:
        typer.echo(f"left out: {line}")


def _show(rows: "pd.DataFrame", said: list[str], margin: float, first: str, second: str) -> None:
    from benchmark.cli.console import out, table_of
    from benchmark.reporting.compare_sentences import task_label
    from benchmark.reporting.format import OVERLAP, UNKNOWN, difference, p_value, score, signed

    def side(row: "pd.Series[Any]", which: str) -> str:
        if not row[f"n_{which}"]:
            return UNKNOWN
        mark = f" {OVERLAP}" if row[f"overlap_{which}"] else ""
        return f"{score(row[f'mean_{which}'], row[f'sd_{which}'])} ({row[f'n_{which}']}){mark}"

    by_model = ["model"] * ("model" in rows)
    heads = (*by_model, "mean ± sd (n): A", "B", "A - B [95 % CI]", "p", "p (Holm)", "g")
    more_heads = ("paired [95 % CI]", "p (pairs)", f"p (within ± {margin:g})", "other test sets [95 %]", "A is")
    table = table_of("task", *heads, *more_heads)
    for _, row in rows.iterrows():
        paired = not math.isnan(row["paired_mean"])
        table.add_row(
            task_label(row),
            *(str(row[name]) for name in by_model),
            side(row, "first"),
            side(row, "second"),
            difference(row["difference"], row["low"], row["high"]),
            p_value(row["p"]),
            p_value(row["p_holm"]),
            signed(row["g"]),
            difference(row["paired_mean"], row["paired_low"], row["paired_high"]),
            f"{p_value(row['paired_p'])} ({row['n_pairs']})" if paired else UNKNOWN,
            p_value(row["p_equivalent"]),
            difference(*(row.get(f"test_{name}") for name in ("difference", "low", "high"))),
            row["verdict"],
        )
    for line in said:
        typer.echo(line)
    typer.echo(f"\nA: {first}; B: {second}. 100 × {first_few(dict.fromkeys(rows['metric']), 5)}; sd with n - 1.")
    out().print(table)
