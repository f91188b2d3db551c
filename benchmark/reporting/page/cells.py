"""The runs behind each cell of the matrix, as compact data from which the page draws a cell when it is opened."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from benchmark.recipe import Recipe
from benchmark.reporting.data import ReportData
from benchmark.reporting.format import known, rounded
from benchmark.reporting.groups import groups_of
from benchmark.reporting.metric_facts import metric_title
from benchmark.results.record import RunRecord
from benchmark.stats.significance import sample_sd

# a run is a list in this order: names would be most of the page
RUN = (
    "seed",
    "fold",
    "score",
    "epochs_trained",
    "best_epoch",
    "stopped",
    "attempt",
    "finished",
    "key",
    "timings",
    "images_per_second",
    "peak_memory_gb",
    "environment",
    "account",
    "notes",
    "epochs",
    "loss",
    "validation",
)
SUMMARY = ("mean", "sd", "difference", "low", "high", "p", "replicates_difference", "replicates_low", "replicates_high")


class _Distinct:
    """Distinct values and their positions in the list: most records have equal environments and notes."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._positions: dict[str, int] = {}

    def position(self, value: Any) -> int:
        name = repr(value)
        if name not in self._positions:
            self._positions[name] = len(self.values)
            self.values.append(value)
        return self._positions[name]


def cells(data: ReportData, rows: pd.DataFrame) -> dict[str, Any]:
    """Returns `run`: the names of a run's fields; `blocks` -> facts and `cells` -> model -> runs, labels, groups; and the lists
    that runs point into. Scores have six decimals, losses four significant digits; an unknown number is null.
    """
    environments, accounts, notes, recipes = _Distinct(), _Distinct(), _Distinct(), _Distinct()
    groups: dict[tuple[str, str], list[list[Any]]] = {}
    for row in groups_of(data.frame, data.frame_records).to_dict("records"):
        groups.setdefault((row["block"], row["model"]), []).append(_group(row))
    summaries = {(row["block"], row["model"]): row for row in rows.to_dict("records")}
    blocks: dict[str, Any] = {}
    for _, runs in data.frame.groupby(["block", "model"], sort=False):
        first = runs.iloc[0]
        block, model = str(first["block"]), str(first["model"])
        records = [data.records[key] for key in runs["key"]]
        if block not in blocks:
            blocks[block] = {**_facts(first, records[0]), "baseline": data.baseline, "cells": {}}
        row = summaries.get((block, model), {})
        blocks[block]["cells"][model] = {
            "weights": [weights.model_dump(mode="json", exclude_none=True) for weights in records[0].cell.weights],
            "overlap": bool(runs["overlap"].any()),
            "recipe": recipes.position(_recipe(records[0])),
            "summary": {name: rounded(row.get(name), 8) for name in SUMMARY} | {"by": row.get("replicates_by", "")},
            "labels": _labels(records),
            "groups": groups.get((block, model), []),
            "runs": [
                [
                    record.cell.seed,
                    record.cell.fold,
                    _digits(record.scores.get(first["metric"])),
                    record.epochs_trained,
                    record.best_epoch,
                    record.stopped,
                    record.attempt,
                    record.finished,
                    record.key,
                    {name: _digits(seconds, 2) for name, seconds in record.timings.items()},
                    known(record.images_per_second),
                    known(record.peak_memory_gb),
                    environments.position(record.environment),
                    accounts.position(record.weights_account),
                    notes.position(record.notes),
                    *_curves(record.history, first["metric"]),
                ]
                for record in records
            ],
        }
    return {
        "run": RUN,
        "blocks": blocks,
        "environments": environments.values,
        "accounts": accounts.values,
        "notes": notes.values,
        "recipes": recipes.values,
    }


def _facts(row: pd.Series, record: RunRecord) -> dict[str, Any]:
    return {
        **{name: row[name] for name in ("task", "title", "data", "data_digest", "protocol", "setting")},
        "metric": metric_title(row["metric"]),
        "examples": record.num_examples,
    }


def _recipe(record: RunRecord) -> dict[str, Any]:
    own = Recipe().model_dump()
    recipe = record.cell.recipe.model_dump(mode="json")
    return {name: value for name, value in recipe.items() if value is not None or own[name] is not None}


def _curves(history: list[dict[str, float]], metric: str) -> Iterator[list[float | None] | int]:
    """Yields epochs (0 where they count from one), validation loss, validation score; empty where a run has none."""
    epochs = [int(line["epoch"]) for line in history if "epoch" in line]
    yield 0 if epochs == list(range(1, len(history) + 1)) else [float(e) for e in epochs]
    for name in ("validation_loss", f"validation_{metric}"):
        values = [None if (v := known(line.get(name))) is None else float(f"{v:.4g}") for line in history]
        yield [] if all(value is None for value in values) else values


def _labels(records: list[RunRecord]) -> list[list[Any]]:
    """Returns label, metric, mean, sd, n, in the records' order."""
    of_label: dict[tuple[str, str], list[float]] = {}
    for record in records:
        for label, scores in record.per_label.items():
            for name, value in scores.items():
                values = of_label.setdefault((label, name), [])
                if (number := known(value)) is not None:
                    values.append(number)
    return [[label, name, *_moments(values)] for (label, name), values in of_label.items()]


def _group(row: dict[Any, Any]) -> list[Any]:
    """Returns group, value, mean, sd, n, number of examples."""
    mean, sd = _digits(row["mean"]), _digits(row["sd"])
    return [row["group"], row["value"], mean, sd, int(row["n"]), known(row["num_examples"])]


def _moments(values: Iterable[float]) -> tuple[float | None, float | None, int]:
    values = list(values)
    mean = math.fsum(values) / len(values) if values else None
    return _digits(mean), _digits(sample_sd(values)), len(values)


def _digits(value: float | None, digits: int = 6) -> float | None:
    value = known(value)
    return None if value is None else round(value, digits)
