"""A cell that searches: every candidate recipe is trained, one is chosen on the validation part, only that one is tested.

The rule: the highest validation score, by the task's metric, of the epoch whose weights are kept; of equal ones the
lowest validation loss; of these the first that was listed.
"""

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from benchmark.cell import Cell
from benchmark.checksums import read_json, write_json
from benchmark.results.record import SearchTrial
from benchmark.training.interface import TrainingResult
from benchmark.training.loop import Diverged


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training of a cell: all of it, or one candidate of its search. `cell` has that candidate's recipe and no search;
    `key` is the key of the cell that it belongs to; `settings`: what the search sets.
    """

    cell: Cell
    key: str
    settings: dict[str, Any]
    scratch: Path


def trainings_of(cell: Cell, scratch: Path) -> list[Training]:
    """Returns the trainings that a cell needs; each candidate of a search has a scratch folder of its own."""
    if cell.search is None:
        return [Training(cell=cell, key=cell.key, settings={}, scratch=scratch)]
    return [
        Training(
            cell=cell.model_copy(update={"recipe": recipe, "search": None}),
            key=cell.key,
            settings=settings,
            scratch=scratch / f"candidate-{number:03d}",
        )
        for number, (settings, recipe) in enumerate(cell.candidates())
    ]


def trial_of(training: Training, result: TrainingResult | Diverged, metric: str) -> SearchTrial:
    """Returns what a candidate reached on the validation part."""
    if isinstance(result, Diverged):
        return SearchTrial(settings=training.settings, score=None, loss=None, error=str(result))
    fit = result.fit
    return SearchTrial(
        settings=training.settings,
        score=result.validation.get(metric),
        loss=fit.best_loss if math.isfinite(fit.best_loss) else None,
        epochs_trained=fit.epochs_trained or None,
        best_epoch=fit.best_epoch,
    )


def choose(trials: list[SearchTrial]) -> int | None:
    """Returns the number of the candidate that the rule chooses; None where every one diverged."""

    def merit(number: int) -> tuple[float, float, int]:
        trial = trials[number]
        return (
            -math.inf if trial.score is None else trial.score,
            -math.inf if trial.loss is None else -trial.loss,
            -number,
        )

    alive = [number for number, trial in enumerate(trials) if not trial.error]
    return max(alive, key=merit) if alive else None


def mark_chosen(trials: list[SearchTrial], chosen: int) -> list[SearchTrial]:
    """Returns the trials, the chosen one marked."""
    return [trial.model_copy(update={"chosen": number == chosen}) for number, trial in enumerate(trials)]


def search_in_turn(
    trainings: list[Training], scratch: Path, metric: str, train: Callable[[Training], TrainingResult]
) -> tuple[TrainingResult, int, list[SearchTrial]]:
    """Trains the candidates one after the other, and returns the chosen one's result, its number and all trials.

    What a finished candidate reached is written down, so a killed search continues with the next one; of the trainings'
    states only the best so far is kept. Raises Diverged where every candidate did.
    """
    path = scratch / "trials.json"
    trials = _earlier(path, trainings)
    in_memory: tuple[int, TrainingResult] | None = None
    for number in range(len(trials), len(trainings)):
        found: TrainingResult | Diverged
        try:
            found = train(trainings[number])
        except Diverged as diverged:
            found = diverged
        trials.append(trial_of(trainings[number], found, metric))
        best = choose(trials)
        if best == number and isinstance(found, TrainingResult):
            in_memory = number, found
        write_json(path, {"trials": [trial.model_dump(mode="json") for trial in trials]})
        for other, training in enumerate(trainings[: number + 1]):
            if other != best:
                shutil.rmtree(training.scratch, ignore_errors=True)
    chosen = choose(trials)
    if chosen is None:
        raise Diverged(f"every candidate of the search diverged; the first: {trials[0].error}")
    # after an interruption the best candidate is loaded from its finished state
    best_result = in_memory[1] if in_memory is not None and in_memory[0] == chosen else train(trainings[chosen])
    return best_result, chosen, mark_chosen(trials, chosen)


def _earlier(path: Path, trainings: list[Training]) -> list[SearchTrial]:
    """Returns the trials that an interrupted search had finished; none where they are damaged or of other candidates."""
    try:
        trials = [SearchTrial.model_validate(trial) for trial in (read_json(path) or {})["trials"]]
    except (LookupError, ValidationError):
        return []
    same = [trial.settings for trial in trials] == [training.settings for training in trainings[: len(trials)]]
    best = choose(trials) if same else None
    has_state = best is None or trainings[best].scratch.is_dir()
    return trials if same and has_state else []
