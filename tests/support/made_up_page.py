"""A report made up for its tests: a whole study of invented records, official or phantom, and its page."""

import hashlib
import itertools

import numpy as np
import pandas as pd
from conftest import CHECKOUT

from benchmark.cell import Cell, Weights
from benchmark.experiment.suite import Suite, read_suites
from benchmark.reporting.answers import results_table
from benchmark.reporting.commands import commands_of
from benchmark.reporting.data import ReportData
from benchmark.reporting.figures.style import FigureFiles
from benchmark.reporting.frame import frame_of
from benchmark.reporting.page.page import page
from benchmark.reporting.tables import summary
from benchmark.results.predictions import Predictions
from benchmark.results.record import RunRecord
from benchmark.tasks.registry import read_tasks
from benchmark.zoo.catalog import read_zoo

TASKS = read_tasks(CHECKOUT / "tasks")
SUITES = read_suites(CHECKOUT / "tasks" / "suites")
ZOO = read_zoo(CHECKOUT / "model_zoo.yaml")
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 90"><path d="M9 80L190 12" stroke="#0072B2"/></svg>'


def made_up_run(model: str, task: str, seed: int, *, mean=0.9, epochs=12, data="official", **changed) -> RunRecord:
    """A done record with curves, labels and groups; scores vary with the seed alone."""
    random = np.random.default_rng([seed, *map(ord, model + task)])
    sheet, entry = TASKS[task], ZOO.get(model)
    weights = Weights(
        name=model,
        architecture=entry.architecture if entry else "resnet50",
        sha256="" if model.startswith("scratch") else hashlib.sha256(model.encode()).hexdigest(),
        naming="none" if model.startswith("scratch") else "torchvision",
    )
    cell = changed.pop("cell", None) or Cell(
        weights=(weights,),
        task=task,
        task_digest="0" * 16,
        data=data,
        data_digest="5d41402abc4b2a76",
        recipe=sheet.complete_recipe(),
        seed=seed,
    )
    fall = 0.3 + 0.4 * np.exp(-np.arange(epochs) / 4) + random.normal(0, 0.01, epochs)
    score = float(np.clip(mean + random.normal(0, 0.006), 0, 1))
    facts = {
        "status": "done",
        "finished": "2026-01-01T00:00:00+00:00",
        "scores": {sheet.metric: score},
        "per_label": {
            label: {"auc": float(np.clip(score + random.normal(0, 0.03), 0, 1)), "positives": 40.0 + number}
            for number, label in enumerate(sheet.labels)
        },
        "per_group": {
            "sex": {"F": {sheet.metric: score - 0.01, "num": 240.0}, "M": {sheet.metric: score + 0.01, "num": 260.0}}
        },
        "num_examples": {"train": 4000, "validation": 400, "test": 500},
        "epochs_trained": epochs,
        "best_epoch": int(fall.argmin()) + 1,
        "stopped": "patience",
        "history": [
            {
                "epoch": float(epoch + 1),
                "train_loss": float(loss - 0.05),
                "learning_rate": 2e-4,
                "validation_loss": float(loss),
                f"validation_{sheet.metric}": float(1.1 - loss),
            }
            for epoch, loss in enumerate(fall)
        ],
        "timings": {"train": 620.5, "wait": 3.25, "validation": 41.0, "test": 66.0},
        "images_per_second": 310.4,
        "peak_memory_gb": 9.81,
        "weights_account": [{"name": model, "share": 0.0 if weights.fresh else 1.0, "dropped": ["fc."], "fresh": []}],
        "environment": {"benchmark": "0.1.0", "python": "3.11.7", "torch": "2.4.0", "device": "CPU"},
    }
    return RunRecord(key=cell.key, cell=cell, **{**facts, **changed})


def made_up_answers(_: str) -> Predictions:
    """Fifty test images; the same answers for every record."""
    rng = np.random.default_rng(0)
    truth = np.arange(50).reshape(-1, 1) % 2
    return Predictions(
        kind="classification",
        ids=np.array([f"image-{n}" for n in range(50)]),
        groups={"patient": np.array([f"patient-{n}" for n in range(50)])},
        columns=("TB",),
        truth=truth.astype(float),
        score=np.clip(0.3 * truth + rng.random((50, 1)) * 0.7, 0, 1),
    )


def made_up_failure(model: str, task: str, seed: int, error: str) -> RunRecord:
    done = made_up_run(model, task, seed)
    return RunRecord(
        key=done.key, cell=done.cell, status="failed", finished=done.finished, attempt=2, error=error, traceback=error
    )


def made_up_study(
    models, tasks, seeds=10, *, epochs=12, data="official", without=(), more=(), failed=(), suite=None, **changed
) -> tuple[ReportData, pd.DataFrame]:
    """A report's data and the rows of its `summary`: models × tasks × seeds without some (task, model) pairs, each model
    half a hundredth better than the one before.
    """
    records = [
        made_up_run(model, task, seed, mean=0.8 + 0.005 * number, epochs=epochs, data=data)
        for (number, model), task, seed in itertools.product(enumerate(models), tasks, range(seeds))
        if (task, model) not in without
    ] + list(more)
    facts = {"baseline": "imagenet", "suites": SUITES, "predictions": made_up_answers, **changed}
    data_of_report = ReportData(
        frame=frame_of(records, TASKS),
        records={record.key: record for record in [*records, *failed]},
        tasks=TASKS,
        entries=ZOO,
        suite=suite and Suite(**{"name": "made-up", "title": "A made-up study", "seeds": "10", **suite}),
        **facts,
    )
    return data_of_report, summary(data_of_report.frame, data_of_report.baseline)


def made_up_page(data: ReportData, rows: pd.DataFrame, bibtex: str = "@misc{one,\n  note = {A citation}\n}") -> str:
    """The page of a study, with a figure."""
    figures = {"seeds": FigureFiles(png=b"", svg=SVG, csv=b"", caption="Every run.")}
    commands = commands_of(data.frame, data.records, data.tasks)
    matrix = results_table(data.frame, rows)
    return page(data, rows, figures=figures, bibtex=bibtex, commands=commands, matrix_table=matrix).decode()
