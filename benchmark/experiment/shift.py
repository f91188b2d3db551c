"""Distribution shift: the cells that judge a grid's models on other tasks, without further training. Torch-free."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from benchmark.cell import Cell, Shift
from benchmark.data.assignment import labels_of
from benchmark.data.index import Index
from benchmark.data.registry import index_of
from benchmark.data.splitting import assign_splits
from benchmark.errors import BenchmarkError
from benchmark.experiment.estimate import test_seconds_of
from benchmark.experiment.overlap import contamination, describe_overlap, trained_on_the_test
from benchmark.experiment.plan import PlanRow
from benchmark.experiment.preparation import PreparedGrid, raise_faults
from benchmark.experiment.selection import select
from benchmark.protocols.registry import find_protocol
from benchmark.results.store import Store
from benchmark.tasks.registry import known_tasks
from benchmark.tasks.shift import shared_labels
from benchmark.tasks.spec import TaskSpec
from benchmark.text import first_few, plural


@dataclass(kw_only=True)
class Shifts:
    """The other tasks on which a grid's models are judged: `shifts`: name of the task -> what judging on each target is;
    `targets`: the targets' fact sheets; `overlapping`: pairs of target and model that are not judged; `notes`: lines for
    the user.
    """

    shifts: dict[str, list[Shift]] = field(default_factory=dict)
    targets: dict[str, TaskSpec] = field(default_factory=dict)
    overlapping: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    num_test: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def of(self, cell: Cell) -> list[Cell]:
        """Returns the cells that judge a cell's model on the targets."""
        return [
            cell.shifted(shift)
            for shift in self.shifts.get(cell.task, [])
            if (shift.task, cell.model) not in self.overlapping
        ]


def read_shifts(text: str | None, prepared: PreparedGrid, *, allow_overlap: bool = False) -> Shifts:
    """Returns the tasks that `--evaluate-on` names, for each task of the grid; reads their data.

    Raises one BenchmarkError for unknown tasks, protocols that train on no images, tasks that share no label with the
    grid's, and data that are not here.
    """
    found = Shifts()
    if not text:
        return found
    workspace = prepared.grid.workspace
    known = known_tasks(workspace)
    names = select(text, {task.name: task.kind for task in known.values()}, noun="task")
    faults = dict.fromkeys(filter(None, (_unfit(run.protocol, run.task) for run in prepared.grid.task_runs)))
    raise_faults(list(faults))
    indexes: dict[str, Index] = dict(prepared.indexes)
    lines: list[str] = []
    for target in (known[name] for name in names):
        try:
            if target.name not in indexes:
                indexes[target.name] = index_of(target, workspace)
        except BenchmarkError as fault:
            lines.append(str(fault))
            continue
        for source in prepared.tasks.values():
            if source.name != target.name:
                _add_pair(found, source, target, indexes, lines, allow_overlap=allow_overlap)
        if not allow_overlap:
            _add_overlaps(found, prepared, target, indexes[target.name])
    raise_faults(lines)
    if found.overlapping:
        found.notes.append(describe_overlap(found.overlapping))
    return found


def _unfit(protocol: str, task: TaskSpec) -> str:
    if task.has_masks:
        return f"--evaluate-on: {task.name} is a segmentation: wanted tasks with labels"
    if find_protocol(protocol).uses_features(task.kind):
        return f"--evaluate-on: --protocol {protocol} trains on features: wanted one that trains on images, such as finetune"
    return ""


def _add_pair(
    found: Shifts,
    source: TaskSpec,
    target: TaskSpec,
    indexes: dict[str, Index],
    faults: list[str],
    *,
    allow_overlap: bool,
) -> None:
    """Adds a pair of tasks to what is judged, or to the notes where the source trains on the target's images."""
    index = indexes[target.name]
    try:
        pairs = shared_labels(source, target, labels_of(indexes[source.name], source), labels_of(index, target))
    except BenchmarkError as fault:
        faults.append(str(fault))
        return
    if not allow_overlap and (names := trained_on_the_test(source, target, indexes)):
        found.notes.append(
            f"{source.name} is not judged on {target.name} (–): its training images are of {first_few(names)} too; "
            "--allow-overlap judges it"
        )
        return
    shift = Shift(
        source=source.name,
        task=target.name,
        task_digest=target.digest,
        data="phantom" if index.phantom else "official",
        data_digest=index.digest,
        labels=pairs,
    )
    found.shifts.setdefault(source.name, []).append(shift)
    found.targets[target.name] = target
    found.num_test[target.name] = int((assign_splits(index, target.split) == "test").sum())


def _add_overlaps(found: Shifts, prepared: PreparedGrid, target: TaskSpec, index: Index) -> None:
    for model in prepared.grid.models:
        seen = [
            name for entry in model for name in contamination(entry, target, index, prepared.grid.workspace.weights)
        ]
        if seen:
            found.overlapping[target.name, "+".join(entry.name for entry in model)] = tuple(dict.fromkeys(seen))


@dataclass(kw_only=True)
class ShiftsToRun:
    """The cells of shifts, but for those whose source has failed: `cells`: all; `due`: source's key -> cells to judge;
    `without_model`: cells whose source was trained before and has kept no weights.
    """

    cells: list[Cell] = field(default_factory=list)
    due: dict[str, list[Cell]] = field(default_factory=dict)
    without_model: list[Cell] = field(default_factory=list)


def shifts_to_run(shifts: Shifts, cells: Iterable[Cell], store: Store, *, retry_failed: bool) -> ShiftsToRun:
    """Returns which cells of the shifts are due, for the cells of a grid."""
    to_run = ShiftsToRun()
    for cell in cells:
        source = store.get(cell)
        if source is not None and source.status == "failed" and not retry_failed:
            continue
        for shifted in shifts.of(cell):
            to_run.cells.append(shifted)
            record = store.get(shifted)
            if record is not None and (record.status == "done" or not retry_failed):
                continue
            if source is None or source.status == "failed" or store.has_weights(cell):
                to_run.due.setdefault(cell.key, []).append(shifted)
            else:
                to_run.without_model.append(shifted)
    return to_run


def check_kept(prepared: PreparedGrid) -> None:
    """Raises BenchmarkError where --keep-weights is asked of protocols that train no network on images."""
    for run in prepared.grid.task_runs:
        if find_protocol(run.protocol).uses_features(run.task.kind):
            raise BenchmarkError(
                f"--keep-weights: --protocol {run.protocol} trains on features: wanted one that trains on images, "
                "such as finetune"
            )


def plan_shifts(shifts: Shifts, rows: list[PlanRow], store: Store) -> tuple[list[PlanRow], list[str]]:
    """Returns a row for each pair of tasks of each row of a plan, with what is done and pending, and the notes of the shifts.
    Their time is that of one pass over the test images.
    """
    measured = store.records(hashed=False)[0] if shifts.shifts else []
    found: list[PlanRow] = []
    notes = list(shifts.notes)
    without_model: list[Cell] = []
    for row in rows:
        by_task: dict[str, PlanRow] = {}
        for cell in row.cells if not row.overlap else ():
            source = store.get(cell)
            if source is not None and source.status == "failed":
                continue
            for shifted in shifts.of(cell):
                images = (0, 0, shifts.num_test[shifted.shift.task] if shifted.shift else 0)
                new = PlanRow(task=shifted.task, model=row.model, how=row.how, images=images)
                own = by_task.setdefault(shifted.task, new)
                own.cells.append(shifted)
                if (record := store.get(shifted)) is not None:
                    own.done += record.status == "done"
                    own.failed += record.status == "failed"
                elif source is None or store.has_weights(cell):
                    own.pending.append(shifted)
                else:
                    without_model.append(shifted)
        for own in by_task.values():
            seconds = test_seconds_of(own.cells[0], own.images[2], measured) if own.pending else None
            own.hours = None if seconds is None else seconds * len(own.pending) / 3600
        found += by_task.values()
    if without_model:
        notes.append(describe_untrained(without_model, store))
    return found, notes


def describe_untrained(cells: list[Cell], store: Store) -> str:
    """Returns a line that says how cells are judged whose sources were trained before and have kept no weights; nothing where
    there are none.
    """
    if not cells:
        return ""
    folders = first_few(list(dict.fromkeys(str(store.folder(cell.source)) for cell in cells)), 2)
    return (
        f"{plural(len(cells), 'cell')} of --evaluate-on cannot be judged: their models were trained before and not kept; to "
        f"train them again, remove the folders of their cells ({folders}) and give the command again"
    )
