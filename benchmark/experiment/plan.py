"""A grid -> cells: which there are, which are done, pending or failed, how long they may take. Torch-free."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from statistics import mean, median
from typing import TYPE_CHECKING

from benchmark.cell import NUM_FOLDS, Cell
from benchmark.data.assignment import TrainingShare, assign_examples
from benchmark.data.index import Index
from benchmark.data.splitting import assign_splits
from benchmark.errors import BenchmarkError
from benchmark.results.record import RunRecord
from benchmark.results.store import Store
from benchmark.tasks.spec import TaskSpec

if TYPE_CHECKING:
    from benchmark.recipe import Recipe

Search = dict[str, tuple[int | float | str | None, ...]]  # recipe field -> the values that are tried


def check_splits(
    cells: Iterable[Cell], indexes: Mapping[str, Index], tasks: Mapping[str, TaskSpec]
) -> tuple[list[str], list[str]]:
    """Returns the faults of the cells' splits, one for each task and size (a subset larger than the training part, training
    images of one class alone), and a note for each part that lacks a class which other parts have.
    """
    splits: dict[tuple[str, TrainingShare, int], Recipe] = {}
    for cell in cells:
        share = TrainingShare.of_cell(cell)
        splits.setdefault((cell.task, share, cell.seed if share.is_drawn else 0), cell.recipe)
    faults: dict[tuple[str, int | None], str] = {}
    lacking: Counter[tuple[str, str]] = Counter()
    for (name, share, seed), recipe in splits.items():
        try:
            lacking.update(
                (name, note) for note in assign_examples(indexes[name], tasks[name], recipe, share, seed).notes
            )
        except BenchmarkError as fault:
            faults.setdefault((name, share.subset), str(fault))
    num_splits = Counter(name for name, _, _ in splits)
    return list(faults.values()), [
        f"{name}: {note}" + (f" (in {count} of {num_splits[name]} splits)" if num_splits[name] > 1 else "")
        for (name, note), count in lacking.items()
    ]


@dataclass(kw_only=True)
class Row:
    """One task, model, protocol and share of a plan (`how`: the last two). `images`: in the parts (train, validation,
    test); `hours` of what is pending, None while nothing alike was measured. `overlap`: the weights saw the task's
    images, so that nothing of it is pending.
    """

    task: str
    model: str
    how: str
    images: tuple[int, int, int]
    done: int = 0
    failed: int = 0
    running: int = 0
    pending: list[Cell] = field(default_factory=list)
    hours: float | None = None
    overlap: bool = False


def plan_rows(
    cells: list[Cell],
    indexes: dict[str, Index],
    tasks: dict[str, TaskSpec],
    store: Store,
    overlapping: Collection[tuple[str, str]] = (),
) -> list[Row]:
    """The grid by task, model, protocol, share and recipe, with what is done and an estimate from the records of like cells.

    `overlapping`: pairs of task and model that are not to be run.
    """
    measured, _ = store.records(hashed=False)
    sizes: dict[str, tuple[int, int, int]] = {}
    rows: dict[tuple[str, str, str, Recipe], Row] = {}
    for cell in cells:
        if cell.task not in sizes:
            fold = None if cell.fold is None else (0, cell.folds or NUM_FOLDS)
            parts = assign_splits(indexes[cell.task], tasks[cell.task].split, fold).value_counts()
            sizes[cell.task] = (int(parts["train"]), int(parts["validation"]), int(parts["test"]))
        train, validation, test = sizes[cell.task]
        row = Row(
            task=cell.task,
            model=cell.model,
            how=", ".join(filter(None, [cell.protocol, cell.portion])),
            images=(cell.subset or train, validation, test),
            overlap=(cell.task, cell.model) in overlapping,
        )
        row = rows.setdefault((cell.task, cell.model, row.how, cell.recipe), row)
        record = store.get(cell)
        if record is not None:
            row.done += record.status == "done"
            row.failed += record.status == "failed"
        elif not row.overlap:
            row.running += store.is_claimed(cell)
            row.pending.append(cell)
    for row in rows.values():
        if row.pending:
            seconds = seconds_of(row.pending[0], row.images, measured)
            row.hours = None if seconds is None else seconds * len(row.pending) / 3600
    return list(rows.values())


_SAME_PACE = ("image_size", "precision", "loss", "pixels")
_SAME_LENGTH = ("max_epochs", "early_stop", "schedule", "learning_rate")


def seconds_of(cell: Cell, images: tuple[int, int, int], records: list[RunRecord]) -> float | None:
    """An estimate of a cell's wall time from the records of like cells: their seconds per image, and their epochs.

    `images`: in the parts (train, validation, test). The pace is that of cells of the same architecture and image
    size; the epochs those of cells that stop by the same rules, of the same task where there are any, else the cap.
    None where no pace was measured.
    """
    like = [record for record in records if record.status == "done" and _alike(record.cell, cell, _SAME_PACE)]
    like = [record for record in like if record.timings["train"] > 0]
    if not like:
        return None
    stopping_alike = [record for record in like if _alike(record.cell, cell, _SAME_LENGTH)]
    of_task = [record for record in stopping_alike if record.cell.task == cell.task] or stopping_alike
    own = [record for record in of_task if record.cell.model == cell.model] or of_task
    epochs = mean(record.epochs_trained or 0 for record in own) if own else cell.recipe.max_epochs

    def per_image(timing: str, part: str) -> float:
        passes = [1 if part == "test" else record.epochs_trained or 1 for record in like]
        return median(
            record.timings[timing] / (count * record.num_examples[part])
            for record, count in zip(like, passes, strict=True)
        )

    train, validation, test = images
    epoch = per_image("train", "train") * train * cell.fraction + per_image("validation", "validation") * validation
    return epochs * epoch + per_image("test", "test") * test


def _alike(one: Cell, other: Cell, fields: tuple[str, ...]) -> bool:
    same_net = one.weights[0].architecture == other.weights[0].architecture and one.protocol == other.protocol
    return same_net and all(getattr(one.recipe, name) == getattr(other.recipe, name) for name in fields)
