"""What a grid needs before it can run: its tasks' data, splits that hold, the files of its weights. Torch-free."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from benchmark.cell import Cell
from benchmark.data.assignment import TrainingShare, assign_examples
from benchmark.data.index import Index
from benchmark.data.registry import index_of
from benchmark.errors import BenchmarkError
from benchmark.experiment.grid import ResolvedGrid
from benchmark.experiment.overlap import Pair, describe_overlap
from benchmark.tasks.spec import TaskSpec
from benchmark.text import first_few
from benchmark.zoo.fetch import fetch

if TYPE_CHECKING:
    from benchmark.recipe import Recipe

Bar = Callable[[str], AbstractContextManager[Any]]


@dataclass(frozen=True, kw_only=True)
class PreparedGrid:
    """A grid whose data were read and whose splits were checked.

    `indexes`: each task's table of examples; `overlapping`: the pairs of task and model that are not run, since the
    weights were trained on the task's images; `notes`: lines that a user should read before the cells are run.
    """

    grid: ResolvedGrid
    indexes: dict[str, Index]
    overlapping: dict[Pair, tuple[str, ...]]
    notes: list[str]

    @cached_property
    def tasks(self) -> dict[str, TaskSpec]:
        """The grid's tasks by name."""
        return {task.name: task for task in self.grid.tasks}

    def cells(self) -> list[Cell]:
        """Returns the cells with the digests of the weights that are here now; those that overlap are among them."""
        return self.grid.cells(self.indexes)

    def cells_to_run(self) -> list[Cell]:
        """Returns the cells without those that overlap. Raises BenchmarkError where none is left."""
        return self.grid.without(self.overlapping).cells(self.indexes)


def prepare_grid(grid: ResolvedGrid, *, allow_overlap: bool = False) -> PreparedGrid:
    """Reads the grid's data and checks its splits. Raises one BenchmarkError that names everything that is wrong."""
    indexes = read_indexes(grid)
    overlapping = {} if allow_overlap else grid.overlapping(indexes)
    prepared = PreparedGrid(grid=grid, indexes=indexes, overlapping=overlapping, notes=[])
    cells = [cell for cell in prepared.cells() if (cell.task, cell.model) not in overlapping]
    faults, notes_on_splits = check_splits(cells, indexes, prepared.tasks)
    raise_faults(faults)
    prepared.notes.extend(f"{index.task}: {note}" for index in indexes.values() for note in index.notes)
    prepared.notes.extend([*notes_on_splits, *grid.notes])
    if overlapping:
        prepared.notes.append(describe_overlap(overlapping))
    return prepared


def read_indexes(grid: ResolvedGrid) -> dict[str, Index]:
    """Returns the indexes of the grid's tasks by name. Raises one BenchmarkError for all that cannot be read."""
    if grid.workspace.data is None:
        wanted = ", ".join(f"{task.root}/ for {task.name}" for task in grid.tasks)
        fault = (
            f"BENCHMARK_DATA is not set: point it at the folder that holds {wanted} (`benchmark tasks show "
            f"{grid.tasks[0].name}` tells where to get the data, `benchmark data phantom` writes stand-ins)"
        )
        raise_faults([fault, lacking_weights(grid)])
    indexes: dict[str, Index] = {}
    faults = []
    for task in grid.tasks:
        try:
            indexes[task.name] = index_of(task, grid.workspace)
        except BenchmarkError as fault:
            faults.append(str(fault))
    if faults:
        raise_faults([*faults, lacking_weights(grid)])
    return indexes


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


def lacking_weights(grid: ResolvedGrid, *, but: Collection[str] = ()) -> str:
    """Returns one line about the entries whose files are not here, those in `but` aside; or nothing."""
    lacking = [entry.name for entry in grid.lacking() if entry.name not in but]
    if not lacking:
        return ""
    few = 3
    return (
        f"weights of {len(lacking)} of {len(grid.entries)} models are not here ({first_few(lacking, few)}): "
        f"`benchmark zoo fetch {','.join(lacking[:few])}{',…' * (len(lacking) > few)}` downloads them, "
        f"`benchmark zoo fetch NAME --from-file FILE` takes a file that you have"
    )


def bring_weights(grid: ResolvedGrid, *, offline: bool, bar: Bar = lambda _: nullcontext(lambda *_: None)) -> None:
    """Fetches the files that are not here; `bar(name)` shows the progress of each. Raises one BenchmarkError for all that
    cannot be had.
    """
    lacking = grid.lacking()
    if offline and lacking:
        raise BenchmarkError(f"{lacking_weights(grid)} (--offline forbids fetching them now)")
    for entry in lacking:
        try:
            with bar(entry.name) as show:
                fetch(entry, grid.workspace.weights, progress=show)
        except BenchmarkError as fault:
            more = len(grid.lacking()) - 1
            raise BenchmarkError(f"{fault}{f' ({more} more models lack their weights too)' if more else ''}") from fault


def raise_faults(faults: list[str]) -> None:
    """Raises one BenchmarkError for all faults; those that are empty are no faults."""
    if found := [fault for fault in faults if fault]:
        raise BenchmarkError("; ".join(found))
