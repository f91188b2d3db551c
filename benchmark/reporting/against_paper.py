"""Our result against a paper's printed number: what differs between the two experiments, and a test where nothing does.

A test is made only where images, split sizes, metric, protocol and recipe are the paper's as far as the project knows
them; otherwise the difference is shown without a test, with the list of what differs. The test is Welch's, from mean, sd
and n of both. Where the test split is random, the paper tested other images than we do: the error of the difference then
also has the spread over test splits of ours and of theirs (taken to be as large), which seeds alone do not show.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from scipy import stats

from benchmark.cell import Cell
from benchmark.errors import BenchmarkError
from benchmark.experiment.suite import suite_recipe
from benchmark.reporting.data import ReportData
from benchmark.reporting.format import known
from benchmark.reporting.paper_tables import EPOCHS, PARAMETERS, tables_in
from benchmark.scoring.resampling import sd_over_test_sets
from benchmark.stats.significance import CONFIDENCE, Difference

COUNTED = (EPOCHS, PARAMETERS)  # numbers about a training, which has no test images


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Mean, sd over n - 1, and number of runs."""

    mean: float
    sd: float
    n: int


@dataclass(frozen=True, kw_only=True)
class PaperComparison:
    """One result of ours (`ours`: a row of `summary`) and one printed number (`printed`: a row of `read_published`).

    `differs`: what is not as in the paper; where it is empty, `difference` has the interval and p of the test, else only
    its mean. `other_test_images`: the paper's test images are another random draw, and the interval allows for it.
    """

    ours: Mapping[str, Any]
    printed: Mapping[str, Any]
    differs: tuple[str, ...]
    difference: Difference
    other_test_images: bool

    @property
    def note(self) -> str:
        """What a reader must know of the comparison, in a sentence or two."""
        notes = []
        if self.differs:
            notes.append(f"not tested, ours differ: {'; '.join(self.differs)}")
        elif self.other_test_images:
            notes.append("another random split: the error allows for other test images")
        if isinstance(self.printed["note"], str) and self.printed["note"]:
            notes.append(self.printed["note"])
        return ". ".join(notes)


def compare_with_papers(rows: pd.DataFrame, data: ReportData) -> list[PaperComparison]:
    """Returns one comparison for each printed number of the same task, model, protocol, share and metric as a row of
    `summary`. Phantoms are compared with nothing.
    """
    if data.published.empty or rows.empty:
        return []
    columns = ["task", "model", "protocol", "subset", "metric"]
    printed: dict[tuple[str, ...], list[dict[Any, Any]]] = {}
    for row in data.published.to_dict("records"):
        printed.setdefault(tuple(str(row[name]) for name in columns), []).append(row)
    keys_of_runs = {name: list(runs["key"]) for name, runs in data.frame.groupby(["block", "model_id"], sort=False)}
    shares = dict(zip(data.frame["block"], data.frame["share"], strict=True))
    comparisons = []
    for ours in rows[rows["data"] != "phantom"].to_dict("records"):
        members = "+".join(sorted(ours["members"]))
        result = (ours["task"], members, ours["protocol"], shares[ours["block"]], ours["metric"])
        keys = keys_of_runs[ours["block"], ours["model_id"]]
        comparisons += [compare_with_printed(ours, row, keys, data) for row in printed.get(result, [])]
    return comparisons


def compare_with_printed(
    ours: Mapping[Any, Any], printed: Mapping[Any, Any], keys: Sequence[str], data: ReportData
) -> PaperComparison:
    """Returns the comparison of one result of ours with one printed number. `ours` has mean, sd, n, task, metric and data;
    `keys` are those of its records.
    """
    cell = data.records[keys[0]].cell
    task = data.tasks.get(cell.task)
    differs = differences(cell, ours, printed, data)
    mean = known(printed["mean"])
    gap = Difference(mean=math.nan if mean is None else float(ours["mean"]) - mean)
    other_test_images = task is not None and task.split.method == "random"
    theirs = printed_moments(printed)
    if not differs and task is not None and theirs is not None and not math.isnan(ours["sd"]):
        own = Moments(mean=float(ours["mean"]), sd=float(ours["sd"]), n=int(ours["n"]))
        over_test_sets = 0.0
        try:
            if other_test_images and str(ours["metric"]) not in COUNTED:
                predictions = [data.predictions(key) for key in keys]
                over_test_sets = sd_over_test_sets(predictions, task.judging, str(ours["metric"]))
            gap = welch_with_test_sets(own, theirs, over_test_sets)
        except BenchmarkError:  # damaged or deleted: what the test split's size can carry is not known
            differs = ("our predictions cannot be read",)
    return PaperComparison(
        ours=dict(ours),
        printed=dict(printed),
        differs=differs,
        difference=gap,
        other_test_images=other_test_images,
    )


def differences(cell: Cell, ours: Mapping[Any, Any], printed: Mapping[Any, Any], data: ReportData) -> tuple[str, ...]:
    """Returns what of a cell is not as in the paper whose number is `printed`, in a few words each."""
    task, suite = data.tasks.get(cell.task), data.suites.get(str(printed["paper"]))
    if task is None or suite is None:
        return ("the paper's own setting is not described here",)
    found = []
    if ours["data"] == "partial":
        found.append(f"{ours['num_images']:,.0f} of {ours['num_published']:,.0f} images")
    elif ours["data"] != "official":
        found.append(f"{ours['data']} data")
    table = tables_in(suite).get(str(printed["table"]))
    images = (table.other_images.get(cell.task) if table else "") or suite.differs.tasks.get(cell.task, "")
    models = (suite.differs.models.get(weights.name, "") for weights in cell.weights)
    found += filter(None, [images, *models])
    recipe = suite_recipe(suite, task, cell.protocol, cell.model)
    searched = cell.search or {}
    found += [
        f"{name} {getattr(cell.recipe, name)} (there {getattr(recipe, name)})"
        for name in type(recipe).model_fields
        if name not in searched and getattr(cell.recipe, name) != getattr(recipe, name)
    ]
    if searched and not suite.search:
        found.append(f"{', '.join(searched)} chosen on validation here")
    if suite.search and not searched:
        found.append("hyper-parameters chosen on validation there")
    here = cell.folds if cell.fold is not None else None
    if here != suite.folds:
        found.append(f"{_folds(here)} (there {_folds(suite.folds)})")
    return tuple(found)


def printed_moments(printed: Mapping[Any, Any]) -> Moments | None:
    """Returns a printed mean, its sd over n - 1 (one of unknown divisor is taken for that), and n; None where one is
    missing.
    """
    mean, sd, n = (known(printed[name]) for name in ("mean", "sd", "n"))
    if mean is None or sd is None or n is None or n < 2:
        return None
    return Moments(mean=mean, sd=sd * math.sqrt(n / (n - 1)) if known(printed["ddof"]) == 0 else sd, n=int(n))


def welch_with_test_sets(ours: Moments, theirs: Moments, sd_over_test_sets: float = 0.0) -> Difference:
    """Returns ours minus theirs with Welch's interval and p. `sd_over_test_sets`: how much a mean varies over test splits
    that are drawn anew, on each side, where the two were judged on other images; it adds to the error without taking
    degrees of freedom (it is known from 1,000 replicates).
    """
    seeds = [side.sd**2 / side.n for side in (ours, theirs)]
    error = math.sqrt(sum(seeds) + 2 * sd_over_test_sets**2)
    mean = ours.mean - theirs.mean
    if not error > 0:
        return Difference(mean=mean)
    # Satterthwaite's degrees of freedom, where one part of the variance has infinitely many
    of_seeds = sum(part**2 / (side.n - 1) for part, side in zip(seeds, (ours, theirs), strict=True))
    freedom = error**4 / of_seeds if of_seeds else math.inf
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    return Difference(mean=mean, low=mean - half, high=mean + half, p=float(2 * stats.t.sf(abs(mean) / error, freedom)))


def _folds(folds: int | None) -> str:
    return "no folds" if folds is None else f"{folds} folds"
