"""TensorBoard: one folder of event files per cell, DIR/<task>/<model>/seed-<n>-<key>; `runs/` without a DIR.

Written with the `tensorboard` package alone, without torch. A resumed cell adds a file to its folder.
"""

import re
import time
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2, summary_v2
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from benchmark.cell import Cell
from benchmark.tracking.facts import facts_of
from benchmark.tracking.trackers import Tracker


def open_tracker(where: str) -> Tracker:
    """Returns a tracker that writes under the folder `where`."""
    return _EventFiles(Path(where or "runs").expanduser())


class _EventFiles:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writers: dict[str, Any] = {}
        self.last: dict[str, int] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def begin(self, cell: Cell) -> None:
        model = re.sub(r"[^\w.+@-]+", "-", cell.model)
        fold = "" if cell.fold is None else f"-fold-{cell.fold}"
        folder = self.folder / cell.task / model / f"seed-{cell.seed}{fold}-{cell.key}"
        self.writers[cell.key] = EventFileWriter(str(folder))
        self._add(cell.key, 0, summary_v2.hparams_pb(facts_of(cell), trial_id=cell.key))

    def epoch(self, key: str, epoch: int, values: dict[str, float]) -> None:
        self.last[key] = epoch
        self._add(key, epoch, _scalars(values))
        self.writers[key].flush()

    def end(self, key: str, scores: dict[str, float], failure: str) -> None:
        step = self.last.pop(key, 0)
        self._add(key, step, _scalars({f"test_{name}": value for name, value in scores.items()}))
        self._add(key, step, _ended(api_pb2.STATUS_FAILURE if failure else api_pb2.STATUS_SUCCESS))
        self.writers.pop(key).close()

    def close(self) -> None:
        for writer in self.writers.values():
            writer.close()

    def _add(self, key: str, step: int, content: Any) -> None:
        self.writers[key].add_event(Event(wall_time=time.time(), step=step, summary=content))


def _scalars(values: dict[str, float]) -> Any:
    return Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])


def _ended(status: int) -> Any:
    # what tensorboard's own summary of it would be, whose module needs tensorflow
    ended = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time.time())
    summary_metadata = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=ended))
    value = Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=summary_metadata, tensor=metadata.NULL_TENSOR)
    return Summary(value=[value])
