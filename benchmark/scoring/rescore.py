"""Stored predictions scored anew, by today's metrics and without training."""

from benchmark.errors import BenchmarkError
from benchmark.results.record import RunRecord
from benchmark.results.store import Store
from benchmark.scoring.evaluate import group_scores, scores_of
from benchmark.scoring.metrics.registry import JUDGING
from benchmark.tasks.spec import ScoringRules, TaskSpec
from benchmark.text import plural


def is_outdated(record: RunRecord) -> bool:
    """Returns whether a record was scored by other metrics than today's."""
    return record.status == "done" and record.judging != JUDGING


def outdated_note(num: int) -> str:
    """Returns the line about records that were scored by other metrics than today's; empty where there are none."""
    if not num:
        return ""
    return (
        f"{plural(num, 'record')} scored by other metrics than today's: `benchmark judge` scores anew, without training"
    )


def rescore(record: RunRecord, store: Store, task: TaskSpec, target: TaskSpec | None = None) -> RunRecord:
    """Replaces a record's scores by those of today's metrics and returns the record; all else in it stays. `target`: of a
    cell that judges a model on another task, that task.

    The record is replaced as one file, so that a kill leaves the old one or the new one. Raises BenchmarkError where the
    task is not the one that the cell was run on, or the predictions are damaged; ClaimedElsewhere where another process
    works on the cell.
    """
    cell = record.cell
    planned = [(task, cell.task_digest)]
    if target is not None and cell.shift is not None:
        planned.append((target, cell.shift.task_digest))
    for sheet, digest in planned:
        if sheet.digest != digest:
            raise BenchmarkError(
                f"{cell.title} ({cell.key}): the task {sheet.name} has changed since: run the cell again"
            )
    rules = task.judging if target is None else ScoringRules(case=target.case)
    predictions = store.predictions(cell)
    scores, per_label = scores_of(predictions, rules)
    groups = group_scores(predictions, rules)
    update = {"scores": scores, "per_label": per_label, "per_group": groups, "judging": JUDGING}
    with store.claim(cell):
        rescored = record.model_copy(update=update)
        store.rewrite(rescored)
    return rescored
