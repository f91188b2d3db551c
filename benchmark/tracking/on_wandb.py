"""Weights & Biases: one run per cell, its id the cell's key, in the project medical-transfer-benchmark.

WHERE is a folder for wandb's files (`wandb/` is made in it), or the URL of a server. Offline unless such a URL or
WANDB_MODE=online asks for more: by default nothing leaves the machine, and no key is needed; `wandb sync` sends the runs
later, and joins those of one id. Neither code nor the state of git nor the terminal's text is recorded.
"""

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")

import wandb

from benchmark.cell import Cell
from benchmark.tracking.facts import PROJECT, facts_of, run_name
from benchmark.tracking.trackers import Tracker


def open_tracker(where: str) -> Tracker:
    """Returns a tracker that logs to the folder, or the server, `where`."""
    settings: dict[str, Any] = {
        "silent": True,
        "console": "off",
        "disable_git": True,
        "disable_code": True,
        "save_code": False,
        "x_disable_stats": True,  # of this process, which trains nothing
    }
    is_server = where.startswith(("http://", "https://"))
    folder = Path(where).expanduser() if where and not is_server else Path()
    folder.mkdir(parents=True, exist_ok=True)
    if is_server:
        settings["base_url"] = where
    mode = os.environ.get("WANDB_MODE") or ("online" if is_server else "offline")
    return _Runs(wandb.Settings(**settings), str(folder), mode)


class _Runs:
    def __init__(self, settings: Any, folder: str, mode: str) -> None:
        self.settings = settings
        self.folder = folder
        self.mode: Any = mode
        self.runs: dict[str, Any] = {}

    def begin(self, cell: Cell) -> None:
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            id=cell.key,
            resume="allow" if self.mode == "online" else None,  # offline, `wandb sync` joins what has one id
            name=run_name(cell),
            group=f"{cell.task} · {cell.model}",
            tags=[cell.data, cell.task],
            config=facts_of(cell),
            dir=self.folder,
            mode=self.mode,
            reinit="create_new",  # several cells are trained at once
            settings=self.settings,
        )
        run.define_metric("epoch")
        run.define_metric("*", step_metric="epoch")
        self.runs[cell.key] = run

    def epoch(self, key: str, epoch: int, values: dict[str, float]) -> None:
        self.runs[key].log({"epoch": epoch, **values})

    def end(self, key: str, scores: dict[str, float], failure: str) -> None:
        run = self.runs.pop(key)
        run.summary.update({f"test_{name}": value for name, value in scores.items()})
        if failure:
            run.summary["failure"] = failure
        run.finish(exit_code=1 if failure else 0)

    def close(self) -> None:
        for run in self.runs.values():
            run.finish(exit_code=255)
