"""MLflow: one run per cell in the experiment medical-transfer-benchmark, found again by its tag `benchmark.key`.

WHERE is a tracking URI, or a folder for a local store (`mlflow.db` in it; needs sqlalchemy and alembic, which `[track]`
brings); without it MLFLOW_TRACKING_URI decides, else mlflow's own default. MLflow's telemetry is off unless
MLFLOW_DISABLE_TELEMETRY says otherwise.
"""

import logging
import os
import re
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from benchmark.cell import Cell
from benchmark.tracking.facts import PROJECT, facts_of, run_name
from benchmark.tracking.trackers import Tracker

KEY = "benchmark.key"


def open_tracker(where: str) -> Tracker:
    """Returns a tracker that logs to the store `where`."""
    for name in ("mlflow", "alembic"):  # they would write between the bars, of migrations of a database just made
        logging.getLogger(name).setLevel(logging.WARNING)
    uri: str | None = where or None
    if where and "://" not in where and not where.startswith(("databricks", "uc:")):
        folder = Path(where).expanduser().resolve()
        folder.mkdir(parents=True, exist_ok=True)
        uri = f"sqlite:///{folder / 'mlflow.db'}"
    return _Runs(MlflowClient(tracking_uri=uri))


class _Runs:
    def __init__(self, client: Any) -> None:
        self.client = client
        self.runs: dict[str, str] = {}
        found = client.get_experiment_by_name(PROJECT)
        self.experiment = found.experiment_id if found else client.create_experiment(PROJECT)

    def begin(self, cell: Cell) -> None:
        earlier = self.client.search_runs([self.experiment], f"tags.`{KEY}` = '{cell.key}'", max_results=1)
        if earlier:
            self.runs[cell.key] = earlier[0].info.run_id
            self.client.update_run(self.runs[cell.key], status="RUNNING")
            return
        tags = {KEY: cell.key, "data": cell.data, "task": cell.task, "model": cell.model}
        run = self.client.create_run(self.experiment, run_name=run_name(cell), tags=tags)
        self.runs[cell.key] = run.info.run_id
        params = [Param(_plain(name), str(fact)) for name, fact in facts_of(cell).items()]
        self.client.log_batch(self.runs[cell.key], params=params)

    def epoch(self, key: str, epoch: int, values: dict[str, float]) -> None:
        self._log(key, epoch, values)

    def end(self, key: str, scores: dict[str, float], failure: str) -> None:
        self._log(key, 0, {f"test_{name}": value for name, value in scores.items()})
        if failure:
            self.client.log_batch(self.runs[key], tags=[RunTag("failure", failure[:5000])])
        self.client.set_terminated(self.runs.pop(key), status="FAILED" if failure else "FINISHED")

    def close(self) -> None:
        for run in self.runs.values():
            self.client.set_terminated(run, status="KILLED")

    def _log(self, key: str, step: int, values: dict[str, float]) -> None:
        now = int(1000 * time.time())
        metrics = [Metric(_plain(name), value, now, step) for name, value in values.items()]
        self.client.log_batch(self.runs[key], metrics=metrics)


def _plain(name: str) -> str:
    """Returns the name with the signs that every MLflow store takes."""
    return re.sub(r"[^\w\-. /]", "_", name)
