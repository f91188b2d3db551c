"""`benchmark report`."""

import re
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.options import Models, Project, Results, SuiteName, Tasks, places_of
from benchmark.fault import Fault, did_you_mean, first_few, plural

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.record import RunRecord
    from benchmark.store import Store
    from benchmark.tasks import TaskSpec


def report(
    *,
    tasks: Tasks = None,
    models: Models = None,
    baseline: Annotated[
        str | None, typer.Option(help="Model that the others are tested against (default: imagenet, else scratch).")
    ] = None,
    suite: SuiteName = None,
    submission: Annotated[
        bool, typer.Option("--submission", help="Also write a challenge's submission file per cell (APTOS, PatchCam).")
    ] = False,
    name: Annotated[str | None, typer.Option(help="The report's name (default: the suite or the tasks).")] = None,
    results: Results = None,
    project: Project = None,
) -> None:
    """Tables and figures from the records: mean ± sd (n), t-tests against a baseline, epochs. CSV, Markdown, PNG."""
    from benchmark.cli.shown import out, table_of
    from benchmark.plan import read_suite
    from benchmark.report.figures import curves_figure, seeds_figure
    from benchmark.report.frame import frame_of
    from benchmark.report.groups import groups_of
    from benchmark.report.tables import PRINTED, caption, default_baseline, markdown, summary
    from benchmark.selection import select
    from benchmark.store import Store
    from benchmark.tasks import known_tasks

    places = places_of(results=results, project=project)
    known = known_tasks(places)
    if suite:
        grid = read_suite(suite, places.project / "tasks" / "suites")
        tasks, models, baseline = tasks or grid.tasks, models or grid.models, baseline or grid.baseline or None
    store = Store(places.results)
    records, unread = store.records()
    frame = frame_of(records, known)
    if frame.empty:
        raise Fault(f"no finished cell in {places.results}: benchmark run … first")
    kinds = {task: known[task].kind if task in known else "" for task in dict.fromkeys([*known, *frame["task"]])}
    frame = frame[frame["task"].isin(select(tasks or "all", kinds, noun="task"))]
    if models and models != "all":
        frame = frame[frame["model"].isin(select(models, dict.fromkeys(frame["model"], ""), noun="model with results"))]
    if frame.empty:
        others = first_few(sorted({r.cell.task for r in records}), 8)
        raise Fault(f"no finished cell of {tasks} in {places.results}; there are some of {others}")
    baseline = baseline or default_baseline(frame)
    if baseline not in set(frame["model"]):
        raise Fault(
            f"--baseline {baseline}: no finished cell of it here: {did_you_mean(baseline, set(frame['model']))}"
        )
    rows = summary(frame, baseline)
    failed = [r.cell.title for r in records if r.status == "failed" and r.cell.task in set(frame["task"])]
    beside = [f"{plural(len(failed), 'failed cell')} left out: {first_few(failed)}"] if failed else []
    beside += [f"left out: {line}" for line in unread]
    files = {
        "table.md": (markdown(rows) + "".join(f"\n{line}\n" for line in beside)).encode(),
        "table.csv": rows.to_csv(index=False).encode(),
        "cells.csv": frame.to_csv(index=False).encode(),
        "seeds.png": seeds_figure(frame, rows),
        "curves.png": curves_figure(frame, records),
    }
    if len(groups := groups_of(frame, records)):
        files["groups.csv"] = groups.to_csv(index=False).encode()
    if submission:
        files |= _submissions(frame, records, store, known)
    folder = store.put_report(name or suite or "+".join(dict.fromkeys(frame["task"])), files)
    console = out()
    for _, block in rows.groupby("block", sort=False):
        table = table_of(*(column.head for column in PRINTED))
        for _, row in block.iterrows():
            table.add_row(*(column.written(row) for column in PRINTED))
        console.print(f"\n{caption(block)}", markup=False)
        console.print(table)
    for line in (*beside, f"\n{first_few(files, 12)} in {folder}"):
        typer.echo(line)


def _submissions(
    frame: "pd.DataFrame", records: "list[RunRecord]", store: "Store", tasks: "dict[str, TaskSpec]"
) -> dict[str, bytes]:
    """A file for each cell that predicted images without labels; Raises Fault where none did."""
    from benchmark.data.readers import SUBMISSIONS

    cells = {record.key: record.cell for record in records}
    files = {}
    for key in frame["key"]:
        cell = cells[key]
        predictions = store.unlabelled(cell)
        written = SUBMISSIONS.get(tasks[cell.task].reader) if cell.task in tasks else None
        if predictions is not None and written is not None:
            model = re.sub(r"[^\w.+-]+", "-", cell.model)
            file = f"submission-{cell.task}-{model}-seed{cell.seed}-{cell.key[:8]}.csv"
            files[file] = written(predictions).to_csv(index=False).encode()
    if not files:
        raise Fault(
            "--submission: no cell here predicted images without labels: it is for challenges whose test has none "
            "(APTOS, PatchCam), with their test images in place when the cells were run"
        )
    return files
