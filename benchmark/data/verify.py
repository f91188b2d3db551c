"""Verifies a data set: whether it is complete, readable and fit to be learned from. The checks are in `data.checks`."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmark.data.checks import (
    CHECKS,
    Check,
    Problem,
    Verdict,
    check_counts,
    check_duplicates,
    check_files,
    check_images,
    check_labels,
    check_masks,
    check_patients,
    check_split,
    make_check,
)
from benchmark.data.index import Index
from benchmark.data.labels import settle_classes
from benchmark.data.registry import index_of
from benchmark.data.scan import scan
from benchmark.data.splitting import assign_splits
from benchmark.errors import BenchmarkError
from benchmark.tasks.spec import TaskSpec
from benchmark.text import plural
from benchmark.workspace import Workspace

QUICK = 256  # images that a quick check opens


@dataclass(frozen=True, kw_only=True)
class Report:
    """Holds all checks of a task's folder. `looked_at`: how many of the `images` were opened."""

    task: str
    version: int
    root: str
    phantom: bool
    images: int
    looked_at: int
    checks: tuple[Check, ...]

    def count(self, verdict: Verdict) -> int:
        """Returns how many checks have this verdict."""
        return sum(check.verdict == verdict for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """Returns the report as plain values."""
        return {"format": 1, **asdict(self)}


def verify(
    task: TaskSpec, workspace: Workspace, *, quick: bool, threads: int, progress: Callable[[int, int], None]
) -> Report:
    """Checks a task's folder under the data folder and returns the report.

    Raises BenchmarkError where there is no such folder or it cannot be listed.
    """
    try:
        index = index_of(task, workspace)
    except BenchmarkError as fault:
        if workspace.data is None or not (workspace.data / task.root).is_dir():
            raise
        left_out = (Check(name=name, verdict="left out", finding="needs the index") for name in CHECKS[1:])
        checks = (make_check("index", "", [("FAIL", str(fault), "as the finding says")]), *left_out)
        root = str(workspace.data / task.root)
        return Report(
            task=task.name, version=task.version, root=root, phantom=False, images=0, looked_at=0, checks=checks
        )
    except OSError as error:
        raise BenchmarkError(f"{task.name}: {error.filename}: cannot be read ({error.strerror})") from error
    num = len(index.table)
    rows = np.unique(np.linspace(0, num - 1, min(num, QUICK)).round().astype(int)).tolist() if quick else range(num)
    scanned = scan(index, rows, windows=task.windows, threads=threads, progress=progress)
    splits, why = None, ""
    final = index
    try:
        splits = assign_splits(index, task.split)
        final = settle_classes(index, task, splits)
    except BenchmarkError as fault:
        why = str(fault)
    return Report(
        task=task.name,
        version=task.version,
        root=str(index.root),
        phantom=index.phantom,
        images=num,
        looked_at=len(scanned),
        checks=(
            _check_index(index),
            check_counts(index, task, splits),
            check_files(index),
            check_images(index, scanned, leave_out=task.unreadable == "leave out"),
            check_masks(index, scanned),
            check_labels(index, exclusive=task.is_exclusive),
            check_duplicates(index, splits, scanned),
            check_patients(index, splits, one_each=task.counts.get("patients") == task.counts.get("images", -1)),
            check_split(final, splits, why, task.judging.scored_labels(final.labels)),
        ),
    )


def _check_index(index: Index) -> Check:
    """Checks what the reader left out, and why."""
    notes: list[Problem] = [
        ("WARN", note, "get what is missing, or bear it in mind with every result") for note in index.notes
    ]
    finding = plural(len(index.table), "row")
    if index.phantom:
        finding += " of phantoms"
    return make_check("index", finding, notes, notes=list(index.notes))
