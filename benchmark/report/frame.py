"""Records -> one tidy frame, the only join of what reports are made from.

A row is a done cell. `block` is what must be alike for two rows to stand in one table: task, kind of data and its
digest, protocol, recipe and fraction; so other hyper-parameters or other images never mix into one mean, and phantoms
never meet official images.
"""

import math
from collections.abc import Mapping

import pandas as pd

from benchmark.cell import NUM_FOLDS, Cell, Recipe
from benchmark.disk import digest_of
from benchmark.overlap import NOTE
from benchmark.protocol import KNOWN
from benchmark.record import RunRecord
from benchmark.tasks import TaskSpec, own_recipe

COLUMNS = [
    "block",
    "task",
    "title",
    "data",
    "data_digest",
    "protocol",
    "setting",
    "fraction",
    "subset",
    "folds",
    "fold",
    "model",
    "seed",
    "metric",
    "score",
    "epochs_trained",
    "best_epoch",
    "num_train",
    "num_test",
    "overlap",
    "key",
    "family",
    "share",
]


def frame_of(
    records: list[RunRecord], tasks: Mapping[str, TaskSpec], families: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """The done records as rows of COLUMNS, ordered by task, model and seed; `score` is the task's primary metric,
    `overlap` whether the weights had seen the task's images, `share` how much of the training part was used in the
    words of the published numbers (`published_share`).

    A name that stands for two files (weights that were replaced) is told apart by the file's digest. `families`: zoo
    entry -> family; those of several entries together are joined by +, and empty where none is known.
    """
    done = [record for record in records if record.status == "done"]
    ambiguous = _ambiguous(done)
    asked = {(record.cell.task, record.cell.protocol) for record in done}
    own = {(name, protocol): own_recipe(tasks.get(name), protocol) for name, protocol in asked}
    rows = []
    for record in done:
        cell = record.cell
        task = tasks.get(cell.task)
        metric = task.metric if task else next(iter(record.scores), "")
        alike = cell.model_copy(update={"weights": (), "seed": 0, "fold": None})
        model = cell.model + (f"@{cell.weights[0].sha256[:8] or 'fresh'}" if cell.model in ambiguous else "")
        row = {
            "block": digest_of(alike.model_dump(mode="json", exclude_none=True))[:8],
            "task": cell.task,
            "title": task.title if task else cell.task,
            "data": cell.data,
            "data_digest": cell.data_digest,
            "protocol": cell.protocol,
            "setting": ", ".join(filter(None, [_changes(cell.recipe, own[cell.task, cell.protocol]), share_of(cell)])),
            "fraction": cell.fraction,
            "subset": cell.subset,
            "folds": cell.folds,
            "fold": cell.fold,
            "model": model,
            "seed": cell.seed,
            "metric": metric,
            "score": record.scores.get(metric),
            "epochs_trained": record.epochs_trained,
            "best_epoch": record.best_epoch,
            "num_train": record.num_examples.get("train"),
            "num_test": record.num_examples.get("test"),
            "overlap": any(note.startswith(NOTE) for note in record.notes),
            "key": record.key,
            "family": family_of(cell, families or {}),
            "share": published_share(cell),
        }
        rows.append(row)
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return _ordered(frame)


def _ordered(frame: pd.DataFrame) -> pd.DataFrame:
    """By task, protocol (as `benchmark.protocol` lists them) and share, small ones first; then model, seed and fold."""
    listed = {name: place for place, name in enumerate(KNOWN)}
    places = frame.assign(
        _protocol=frame["protocol"].map(lambda name: listed.get(name, len(listed))),
        _images=pd.to_numeric(frame["subset"], errors="coerce").fillna(math.inf),
    )
    by = ["task", "_protocol", "fraction", "_images", "block", "model", "seed", "fold"]
    return frame.loc[places.sort_values(by, kind="stable").index].reset_index(drop=True)


def setting_of(recipe: Recipe, task: TaskSpec | None, protocol: str = "finetune") -> str:
    """What a recipe changes in its task's and protocol's own: `image_size=96, precision=bf16`; nothing where it is that."""
    return _changes(recipe, own_recipe(task, protocol))


def _changes(recipe: Recipe, own: Recipe) -> str:
    changed = {name: getattr(recipe, name) for name in Recipe.model_fields}
    return ", ".join(f"{name}={value}" for name, value in changed.items() if value != getattr(own, name))


def share_of(cell: Cell) -> str:
    """How much of the training part a cell uses, and its folds: `50 training images, 5 folds`; nothing for all of it."""
    folds = "" if cell.fold is None else f"{cell.folds or NUM_FOLDS} folds"
    return ", ".join(filter(None, [cell.portion, folds]))


def published_share(cell: Cell) -> str:
    """The same in the words of the published numbers: `10%` of the patients, `50` images; nothing for all of it."""
    if cell.subset is not None:
        return str(cell.subset)
    return f"{100 * cell.fraction:g}%" if cell.fraction < 1 else ""


def family_of(cell: Cell, families: Mapping[str, str]) -> str:
    """The family of the cell's weights: `ssl`; of several, those that differ: `ssl+supervised`."""
    told = {"scratch" if w.name.startswith("scratch:") else families.get(w.name, "") for w in cell.weights}
    return "+".join(sorted(filter(None, told)))


def _ambiguous(records: list[RunRecord]) -> set[str]:
    files: dict[str, set[str]] = {}
    for record in records:
        files.setdefault(record.cell.model, set()).add(",".join(w.sha256 for w in record.cell.weights))
    return {model for model, digests in files.items() if len(digests) > 1}
