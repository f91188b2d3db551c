"""Which runs a figure shows, in which order; the tests over them; and what its caption says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from benchmark.errors import BenchmarkError
from benchmark.reporting.data import ReportData
from benchmark.reporting.figures.specs import Correction, FigureSpec
from benchmark.reporting.format import OVERLAP, SIGNIFICANT
from benchmark.reporting.metric_facts import directions
from benchmark.reporting.tables import DEFAULT_TEST, TESTS, data_sentences, summary, what_varies
from benchmark.stats.multiplicity import benjamini_hochberg, holm
from benchmark.text import first_few, plural

# name -> the function, and what a caption calls it
CORRECTIONS: dict[Correction, tuple[Callable[[ArrayLike], NDArray[np.float64]], str]] = {
    "none": (np.asarray, "not corrected for their number"),
    "holm": (holm, "Holm's correction"),
    "benjamini-hochberg": (benjamini_hochberg, "false discovery rate of Benjamini and Hochberg"),
}


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What a figure shows: the scored rows of the frame, its blocks and models in their order; `not_run`: a sentence for
    the caption about what the figure names and nobody ran.
    """

    frame: pd.DataFrame
    blocks: tuple[str, ...]
    models: tuple[str, ...]
    not_run: str

    def block(self, name: str) -> pd.DataFrame:
        """Returns the rows of one block."""
        return self.frame[self.frame["block"] == name]


def select_runs(data: ReportData, spec: FigureSpec) -> Selection:
    """Returns the tasks, models and protocols that a figure names (all of them where it names none), in its order; without
    one, the baseline is first. Raises BenchmarkError where none of it was run.
    """
    frame = data.frame[data.frame["score"].notna()]
    frame = frame.assign(entry=frame["members"].map("+".join))
    for names, column in ((spec.tasks, "task"), (spec.models, "entry"), (spec.protocols, "protocol")):
        if names:
            frame = frame[frame[column].isin(names)]
    if spec.share is not None:
        frame = frame[frame["share"] == spec.share]
    if frame.empty:
        options = " ".join(
            f"--{option} {','.join(names)}"
            for option, names in (("tasks", spec.tasks), ("models", spec.models), ("protocol", spec.protocols))
            if names
        )
        raise BenchmarkError(f"no finished cell for it{': benchmark run ' + options if options else ''}")
    entries = dict(zip(frame["model"], frame["entry"], strict=True))
    models = sorted(entries, key=lambda model: (_position(entries[model], spec.models), model != data.baseline))
    tasks = frame.drop_duplicates("block").set_index("block")["task"]
    blocks = sorted(tasks.index, key=lambda block: _position(tasks[block], spec.tasks))
    not_run = [name for name in spec.models if name not in set(frame["entry"])]
    not_run += [name for name in spec.tasks if name not in set(frame["task"])]
    return Selection(
        frame=frame.drop(columns="entry"),
        blocks=tuple(blocks),
        models=tuple(models),
        not_run=f"Not run: {', '.join(not_run)}." if not_run else "",
    )


def _position(name: str, names: Sequence[str]) -> int:
    return names.index(name) if name in names else len(names)


def tested(selection: Selection, baseline: str, correction: Correction) -> pd.DataFrame:
    """Returns `summary` of the selection, with `p_adjusted`: corrected over the tests of each block; and `verdict`:
    `baseline`, `better`, `worse` (p_adjusted < 0.05) or `alike`, which is also that of what could not be tested.
    """
    correct, _ = CORRECTIONS[correction]
    rows = summary(selection.frame, baseline).reset_index(drop=True)
    rows["p_adjusted"] = rows.groupby("block")["p"].transform(lambda p: pd.Series(correct(p), p.index))
    differs = rows["p_adjusted"] < SIGNIFICANT
    rows["verdict"] = np.select(
        [rows["is_baseline"], differs & (rows["difference"] * directions(rows["metric"]) > 0), differs],
        ["baseline", "better", "worse"],
        "alike",
    )
    return rows


def tests_sentence(rows: pd.DataFrame, baseline: str, correction: Correction) -> str:
    """Returns the sentence of a caption about the tests; an empty text where none could be made."""
    counts = rows[rows["p"].notna()].groupby("block").size()
    if counts.empty:
        return ""
    _, correction_text = CORRECTIONS[correction]
    family = plural(int(counts.iloc[0]), "test") if counts.min() == counts.max() else f"up to {counts.max()} tests"
    return (
        f"{TESTS[DEFAULT_TEST].words} against {baseline}, {family} a panel, {correction_text}; "
        f"marked where p < {SIGNIFICANT}."
    )


def runs_text(counts: Sequence[int]) -> str:
    """Returns `10 runs`, or `3 to 10 runs`."""
    low, high = min(counts), max(counts)
    return plural(low, "run") if low == high else f"{low} to {plural(high, 'run')}"


def caption_of(selection: Selection, spec: FigureSpec, *sentences: str, of_runs: bool = True) -> str:
    """Returns the title, the sentences, what was not run, and what a reader must never miss: what the runs share (where the
    figure is `of_runs`), data that are not the whole published set, weights that were trained on the images, phantoms.
    """
    frame = selection.frame
    title = f"{spec.title[:1].upper()}{spec.title[1:].rstrip('.')}." if spec.title else ""
    parts = [title, *sentences, selection.not_run, what_varies(frame) if of_runs else ""]
    few = frame[frame["share"] != ""]
    if len(few) and few["num_validation"].notna().any():
        low, high = few["num_validation"].min(), few["num_validation"].max()
        num = f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"
        parts.append(f"Besides the training images, {num} labeled validation images choose the epoch.")
    if frame["overlap"].any():
        parts.append(f"{OVERLAP} trained on images of the task before: no fair comparison.")
    return " ".join(filter(None, [*parts, *data_sentences(frame)]))


def require_one_block_per_task(selection: Selection) -> None:
    """Raises BenchmarkError where a task has several blocks, or kinds of data are mixed: ranks over tasks would count a task
    twice.
    """
    if len(set(selection.frame["data"])) > 1:
        raise BenchmarkError("phantom and official images are both here: wanted one kind; name the tasks of one")
    num_blocks = selection.frame.groupby("task")["block"].nunique()
    if len(several := num_blocks[num_blocks > 1]):
        tasks = first_few(f"{task} has {num} settings" for task, num in several.items())
        raise BenchmarkError(f"{tasks}: ranks over tasks need one of each: name `protocols` or `share` in the figure")
