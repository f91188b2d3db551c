"""Records -> one tidy frame, from which all tables and figures are made.

A row is a finished cell. Rows with the same `block` may be compared in one table: they have the same task, kind of data,
data digest, protocol, recipe, search and fraction; so runs with other hyper-parameters or other images never enter one
mean. Rows with the same `model_id` are runs of one model: their weights have the same files, which are read in the same
way and fed the same input. `model` is the name that is shown: within a block it stands for one `model_id`, and no code
reads anything out of it.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from benchmark.cell import NUM_FOLDS, Cell
from benchmark.experiment.grid import seed_matters
from benchmark.experiment.overlap import NOTE
from benchmark.experiment.suite import own_recipe
from benchmark.files import digest_of
from benchmark.protocols.registry import PROTOCOLS
from benchmark.recipe import Recipe
from benchmark.results.record import RunRecord
from benchmark.tasks.spec import TaskSpec

SCRATCH = "scratch"  # the family of weights that no file gave
COLUMNS = [
    "block",
    "task",
    "title",
    "data",
    "data_digest",
    "protocol",
    "setting",
    "recipe_setting",
    "fraction",
    "subset",
    "folds",
    "fold",
    "model",
    "model_id",
    "members",
    "seed",
    "metric",
    "score",
    "validation",
    "is_deterministic",
    "epochs_trained",
    "best_epoch",
    "num_train",
    "num_validation",
    "num_test",
    "num_images",
    "num_published",
    "overlap",
    "key",
    "family",
    "share",
]


def frame_of(
    records: list[RunRecord], tasks: Mapping[str, TaskSpec], families: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Returns the done records as rows of COLUMNS, ordered by task, model and seed.

    `score` is the task's primary metric on the test split, `validation` the same on the validation split (in 0..1);
    `data` is the record's data status (`record.DataStatus`), with `num_images` of `num_published` images here; `overlap`
    says whether the weights were trained on images of the task; `is_deterministic` whether another seed would give the
    same answer; `members` are the zoo's names of the weights; `share` is how much of the training split was used, in the
    words of the published numbers (`published_share`). `families` maps zoo entries to families; those of several entries
    are joined by +.
    """
    done = [record for record in records if record.status == "done"]
    names = model_names([record.cell for record in done])
    pairs = {(record.cell.task, record.cell.protocol) for record in done}
    own = {(name, protocol): own_recipe(tasks.get(name), protocol) for name, protocol in pairs}
    rows = []
    for record in done:
        cell = record.cell
        task = tasks.get(cell.task)
        metric = task.metric if task else next(iter(record.scores), "")
        changed = ", ".join(map(str, cell_changes(cell, own[cell.task, cell.protocol])))
        row = {
            "block": block_of(cell),
            "task": cell.task,
            "title": task.title if task else cell.task,
            "data": record.data_status or cell.data,
            "data_digest": cell.data_digest,
            "protocol": cell.protocol,
            "setting": ", ".join(filter(None, [changed, share_of(cell)])),
            "recipe_setting": changed,
            "fraction": cell.fraction,
            "subset": cell.subset,
            "folds": None if cell.fold is None else cell.folds or NUM_FOLDS,
            "fold": cell.fold,
            "model": names[cell.key],
            "model_id": model_id_of(cell),
            "members": tuple(weights.name for weights in cell.weights),
            "seed": cell.seed,
            "metric": metric,
            "score": record.scores.get(metric),
            "validation": record.validation.get(metric),
            "is_deterministic": not seed_matters(cell),
            "epochs_trained": record.epochs_trained,
            "best_epoch": record.best_epoch,
            "num_train": record.num_examples.get("train"),
            "num_validation": record.num_examples.get("validation"),
            "num_test": record.num_examples.get("test"),
            "num_images": record.num_images,
            "num_published": record.num_published,
            "overlap": any(note.startswith(NOTE) for note in record.notes),
            "key": record.key,
            "family": family_of(cell, families or {}),
            "share": published_share(cell),
        }
        rows.append(row)
    frame = _ordered(pd.DataFrame(rows, columns=COLUMNS))
    # seeds that change nothing are copies of one run, wherever they come from
    copies = frame["is_deterministic"].astype(bool) & frame.duplicated(["block", "model_id", "fold"])
    return frame[~copies].reset_index(drop=True)


def block_of(cell: Cell) -> str:
    """Returns the name of the table that a cell belongs to: 8 hex digits over all of it but weights, seed and fold."""
    alike = cell.model_copy(update={"weights": (), "seed": 0, "fold": None})
    return digest_of(alike.model_dump(mode="json", exclude_none=True))[:8]


def model_id_of(cell: Cell) -> str:
    """Returns 16 hex digits over everything that the cell says of its weights."""
    return digest_of([weights.model_dump(mode="json", exclude_none=True) for weights in cell.weights])[:16]


def model_names(cells: Iterable[Cell]) -> dict[str, str]:
    """Returns key -> the name that the cell's model is shown by: the zoo's, and `NAME@DIGEST` where the name stands for
    more than one model.

    It does where its files, or how they are read, differ between any two cells; and where two cells of one block feed
    the encoder otherwise or take other features of it.
    """
    cells = list(cells)
    files: dict[str, set[str]] = {}
    views: dict[tuple[str, str, str], set[str]] = {}
    for cell in cells:
        files.setdefault(cell.model, set()).add(_files_of(cell))
        views.setdefault((cell.model, _files_of(cell), block_of(cell)), set()).add(model_id_of(cell))
    several_views = {name for (name, *_), ids in views.items() if len(ids) > 1}
    return {
        cell.key: f"{cell.model}@{model_id_of(cell)[:8]}"
        if cell.model in several_views
        else f"{cell.model}@{_files_of(cell)[:8]}"
        if len(files[cell.model]) > 1
        else cell.model
        for cell in cells
    }


def model_notes(cells: Iterable[Cell]) -> list[str]:
    """Returns one line for each shown name that is told apart by a digest: what it stands for."""
    cells = list(cells)
    names = model_names(cells)
    lines: dict[str, str] = {}
    for cell in cells:
        if names[cell.key] == cell.model:
            continue
        members = [
            f"{w.name}: {w.architecture}, file {w.sha256[:8] or 'none (fresh weights)'}, naming {w.naming}, "
            f"input mean {_numbers(w.mean)} sd {_numbers(w.std)}" + (f", features {w.features}" if w.features else "")
            for w in cell.weights
        ]
        lines.setdefault(names[cell.key], f"{names[cell.key]} is {'; '.join(members)}")
    return [lines[name] for name in sorted(lines)]


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in values)


def _files_of(cell: Cell) -> str:
    """Returns a digest of the weights' names, files and how these are read, whatever images the encoder is fed."""
    return digest_of([[w.name, w.architecture, w.sha256, w.naming] for w in cell.weights])


def _ordered(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows by task, protocol (as the registry lists them) and share, small ones first; then model, seed, fold."""
    listed = {name: place for place, name in enumerate(PROTOCOLS)}
    positions = frame.assign(
        _protocol=frame["protocol"].map(lambda name: listed.get(name, len(listed))),
        _images=pd.to_numeric(frame["subset"], errors="coerce").fillna(math.inf),
    )
    by = ["task", "_protocol", "fraction", "_images", "block", "model", "seed", "fold"]
    return frame.loc[positions.sort_values(by, kind="stable").index].reset_index(drop=True)


@dataclass(frozen=True)
class RecipeChange:
    """A recipe field that differs from the task's own recipe: its value as text, or how many values a search tries."""

    name: str
    value: str = ""
    num_candidates: int = 0

    def __str__(self) -> str:
        if self.num_candidates:
            return f"{self.name} chosen on validation of {self.num_candidates}"
        return f"{self.name}={self.value}"


Changes = tuple[RecipeChange, ...]


def changes_of(recipe: Recipe, own: Recipe) -> Changes:
    """Returns the fields of a recipe that differ from a task's own one."""
    return tuple(
        RecipeChange(name, str(getattr(recipe, name)))
        for name in Recipe.model_fields
        if getattr(recipe, name) != getattr(own, name)
    )


def cell_changes(cell: Cell, own: Recipe) -> Changes:
    """Returns the fields of a cell's recipe that differ from the task's own one, and those that it searches, in whose
    place the recipe holds a candidate.
    """
    search = cell.search or {}
    fixed = tuple(change for change in changes_of(cell.recipe, own) if change.name not in search)
    return fixed + tuple(RecipeChange(name, num_candidates=len(values)) for name, values in search.items())


def members_of(model: str) -> tuple[str, ...]:
    """Returns the zoo entries that a requested model stands for: `a+b` joins two encoders."""
    return tuple(model.split("+"))


def share_of(cell: Cell) -> str:
    """Returns how much of the training split a cell uses, and its folds: `50 training images, 5 folds`; an empty text for
    all of it.
    """
    folds = "" if cell.fold is None else f"{cell.folds or NUM_FOLDS} folds"
    return ", ".join(filter(None, [cell.portion, folds]))


def published_share(cell: Cell) -> str:
    """Returns how much of the training split a cell uses in the words of the published numbers: `10%` of the patients,
    `50` images; an empty text for all of it.
    """
    if cell.subset is not None:
        return str(cell.subset)
    return f"{100 * cell.fraction:g}%" if cell.fraction < 1 else ""


def family_of(cell: Cell, families: Mapping[str, str]) -> str:
    """Returns the family of the cell's weights: `ssl`; of several, those that differ: `ssl+supervised`."""
    of_weights = {SCRATCH if weights.fresh else families.get(weights.name, "") for weights in cell.weights}
    return "+".join(sorted(filter(None, of_weights)))
