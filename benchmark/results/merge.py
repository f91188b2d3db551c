"""Joins results folders: finds what would be copied, what is there already and what contradicts, then copies. Torch-free.

All cells are compared before one is copied. All of a cell is copied, under its claim, its record last, so that an
interrupted merge is continued by the same command.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from benchmark.errors import BenchmarkError
from benchmark.results.claims import ClaimedElsewhere
from benchmark.results.contents import PREDICTIONS
from benchmark.results.predictions import Predictions
from benchmark.results.record import RunRecord
from benchmark.results.store import Store
from benchmark.text import first_few

JUDGED = ("scores", "per_label", "per_group")


@dataclass(frozen=True)
class Taken:
    """A cell to be copied: its record as `source` has it; `replaces`: a failed record of it is there already."""

    record: RunRecord
    source: Store
    replaces: bool = False


@dataclass(kw_only=True)
class Survey:
    """What a merge would do. `same`: there already, with the same numbers. `kept`: failed cells that are not taken, since
    the folder has the cell done, failed too, or begun. `unread`: one line for each record that is left out. `conflicts`:
    one line for each cell that both have with other numbers.
    """

    taken: dict[str, Taken] = field(default_factory=dict)
    same: int = 0
    kept: int = 0
    unfinished: int = 0
    unread: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)


Progress = Callable[[int, int], None]
# facts of an environment that decide over the last digits of sums
ARITHMETIC = ("device", "cpu", "torch", "threads")


def survey(sources: Iterable[Store], into: Store, progress: Progress = lambda _done, _total: None) -> Survey:
    """Compares the cells of `sources` with each other and with those of `into`; writes nothing."""
    found = Survey()
    there, damaged = into.records()
    found.unread += damaged
    have = {record.key: Taken(record, into) for record in there}
    offered = []
    for source in sources:
        records, damaged = source.records()
        found.unread += damaged
        found.unfinished += len(source.unfinished()[0])
        offered += [(source, record) for record in records]
    for number, (source, record) in enumerate(offered, start=1):
        if (earlier := have.get(record.key)) is not None:
            _weigh(record, source, earlier, into, found, have)
        elif into.has_record(record.cell):
            pass  # a damaged record: a line names it, and it stays as it is
        elif record.status == "failed" and into.is_begun(record.cell):
            found.kept += 1
        else:
            found.taken[record.key] = have[record.key] = Taken(record, source)
        progress(number, len(offered))
    return found


def _weigh(
    record: RunRecord, source: Store, earlier: Taken, into: Store, found: Survey, have: dict[str, Taken]
) -> None:
    """Files a cell that another folder has, too: it is the same, better than a failed one, or a contradiction."""
    if record.status == "failed":
        found.kept += 1
    elif earlier.record.status == "failed":
        replaces = earlier.replaces or earlier.source is into
        found.taken[record.key] = have[record.key] = Taken(record, source, replaces=replaces)
    elif contradiction := difference(record, source, earlier.record, earlier.source):
        found.conflicts.append(contradiction)
    else:
        found.same += 1


def copy(taken: Taken, into: Store) -> Literal["copied", "there", "claimed"]:
    """Copies a cell and returns how that ended.

    Raises BenchmarkError where another process has written it with other numbers since the survey.
    """
    record, source = taken.record, taken.source
    try:
        with into.claim(record.cell):
            now = into.get(record.cell)
            if now is not None and now.status == "done":
                if contradiction := difference(record, source, now, into):
                    raise BenchmarkError(contradiction)
                return "there"
            into.take(record, source)
    except ClaimedElsewhere:
        return "claimed"
    return "copied"


def difference(one: RunRecord, its_store: Store, other: RunRecord, other_store: Store) -> str:
    """Returns how two done records of one cell differ, in one line; nothing where scores and predictions agree."""
    first, second = _judged(one), _judged(other)
    if unlike := unlike_scores(one, other):
        values = [f"{name} {_show(first, name)} and {_show(second, name)}" for name in unlike]
        what = first_few(values)
    elif not (what := _unlike_predictions(one, other, its_store, other_store)):
        return ""
    environments = [
        f"{name} {one.environment.get(name, '–')} and {other.environment.get(name, '–')}"
        for name in dict.fromkeys([*one.environment, *other.environment])
        if one.environment.get(name) != other.environment.get(name)
    ]
    where = f"{its_store.folder(one.cell)} (finished {one.finished}) and {other_store.root} (finished {other.finished})"
    unlike_machines = [name for name in ARITHMETIC if one.environment.get(name) != other.environment.get(name)]
    about = first_few(environments, 6) or "their environments are alike"
    if unlike_machines:
        about += f": another {' and '.join(unlike_machines)} may round otherwise, which a training makes visible"
    else:
        about += ": equal machines give equal bits, so one of the two was not made by this cell's own run"
    return f"{one.key}, {one.cell.title}: {what}; in {where}; {about}"


def unlike_scores(one: RunRecord, other: RunRecord) -> list[str]:
    """Returns the names of the scores in which two records of one cell differ, of those that both were scored by."""
    first, second = _judged(one), _judged(other)
    names = dict.fromkeys([*first, *second])
    if one.judging != other.judging:  # one of them has metrics that the other was not scored by
        names = dict.fromkeys(name for name in first if name in second)
    return [name for name in names if first.get(name) != second.get(name)]


def _judged(record: RunRecord) -> dict[str, float | None]:
    """Returns every score under a name of its own."""
    flat: dict[str, float | None] = dict(record.scores)
    for label, scores in record.per_label.items():
        flat |= {f"{name} of {label}": value for name, value in scores.items()}
    for group, values in record.per_group.items():
        for value, scores in values.items():
            flat |= {f"{name} of {group} {value}": score for name, score in scores.items()}
    return flat


def _show(scores: dict[str, float | None], name: str) -> str:
    return repr(scores[name]) if name in scores else "none"


def _unlike_predictions(record: RunRecord, other: RunRecord, one: Store, another: Store) -> str:
    for name in PREDICTIONS:
        files = record.files.get(name), other.files.get(name)
        if files[0] is None or files[1] is None or files[0] == files[1]:
            continue  # without predictions only the scores can be compared
        here, there = one.read_predictions(record.cell, name), another.read_predictions(record.cell, name)
        if here and there and (what := _first_unlike(here, there)):
            return f"equal scores, but {name}: {what}"
    return ""


def _first_unlike(one: Predictions, other: Predictions) -> str:
    if one.columns != other.columns or not np.array_equal(one.ids, other.ids):
        return f"of other images or labels ({len(one.ids):,} and {len(other.ids):,} images)"
    for name in ("truth", "score"):
        pair: list[Any] = [getattr(one, name), getattr(other, name)]
        if pair[0].shape != pair[1].shape:
            return f"{name} of shape {pair[0].shape} and {pair[1].shape}"
        unlike = (pair[0] != pair[1]) & ~(np.isnan(pair[0]) & np.isnan(pair[1]))
        if unlike.any():
            place = tuple(np.argwhere(unlike)[0])
            label = one.columns[place[1]]
            return f"{name} of {one.ids[place[0]]}, {label}: {pair[0][place]!s} and {pair[1][place]!s}"
    return ""
