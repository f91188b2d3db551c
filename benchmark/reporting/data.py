"""What a report is made from: one object, read once, that tables, figures and the page take."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.data.feature_cache import cache_of
from benchmark.errors import BenchmarkError
from benchmark.experiment.overlap import overlap
from benchmark.experiment.selection import read_seeds, select
from benchmark.experiment.suite import Suite, read_suites
from benchmark.protocols.registry import PROTOCOLS
from benchmark.reporting.frame import frame_of, members_of
from benchmark.reporting.published import COLUMNS as PUBLISHED_COLUMNS
from benchmark.reporting.published import read_published
from benchmark.results.predictions import Predictions
from benchmark.results.record import RunRecord
from benchmark.results.store import Store
from benchmark.tasks.registry import known_tasks
from benchmark.tasks.shift import with_shifts
from benchmark.tasks.spec import TaskSpec
from benchmark.workspace import Workspace
from benchmark.zoo.catalog import ZooEntry, default_models, read_catalog


@dataclass(frozen=True, kw_only=True)
class Features:
    """What an encoder makes of test examples: `values` N x D, `ids` N, the ids of the cell's predictions."""

    values: NDArray[np.floating]
    ids: NDArray[np.str_]


@dataclass(frozen=True, kw_only=True)
class Attention:
    """How much encoders attend to each other, the mean over the test images: `weights` E x E, each row (the encoder that
    attends) sums to 1 over the columns (the encoders that it attends to); `encoders` names them.
    """

    weights: NDArray[np.floating]
    encoders: tuple[str, ...]


def _no_published_numbers() -> pd.DataFrame:
    return pd.DataFrame(columns=list(PUBLISHED_COLUMNS))


def _no_predictions(key: str) -> Predictions:
    raise BenchmarkError(f"cell {key}: no predictions are kept")


def _no_features(key: str) -> Features:
    raise BenchmarkError(f"cell {key}: no features are kept")


def _no_attention(key: str) -> Attention:
    raise BenchmarkError(f"cell {key}: no attention is kept")


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """Everything that a report is made from.

    `frame`: the runs that the report is about, of `frame_of`; `records`: all of the results folder, by key; `baseline`:
    the model of the frame that the others are compared with; `suite`: the suite that is reported, if one is;
    `default_models`: what `all` means among a suite's models; `suites`: the papers', by name; `published`: their printed
    numbers, of `read_published`; `unread`: a line for each record that could not be read. `predictions`, `features` and
    `attention` read what a run has kept, by the record's key; they raise BenchmarkError where it has kept none.
    """

    frame: pd.DataFrame
    records: Mapping[str, RunRecord]
    baseline: str = ""
    tasks: Mapping[str, TaskSpec] = field(default_factory=dict)
    entries: Mapping[str, ZooEntry] = field(default_factory=dict)
    suite: Suite | None = None
    default_models: list[str] | None = None
    suites: Mapping[str, Suite] = field(default_factory=dict)
    published: pd.DataFrame = field(default_factory=_no_published_numbers)
    unread: Sequence[str] = ()
    predictions: Callable[[str], Predictions] = _no_predictions
    features: Callable[[str], Features] = _no_features
    attention: Callable[[str], Attention] = _no_attention

    @cached_property
    def frame_records(self) -> list[RunRecord]:
        """The records of the frame's runs, in its order."""
        return [self.records[key] for key in self.frame["key"]]

    @cached_property
    def failed(self) -> list[RunRecord]:
        """The failed records of the frame's tasks."""
        tasks = set(self.frame["task"])
        return [r for r in self.records.values() if r.status == "failed" and r.cell.task in tasks]

    @cached_property
    def title(self) -> str:
        """The suite's title, or the names of the tasks."""
        return self.suite.title if self.suite else ", ".join(dict.fromkeys(self.frame["task"]))

    @cached_property
    def requested_runs(self) -> dict[tuple[str, str], int]:
        """How many runs the suite requests of each (task, model); without those whose weights were trained on the task's
        images. Empty without a suite, and for one whose models are not all made yet.
        """
        if self.suite is None:
            return {}
        families = {entry.name: entry.family for entry in self.entries.values()}
        try:
            models = select(
                self.suite.models, families, noun="model", everything=self.default_models, coin=_scratch_name
            )
            tasks = select(self.suite.tasks, dict.fromkeys(self.tasks, ""), noun="task")
        except BenchmarkError:
            return {}
        phantom = set(self.frame["data"]) == {"phantom"}
        num_seeds = len(read_seeds(self.suite.seeds))
        return {
            (task, model): num_seeds
            for task in tasks
            for model in models
            if not self.overlapping(members_of(model), task, phantom=phantom)
        }

    @cached_property
    def members(self) -> dict[str, tuple[str, ...]]:
        """The zoo's names of the weights in each model that was run, failed or is requested."""
        requested = {model: members_of(model) for _, model in self.requested_runs}
        failed = {record.cell.model: tuple(w.name for w in record.cell.weights) for record in self.failed}
        return requested | failed | dict(zip(self.frame["model"], self.frame["members"], strict=True))

    def overlapping(self, members: Sequence[str], task: str, *, phantom: bool) -> tuple[str, ...]:
        """Returns the data sets of the task that the weights were trained on, as the zoo names them."""
        if task not in self.tasks:
            return ()
        entries = [self.entries[name] for name in members if name in self.entries]
        return tuple(name for entry in entries for name in overlap(entry, self.tasks[task], phantom=phantom))


def read_report_data(workspace: Workspace, suite: Suite | None = None) -> ReportData:
    """Reads a workspace's records, zoo, tasks, suites and published numbers. The frame has all done cells; who reports
    some of them replaces it, and names a baseline. Raises BenchmarkError for a damaged zoo, task or suite.
    """
    zoo = workspace.project / "model_zoo.yaml"
    tasks, entries = known_tasks(workspace), read_catalog(zoo, workspace.own_zoo)
    store = Store(workspace.results)
    listed, unread = store.records()
    records = {record.key: record for record in listed}
    tasks = with_shifts(tasks, (record.cell for record in listed))
    return ReportData(
        frame=frame_of(listed, tasks, {entry.name: entry.family for entry in entries.values()}),
        records=records,
        tasks=tasks,
        entries=entries,
        suite=suite,
        default_models=default_models(zoo) if suite else None,
        suites=read_suites(workspace.project / "tasks" / "suites"),
        published=read_published(workspace.project / "results" / "published"),
        unread=unread,
        predictions=lambda key: store.predictions(records[key].cell),
        features=lambda key: _features(records[key], store, workspace.features),
        attention=lambda key: _attention(records[key], store),
    )


def _features(record: RunRecord, store: Store, caches: Path) -> Features:
    """Returns a fusion's own embedding of the test examples, or what a frozen encoder gave."""
    cell = record.cell
    ids = store.predictions(cell).ids
    values = store.embedding(cell)
    frozen = cell.protocol in PROTOCOLS and PROTOCOLS[cell.protocol].frozen
    if values is None and frozen and len(cell.weights) == 1:
        values = cache_of(caches, cell, cell.weights[0]).features_of(ids)
    if values is None:
        raise BenchmarkError(
            f"{cell.title}: no features are kept: wanted a cell of a frozen encoder (--protocol linear) or a fusion, and "
            "the home's features/ as its run left it"
        )
    return Features(values=values, ids=ids)


def _attention(record: RunRecord, store: Store) -> Attention:
    kept = store.attention(record.cell)
    if kept is None:
        raise BenchmarkError(f"{record.cell.title}: no attention is kept: wanted a cell of --protocol dvme")
    names, weights = kept
    return Attention(weights=weights, encoders=tuple(names))


def _scratch_name(name: str) -> str | None:
    return name if name.startswith("scratch:") else None
