"""`benchmark plan`, `run`, `status`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.cli.options import (
    AllowOverlap,
    Data,
    Device,
    Folds,
    Fractions,
    Models,
    Offline,
    Project,
    ProtocolName,
    Results,
    SearchFields,
    Seeds,
    Settings,
    Subsets,
    SuiteName,
    Sweep,
    Tasks,
    workspace_of,
)
from benchmark.text import plural, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from benchmark.cell import Cell
    from benchmark.workspace import Workspace


Track = Annotated[
    list[str] | None,
    typer.Option(
        "--track",
        metavar="NAME[:WHERE]",
        help="Also log to tensorboard[:DIR], mlflow[:DIR or URI] or wandb[:DIR or URL]. May be repeated.",
    ),
]


def plan(
    *,
    models: Models = None,
    tasks: Tasks = None,
    protocol: ProtocolName = None,
    seeds: Seeds = None,
    settings: Settings = None,
    sweep: Sweep = None,
    search: SearchFields = None,
    fractions: Fractions = None,
    subsets: Subsets = None,
    folds: Folds = None,
    suite: SuiteName = None,
    allow_overlap: AllowOverlap = False,
    results: Results = None,
    data: Data = None,
    project: Project = None,
) -> None:
    """What `run` would do: cells, done and pending, images, and an estimate of time from measured epochs."""
    from benchmark.cli.console import out, table_of
    from benchmark.experiment.overlap import told as overlap_told
    from benchmark.experiment.plan import check_splits, plan_rows
    from benchmark.experiment.request import RunRequest, indexes_of, lacking_weights, refuse
    from benchmark.results.store import Store

    workspace = workspace_of(results=results, data=data, project=project)
    wish = RunRequest.of(
        workspace,
        models,
        tasks,
        seeds=seeds,
        protocol=protocol,
        settings=settings,
        sweep=sweep,
        search=search,
        fractions=fractions,
        subsets=subsets,
        folds=folds,
        suite=suite,
    )
    grid = wish.with_phantoms().grid()
    faults: list[str] = []
    indexes = indexes_of(grid, faults=faults)
    refuse(faults)
    lacking = {entry.name for entry in grid.lacking()}
    overlapping = {} if allow_overlap else grid.overlapping(indexes)
    known_tasks = {task.name: task for task in grid.tasks}
    cells = grid.cells(indexes)
    faults, notes_on_splits = check_splits(cells, indexes, known_tasks)
    refuse(faults)
    store = Store(grid.workspace.results)
    rows = plan_rows(cells, indexes, known_tasks, store, overlapping)
    table = table_of("task", "model", "protocol", "train / val / test", "done", "failed", "pending", "estimate")
    for row in rows:
        estimate = "weights not here" if row.model in lacking else _duration(row.hours) if row.pending else ""
        estimate = "overlap: –" if row.overlap else estimate
        images = " / ".join(f"{count:,}" for count in row.images)
        table.add_row(
            row.task, row.model, row.how, images, str(row.done), str(row.failed), str(len(row.pending)), estimate
        )
    out().print(table)
    known = [row.hours for row in rows if row.pending and row.hours is not None]
    unknown = sum(1 for row in rows if row.pending and row.hours is None)
    told = [
        plural(sum(r.done + r.failed + len(r.pending) for r in rows), "cell"),
        f"{sum(len(r.pending) for r in rows):,} pending",
    ]
    told += [f"about {_duration(sum(known))} on one worker"] * bool(known)
    told += [f"{plural(unknown, 'row')} without an estimate: nothing alike was measured yet, one seed tells"] * bool(
        unknown
    )
    typer.echo(", ".join(told))
    beside = [f"{index.task}: {note}" for index in indexes.values() for note in index.notes]
    left_out = overlap_told(overlapping) if overlapping else ""
    damaged = filter(None, (store.damage(cell) for row in rows for cell in row.pending))
    beside += [f"to be run again: {line}" for line in damaged]
    for line in filter(None, [left_out, lacking_weights(grid), *grid.notes, *notes_on_splits, *beside]):
        typer.echo(line)


def run(
    *,
    models: Models = None,
    tasks: Tasks = None,
    protocol: ProtocolName = None,
    seeds: Seeds = None,
    settings: Settings = None,
    sweep: Sweep = None,
    search: SearchFields = None,
    fractions: Fractions = None,
    subsets: Subsets = None,
    folds: Folds = None,
    suite: SuiteName = None,
    allow_overlap: AllowOverlap = False,
    workers: Annotated[
        int, typer.Option("--workers", "-w", min=0, help="Processes; 0: one per GPU, one on a CPU.")
    ] = 0,
    device: Device = "auto",
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Take failed cells again.")] = False,
    track: Track = None,
    offline: Offline = False,
    results: Results = None,
    data: Data = None,
    project: Project = None,
) -> None:
    """Run a grid: every model on every task, ten seeds a cell. The same command again continues where it stopped."""
    from rich.console import Console

    from benchmark.cli.pretrain import pretrain_first
    from benchmark.cli.progress import GridProgress, bytes_bar, resumable
    from benchmark.experiment.groups import group_cells
    from benchmark.experiment.overlap import told as overlap_told
    from benchmark.experiment.plan import check_splits
    from benchmark.experiment.request import RunRequest, bring_weights, indexes_of, lacking_weights, refuse
    from benchmark.results.store import Store
    from benchmark.scheduler.device import check_device
    from benchmark.scheduler.local import LocalScheduler
    from benchmark.tracking.trackers import check_trackers, tracked

    check_device(device)
    check_trackers(track or [])
    workspace = workspace_of(results=results, data=data, project=project)
    wish = RunRequest.of(
        workspace,
        models,
        tasks,
        seeds=seeds,
        protocol=protocol,
        settings=settings,
        sweep=sweep,
        search=search,
        fractions=fractions,
        subsets=subsets,
        folds=folds,
        suite=suite,
    )
    wish = wish.with_phantoms()
    pretrain_first(wish, device=device)
    grid = wish.grid()
    faults: list[str] = []
    indexes = indexes_of(grid, faults=faults)
    refuse([*faults, lacking_weights(grid)] if faults else [])
    overlapping = {} if allow_overlap else grid.overlapping(indexes)
    grid = grid.without(overlapping)
    known_tasks = {task.name: task for task in grid.tasks}
    cells = grid.cells(indexes)
    faults, notes_on_splits = check_splits(cells, indexes, known_tasks)
    refuse(faults)
    bring_weights(grid, offline=offline, bar=bytes_bar)
    cells = grid.cells(indexes)
    store = Store(grid.workspace.results)
    earlier = {cell.key: store.get(cell) for cell in cells}
    statuses = {key: record.status if record else "" for key, record in earlier.items()}
    due = [cell for cell in cells if statuses[cell.key] not in ("done", "" if retry_failed else "failed")]
    failed_before = [] if retry_failed else [r for r in earlier.values() if r and r.status == "failed"]
    num_done = sum(status == "done" for status in statuses.values())
    told = [f"{len(due):,} to run"] + [f"{num_done:,} done before"] * bool(num_done)
    told += [f"{len(failed_before):,} failed before"] * bool(failed_before)
    beside = [f"{index.task}: {note}" for index in indexes.values() for note in index.notes]
    beside += [*notes_on_splits, *grid.notes, *([overlap_told(overlapping)] if overlapping else [])]
    damaged = filter(None, (store.damage(cell) for cell in cells if earlier[cell.key] is None))
    beside += [f"run again: {line}" for line in damaged]
    store.remove_leftovers(cell for cell in cells if statuses[cell.key] == "done")
    for line in (*beside, f"{plural(len(cells), 'cell')}: {', '.join(told)}"):
        typer.echo(line, err=True)
    failures = [f"{r.cell.title}: {r.error}" for r in failed_before]
    pending: dict[str, list[str]] = {}
    metrics = {task.name: task.metric for task in grid.tasks}
    if due:
        console = Console(stderr=True)
        with (
            resumable(),
            GridProgress(due, metrics, console) as progress,
            tracked(track or [], due, _warn_on(console)) as log,
        ):

            def tell(event: dict[str, Any]) -> None:
                log(event)
                progress.tell(event)

            scheduler = LocalScheduler(
                workspace=grid.workspace,
                workers=workers,
                device=device,
                retry_failed=retry_failed,
                tell=tell,
            )
            num_done += scheduler.run(group_cells(due, known_tasks))["done"]
        failures += progress.failures
        pending = progress.pending
    for failure in failures[:20]:
        typer.secho(f"failed: {failure}", err=True, fg="red")
    shown = f"--suite {suite}" if suite else f"--tasks {tasks}"
    typer.echo(
        f"{num_done:,} of {plural(len(cells), 'cell')} done in {grid.workspace.results}; the table: benchmark report {shown}"
    )
    if failures:
        typer.echo(
            f"{plural(len(failures), 'cell')} failed: benchmark status tells why, --retry-failed takes them again"
        )
    for reason, names in pending.items():
        typer.secho(f"{plural(len(names), 'cell')} left pending, the same command takes them again: {reason}", err=True)
    if failures or pending:
        raise typer.Exit(1)


def status(*, tasks: Tasks = None, models: Models = None, results: Results = None, project: Project = None) -> None:
    """The grid so far: done, running, interrupted, failed and why."""
    from collections import Counter

    from benchmark.cli.console import out, table_of
    from benchmark.results.store import Store

    workspace = workspace_of(results=results, project=project)
    store = Store(workspace.results)
    cells: list[tuple[Cell, str]] = []
    failed: list[tuple[Cell, str]] = []
    unread: list[str] = []
    for found in store.each():
        if isinstance(found, str):
            unread.append(found)
            continue
        cells.append((found.cell, found.status))
        if found.status == "failed":
            failed.append((found.cell, f"failed: {found.cell.title} (attempt {found.attempt}): {found.error}"))
    begun, damaged = store.unfinished()
    cells += [(cell, "running" if running else "interrupted") for cell, running in begun]
    unread += damaged
    if not cells:
        typer.echo(f"nothing was run in {workspace.results} yet: benchmark run --models … --tasks …")
    shown = _chosen([cell for cell, _ in cells], workspace, tasks, models) if cells and (tasks or models) else None
    counts: dict[tuple[str, str], Counter[str]] = {}
    for cell, is_so in cells:
        if shown is None or (cell.task, cell.model) in shown:
            counts.setdefault((cell.task, cell.model), Counter())[is_so] += 1
    columns = ("done", "running", "interrupted", "failed")
    table = table_of("task", "model", *columns)
    for (task, model), count in sorted(counts.items()):
        table.add_row(task, model, *(str(count[column] or "") for column in columns))
    if counts:
        out().print(table)
    elif cells:
        typer.echo(f"no cell of these in {workspace.results}")
    lines = [line for cell, line in failed if (cell.task, cell.model) in counts]
    lines += [f"left out: {line}" for line in unread]
    for line in lines:
        typer.echo(printable(line))


def _chosen(cells: "list[Cell]", workspace: "Workspace", tasks: str | None, models: str | None) -> set[tuple[str, str]]:
    """The pairs of task and model that `--tasks` and `--models` name, of those that were begun."""
    from benchmark.experiment.selection import select
    from benchmark.tasks.registry import known_tasks
    from benchmark.zoo.catalog import read_catalog

    pairs = {(cell.task, cell.model) for cell in cells}
    if tasks:
        kinds = {task: "" for task, _ in pairs} | {task.name: task.kind for task in known_tasks(workspace).values()}
        wanted = set(select(tasks, kinds, noun="task"))
        pairs = {pair for pair in pairs if pair[0] in wanted}
    if models:
        catalog = read_catalog(workspace.project / "model_zoo.yaml", workspace.own_zoo)
        families = {cell.model: "" for cell in cells} | {entry.name: entry.family for entry in catalog.values()}
        wanted = set(select(models, families, noun="model"))
        pairs = {pair for pair in pairs if pair[1] in wanted}
    return pairs


def _warn_on(console: "Console") -> "Callable[[str], None]":
    return lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True)


def _duration(hours: float | None) -> str:
    if hours is None:
        return "?"
    if hours < 1 / 60:
        return f"{hours * 3600:.0f} s"
    if hours < 1:
        return f"{hours * 60:.0f} min"
    return f"{hours:.1f} h" if hours < 100 else f"{hours / 24:,.0f} days"
