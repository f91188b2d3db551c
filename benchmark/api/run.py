"""`plan` and `run`: what a run would do, and the run itself."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.api.options import (
    Names,
    PathLike,
    Seeds,
    Settings,
    Shares,
    Values,
    find_places,
    join_names,
    progress_of,
    request_of,
)
from benchmark.api.progress import Event, Progress
from benchmark.text import plural

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.cell import Cell
    from benchmark.experiment.plan import PlanRow

MAX_FAILURES_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run would do: `rows`, one for each task, model, protocol and recipe; `notes`, lines to read before it."""

    rows: "list[PlanRow]"
    notes: list[str]
    lacking: set[str]  # models whose weights are not here

    @property
    def num_cells(self) -> int:
        """The number of cells: done, failed and pending."""
        return sum(row.done + row.failed + len(row.pending) for row in self.rows)

    @property
    def num_pending(self) -> int:
        """The number of cells that would be run."""
        return sum(len(row.pending) for row in self.rows)

    @property
    def hours(self) -> float | None:
        """The estimated hours on one worker, of the rows that have an estimate; None where no row has one."""
        known = [row.hours for row in self.rows if row.pending and row.hours is not None]
        return sum(known) if known else None

    @property
    def num_without_estimate(self) -> int:
        """The number of rows with pending cells of which nothing alike was measured yet."""
        return sum(1 for row in self.rows if row.pending and row.hours is None)

    @property
    def frame(self) -> "pd.DataFrame":
        """The rows as a table: counts of images in each split, counts of cells, hours on one worker (NaN: not known)."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "task": row.task,
                    "model": row.model,
                    "protocol": row.how,
                    **dict(zip(("num_train", "num_validation", "num_test"), row.images, strict=True)),
                    "done": row.done,
                    "failed": row.failed,
                    "pending": len(row.pending),
                    "hours": row.hours,
                    "overlap": row.overlap,
                }
                for row in self.rows
            ]
        ).astype({"hours": float})


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """How a run ended. `failures`: a line for each failed cell; `pending`: reason -> the cells that stay to be run."""

    results: Path
    num_cells: int
    num_done: int
    failures: list[str]
    pending: dict[str, list[str]]
    num_elsewhere: int = 0  # cells that other processes still work on, where the run did not wait for them
    not_judged: str = ""  # a line about cells of `evaluate_on` whose models were trained before and not kept

    @property
    def is_complete(self) -> bool:
        """Whether every cell is done."""
        return not self.failures and not self.pending and not self.not_judged


def plan(
    *,
    models: Names | None = None,
    tasks: Names | None = None,
    protocol: Names | None = None,
    seeds: Seeds | None = None,
    settings: Settings | None = None,
    sweep: Values | None = None,
    search: Values | None = None,
    fractions: Shares | None = None,
    subsets: Shares | None = None,
    folds: int | None = None,
    suite: PathLike | None = None,
    evaluate_on: Names | None = None,
    keep_weights: bool = False,
    allow_overlap: bool = False,
    results: PathLike | None = None,
    data: PathLike | None = None,
    project: PathLike | None = None,
) -> Plan:
    """Returns what `run` would do with the same arguments; trains and downloads nothing.

    Arguments are the options of `benchmark run`: `models` and `tasks` are names, wildcards or `all`; `seeds=10` is seeds 0
    to 9, `seeds=[3]` is seed 3 alone; `settings` changes recipe fields; `fractions` are shares of the training patients
    (above 0, up to 1), `subsets` numbers of training images; with `evaluate_on`, each model is also judged on the test split
    of these tasks, without further training, on the labels shared; `keep_weights` stores the weights of trained models.
    Folders not given are found as on the command line.

    Raises BenchmarkError, with every wrong name and every missing data set in one message.

    >>> bm.plan(models="imagenet,swav", tasks="TXC", seeds=10, settings={"image_size": 96}).frame  # doctest: +SKIP
    """
    from benchmark.experiment.plan import plan_rows
    from benchmark.experiment.preparation import lacking_weights, prepare_grid
    from benchmark.experiment.shift import check_kept, plan_shifts, read_shifts
    from benchmark.results.store import Store

    request = request_of(
        find_places(results, data, project),
        models,
        tasks,
        protocol,
        seeds,
        settings,
        sweep,
        search,
        fractions,
        subsets,
        folds,
        suite,
    )
    request = request.with_phantoms()
    promised = request.promised()
    prepared = prepare_grid(request.grid(promised=promised), allow_overlap=allow_overlap)
    store = Store(prepared.grid.workspace.results)
    rows = plan_rows(prepared.cells(), prepared.indexes, prepared.tasks, store, prepared.overlapping)
    kept_cells = [cell for row in rows for cell in row.pending]
    shifts = read_shifts(join_names(evaluate_on), prepared, allow_overlap=allow_overlap)
    shift_rows, shift_notes = plan_shifts(shifts, rows, store)
    rows = [*rows, *shift_rows]
    damaged = filter(None, (store.damage(cell) for row in rows for cell in row.pending))
    notes = [*prepared.notes, *shift_notes, *(f"to be run again: {line}" for line in damaged)]
    if keep_weights:
        check_kept(prepared)
        notes.append(_size_of_weights(kept_cells))
    notes += (
        [f"trained first: {step.describe()}" for step in request.suite.pretrain] if promised and request.suite else []
    )
    if lacking := lacking_weights(prepared.grid, but={entry.name for entry in promised}):
        notes.append(lacking)
    return Plan(rows=rows, notes=notes, lacking={entry.name for entry in prepared.grid.lacking()})


def run(
    *,
    models: Names | None = None,
    tasks: Names | None = None,
    protocol: Names | None = None,
    seeds: Seeds | None = None,
    settings: Settings | None = None,
    sweep: Values | None = None,
    search: Values | None = None,
    fractions: Shares | None = None,
    subsets: Shares | None = None,
    folds: int | None = None,
    suite: PathLike | None = None,
    evaluate_on: Names | None = None,
    keep_weights: bool = False,
    allow_overlap: bool = False,
    workers: int = 0,
    device: str = "auto",
    retry_failed: bool = False,
    wait: bool = True,
    track: list[str] | None = None,
    offline: bool = False,
    results: PathLike | None = None,
    data: PathLike | None = None,
    project: PathLike | None = None,
    progress: Progress | bool = False,
) -> RunOutcome:
    """Trains and judges every cell of a grid that is not done yet, and returns how that ended.

    Arguments are those of `plan`, and `workers` (processes; 0: one for each GPU, one on a CPU), `device` (auto, cpu, cuda,
    cuda:N), `retry_failed`, `wait` (False leaves cells to other living processes that work on them), `track` (such as
    `["tensorboard:logs"]`), `offline`, and `progress`: True shows bars on standard error, a `bm.Progress` receives the
    events, False shows nothing.

    Cells that fail do not raise: they are listed in the outcome. The same call again continues where an interrupted one
    stopped. Raises BenchmarkError for a wrong request. Cells run in processes of their own: a script needs the usual
    `if __name__ == "__main__":` around this call, a notebook does not.

    >>> bm.run(models="imagenet,swav", tasks="TXC", seeds=10, progress=True).num_done  # doctest: +SKIP
    """
    from benchmark.api.encoders import pretrain_first
    from benchmark.experiment.preparation import bring_weights, prepare_grid
    from benchmark.experiment.shift import check_kept, describe_untrained, read_shifts, shifts_to_run
    from benchmark.results.plans import write_plan
    from benchmark.results.store import Store
    from benchmark.scheduler.device import check_device
    from benchmark.tracking.trackers import check_trackers

    check_device(device)
    check_trackers(track or [])
    shown = progress_of(progress)
    request = request_of(
        find_places(results, data, project),
        models,
        tasks,
        protocol,
        seeds,
        settings,
        sweep,
        search,
        fractions,
        subsets,
        folds,
        suite,
    ).with_phantoms()
    pretrain_first(request, device=device, progress=shown)
    prepared = prepare_grid(request.grid(), allow_overlap=allow_overlap)
    if keep_weights:
        check_kept(prepared)
    shifts = read_shifts(join_names(evaluate_on), prepared, allow_overlap=allow_overlap)
    bring_weights(prepared.grid.without(prepared.overlapping), offline=offline, bar=shown.download)
    trained = prepared.cells_to_run()
    workspace = prepared.grid.workspace
    store = Store(workspace.results)
    to_judge = shifts_to_run(shifts, trained, store, retry_failed=retry_failed)
    cells = [*trained, *to_judge.cells]
    earlier = {cell.key: store.get(cell) for cell in cells}
    done = [cell for cell in cells if (record := earlier[cell.key]) and record.status == "done"]
    failed = [record for record in earlier.values() if record and record.status == "failed" and not retry_failed]
    settled = {cell.key for cell in done} | {record.key for record in failed}
    settled |= {cell.key for cell in to_judge.without_model}
    due = [cell for cell in cells if cell.key not in settled]
    for line in (*prepared.notes, *shifts.notes):
        shown.say(line)
    if keep_weights and (lacking := [cell for cell in trained if cell in done and not store.has_weights(cell)]):
        shown.say(f"{plural(len(lacking), 'cell')} trained before without --keep-weights: these weights are not kept")
    for cell in cells:
        if earlier[cell.key] is None and (damage := store.damage(cell)):
            shown.say(f"run again: {damage}")
    counts = [f"{len(due):,} to run"]
    if done:
        counts.append(f"{len(done):,} done before")
    if failed:
        counts.append(f"{len(failed):,} failed before")
    shown.say(f"{plural(len(cells), 'cell')}: {', '.join(counts)}")
    for record in failed[:MAX_FAILURES_SHOWN]:
        shown.say(f"failed before: {record.cell.title}: {record.error}")
    store.remove_leftovers(done)
    write_plan(store.root, cells)
    num_done = len(done)
    failures = [f"{record.cell.title}: {record.error}" for record in failed]
    pending: dict[str, list[str]] = {}
    num_elsewhere = 0
    if due:
        from benchmark.experiment.groups import group_cells, with_shifted
        from benchmark.scheduler.local import LocalScheduler
        from benchmark.tasks.shift import with_shifts
        from benchmark.tracking.trackers import tracked

        titles = {cell.key: cell.title for cell in due}
        metrics = {task.name: task.metric for task in with_shifts(prepared.tasks | shifts.targets, due).values()}
        with shown.cells(due, metrics) as show, tracked(track or [], due, shown.say) as log:

            def tell(event: Event) -> None:
                log(event)
                show(event)
                if event["event"] == "failed":
                    failures.append(f"{titles[event['key']]}: {event['reason']}")
                elif event["event"] == "pending":
                    pending.setdefault(event["reason"], []).append(titles[event["key"]])

            scheduler = LocalScheduler(
                workspace=workspace,
                workers=workers,
                device=device,
                retry_failed=retry_failed,
                wait=wait,
                keep_weights=keep_weights,
                tell=tell,
            )
            groups = group_cells([cell for cell in due if cell.shift is None], prepared.tasks)
            tally = scheduler.run(with_shifted(groups, to_judge.due))
            num_done += tally["done"]
            num_elsewhere = tally["elsewhere"]
    return RunOutcome(
        results=workspace.results,
        num_cells=len(cells),
        num_done=num_done,
        failures=failures,
        pending=pending,
        num_elsewhere=num_elsewhere,
        not_judged=describe_untrained(to_judge.without_model, store),
    )


def _size_of_weights(cells: "list[Cell]") -> str:
    """Returns a line about the disk that the weights of cells take: four bytes for each of their parameters."""
    from benchmark.api.listing import num_parameters

    num = sum(num_parameters(weights.architecture) for cell in cells for weights in cell.weights)
    size = f"{4 * num / 1e9:,.1f} GB" if num > 1e8 else f"{4 * num / 1e6:,.1f} MB"
    return f"--keep-weights: about {size} for the weights of {plural(len(cells), 'pending cell')}"
