"""Makes the record of a trained cell: its scores, and the facts that stand beside them."""

import datetime as dt
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmark.cell import Cell
from benchmark.checksums import read_json, write_json
from benchmark.errors import BenchmarkError
from benchmark.results.record import DataStatus, RunRecord, SearchTrial
from benchmark.runner.environment import environment_of, peak_memory
from benchmark.scoring.evaluate import group_scores, scores_of, unscored
from benchmark.scoring.metrics.registry import JUDGING
from benchmark.tasks.spec import ScoringRules
from benchmark.text import first_few, plural
from benchmark.training.interface import TestOutput, TrainingResult
from benchmark.training.loop import Diverged


@dataclass(frozen=True)
class Unreadable:
    """Images that could not be decoded, over all attempts: a resumed training does not open all of them again."""

    path: Path
    found: Callable[[], dict[str, str]]

    def collect(self) -> dict[str, str]:
        """Returns why each image could not be decoded, in earlier attempts, too; writes the list where it grew."""
        earlier = read_json(self.path) or {}
        known = {**earlier, **self.found()}
        if known != earlier:
            write_json(self.path, known)
        return known


@dataclass(kw_only=True)
class RecordFacts:
    """What a record holds beside its scores. `timings`: in seconds, beside those of the training; `damage`: functions that
    return lines about files that were damaged and made again.
    """

    notes: list[str] = field(default_factory=list)
    num_examples: dict[str, int] = field(default_factory=dict)
    weights_account: list[dict[str, Any]] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    unreadable: Unreadable | None = None
    search: list[SearchTrial] = field(default_factory=list)
    data_status: DataStatus | None = None
    num_images: int | None = None
    num_published: int | None = None
    damage: list[Callable[[], list[str]]] = field(default_factory=list)

    def repairs(self) -> list[str]:
        """Returns lines about what was damaged and made again, each line once."""
        return list(dict.fromkeys(line for lines in self.damage for line in lines()))

    def write_unreadable(self) -> None:
        """Writes the list of the images that could not be decoded so far."""
        if self.unreadable is not None:
            self.unreadable.collect()


def record_of(
    cell: Cell,
    result: TrainingResult,
    output: TestOutput,
    facts: RecordFacts,
    judging: ScoringRules,
    attempt: int,
    device: torch.device,
) -> RunRecord:
    """Returns the record of a trained and tested cell."""
    scores, per_label = scores_of(output.predictions, judging)
    notes = [*facts.notes, *result.notes, *facts.repairs()]
    if facts.unreadable is not None and (found := facts.unreadable.collect()):
        why = first_few([f"{path} ({reason})" for path, reason in sorted(found.items())])
        notes.append(f"{plural(len(found), 'image')} could not be decoded and were left out: {why}")
    if absent := unscored(per_label):
        notes.append(f"no AUC for {first_few(absent)}: the test part has one class of it only")
    fit = result.fit
    seconds = {"train": fit.train_seconds, "wait": fit.wait_seconds, "validation": fit.validation_seconds}
    seconds |= {"test": output.seconds, **facts.timings}
    return RunRecord(
        key=cell.key,
        cell=cell,
        status="done",
        attempt=attempt,
        finished=_now(),
        scores=scores,
        validation=result.validation,
        search=facts.search,
        per_label=per_label,
        judging=JUDGING,
        per_group=group_scores(output.predictions, judging),
        num_examples=facts.num_examples,
        data_status=facts.data_status,
        num_images=facts.num_images,
        num_published=facts.num_published,
        epochs_trained=fit.epochs_trained or None,
        best_epoch=fit.best_epoch,
        stopped=fit.stopped,
        history=fit.history,
        timings={name: round(value, 3) for name, value in seconds.items()},
        images_per_second=round(fit.num_images / fit.train_seconds, 2) if fit.train_seconds else None,
        peak_memory_gb=peak_memory(device),
        weights_account=facts.weights_account,
        trainable_parameters=result.trained,
        environment=environment_of(device),
        notes=notes,
    )


def failed_record(cell: Cell, error: Exception, attempt: int, device: torch.device) -> RunRecord:
    """Returns the record of a failure."""
    known = isinstance(error, BenchmarkError | Diverged)
    reason = str(error) if known else f"{type(error).__name__}: {error}"
    return RunRecord(
        key=cell.key,
        cell=cell,
        status="failed",
        attempt=attempt,
        finished=_now(),
        error=reason.split("\n")[0],
        traceback=reason if known else "".join(traceback.format_exception(error)),
        notes=[f"the worker's log: {log}"] if (log := os.environ.get("BENCHMARK_LOG")) else [],
        environment=environment_of(device),
    )


def micro_batch_of(scratch: Path, batch_size: int) -> tuple[int, str]:
    """Returns the size of the pieces of a batch that an interrupted attempt had come down to, which a resumed training must
    keep, and the note about it.
    """
    try:
        size, _, note = (scratch / "micro_batch").read_text(encoding="utf-8").partition("\n")
        return int(size), note
    except (OSError, ValueError):  # there was none, or it is damaged and memory runs out again
        return batch_size, ""


def _now() -> str:
    return dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds")
