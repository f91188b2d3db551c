"""Which runs a figure shows, in which order; the tests over them; and what its caption says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from benchmark.errors import BenchmarkError
from benchmark.report.data import ReportData
from benchmark.report.figures.specs import Correction, FigureSpec
from benchmark.report.format import OVERLAP, SIGNIFICANT
from benchmark.report.tables import DEFAULT_TEST, TESTS, data_sentences, summary, what_varies
from benchmark.stats.multiplicity import benjamini_hochberg, holm
from benchmark.text import first_few, plural

CORRECTIONS: dict[Correction, Callable[[ArrayLike], NDArray[np.float64]]] = {
    "none": np.asarray,
    "holm": holm,
    "benjamini-hochberg": benjamini_hochberg,
}
TOLD = {"none": "not corrected for their number", "holm": "Holm's correction", "benjamini-hochberg": "false discovery "
        "rate of Benjamini and Hochberg"}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What a figure shows: scored rows of the frame, its blocks and models in their order; `absent` tells, for the
    caption, what the figure asks for and nothing was run of.
    """

    frame: pd.DataFrame
    blocks: tuple[str, ...]
    models: tuple[str, ...]
    absent: str

    def block(self, name: str) -> pd.DataFrame:
        """The rows of one block."""
        return self.frame[self.frame["block"] == name]


def select_runs(data: ReportData, spec: FigureSpec) -> Selection:
    """The tasks, models and protocols that a figure asks for (all of them where it names none), in its order; else the
    baseline first. Raises BenchmarkError where nothing of it was run.
    """
    frame = data.frame[data.frame["score"].notna()]
    base = frame["members"].map("+".join)
    for names, column in ((spec.tasks, frame["task"]), (spec.models, base), (spec.protocols, frame["protocol"])):
        if names:
            frame = frame[column.loc[frame.index].isin(names)]
    if spec.share is not None:
        frame = frame[frame["share"] == spec.share]
    if frame.empty:
        asked = " ".join(
            f"--{noun} {','.join(names)}"
            for noun, names in (("tasks", spec.tasks), ("models", spec.models), ("protocol", spec.protocols))
            if names
        )
        raise BenchmarkError(f"no finished cell for it{': benchmark run ' + asked if asked else ''}")
    entries = dict(zip(frame["model"], base[frame.index], strict=True))
    models = sorted(entries, key=lambda name: (_place(entries[name], spec.models), name != data.baseline))
    blocks = frame.drop_duplicates("block").set_index("block")["task"]
    ordered = sorted(blocks.index, key=lambda name: spec.tasks.index(blocks[name]) if spec.tasks else 0)
    missing = [name for name in spec.models if name not in set(base[frame.index])]
    missing += [name for name in spec.tasks if name not in set(frame["task"])]
    absent = f"Not run: {', '.join(missing)}." if missing else ""
    return Selection(frame=frame, blocks=tuple(ordered), models=tuple(models), absent=absent)


def _place(entry: str, listed: Sequence[str]) -> int:
    return listed.index(entry) if entry in listed else len(listed)


def tested(shown: Selection, baseline: str, correction: Correction) -> pd.DataFrame:
    """`summary` of what is shown, with `p_adjusted`: corrected over the tests of each block; and `verdict`: `baseline`,
    `above`, `below` (p_adjusted < 0.05) or `alike`, which also stands for what could not be tested.
    """
    rows = summary(shown.frame, baseline).reset_index(drop=True)
    rows["p_adjusted"] = rows.groupby("block")["p"].transform(lambda p: pd.Series(CORRECTIONS[correction](p), p.index))
    found = rows["p_adjusted"] < SIGNIFICANT
    rows["verdict"] = np.select(
        [rows["is_baseline"], found & (rows["difference"] > 0), found], ["baseline", "above", "below"], "alike"
    )
    return rows


def tests_told(rows: pd.DataFrame, baseline: str, correction: Correction) -> str:
    """The sentence of a caption about the tests; empty where none could be made."""
    counts = rows[rows["p"].notna()].groupby("block").size()
    if counts.empty:
        return ""
    family = plural(int(counts.iloc[0]), "test") if counts.min() == counts.max() else f"up to {counts.max()} tests"
    return (
        f"{TESTS[DEFAULT_TEST].words} against {baseline}, {family} a panel, {TOLD[correction]}; "
        f"marked where p < {SIGNIFICANT}."
    )


def runs_told(counts: Sequence[int], noun: str = "run") -> str:
    """`10 runs`, or `3 to 10 runs`."""
    low, high = min(counts), max(counts)
    return plural(low, noun) if low == high else f"{low} to {plural(high, noun)}"


def caption_of(shown: Selection, spec: FigureSpec, *sentences: str, of_runs: bool = True) -> str:
    """Returns title, sentences, what is absent, and what a reader must never miss: what the runs share (`of_runs`), data
    that are not the whole published set, weights that saw the images, phantoms.
    """
    seen = shown.frame.loc[shown.frame["overlap"].astype(bool), "model"]
    told = [f"{spec.title[:1].upper()}{spec.title[1:].rstrip('.')}." if spec.title else "", *sentences, shown.absent]
    told.append(what_varies(shown.frame) if of_runs else "")
    few = shown.frame[shown.frame["share"] != ""]
    if len(few) and few["num_validation"].notna().any():
        low, high = few["num_validation"].min(), few["num_validation"].max()
        num = f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"
        told.append(f"Beside the training images, {num} labelled validation images choose the epoch.")
    if len(seen):
        told.append(f"{OVERLAP} trained on images of the task before: no fair comparison.")
    told += data_sentences(shown.frame)
    return " ".join(filter(None, told))


def one_block_a_task(shown: Selection) -> None:
    """Raises BenchmarkError where a task stands in several settings, or phantoms beside official images: ranks over tasks would
    count a task twice.
    """
    if len(set(shown.frame["data"])) > 1:
        raise BenchmarkError("phantom and official images are both here: wanted one kind; name the tasks of one")
    blocks = shown.frame.groupby("task")["block"].nunique()
    if len(several := blocks[blocks > 1]):
        raise BenchmarkError(
            f"{first_few(f'{task} has {num} settings' for task, num in several.items())}: ranks over tasks need one of "
            "each: name `protocols` or `share` in the figure"
        )
