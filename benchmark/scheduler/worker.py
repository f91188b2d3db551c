"""A worker process: it receives groups of cells, runs them one group after the other, and reports events."""

import os
import signal
import threading
import time
from multiprocessing.connection import Connection
from types import FrameType
from typing import NoReturn

from benchmark.cell import THREADS, Cell
from benchmark.cores import usable_cores
from benchmark.events import Event, EventKind
from benchmark.logs import warnings_hidden
from benchmark.workspace import Workspace

ORPHAN_SECONDS = 20.0  # for an orphan to write its state: SLURM kills a job 30 seconds after its SIGTERM
TERMINATED = 128 + signal.SIGTERM


def work(
    connection: Connection,
    workspace: Workspace,
    device: str,
    number: int,
    num_workers: int,
    retry_failed: bool,  # noqa: FBT001 - pickled to a new process
    keep_weights: bool = False,  # noqa: FBT001, FBT002 - as above
) -> None:
    """Runs the groups of cells that come through the connection until it closes.

    SIGTERM ends the process: a training's state is written first, leases are released.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the scheduler ends this one
    signal.signal(signal.SIGTERM, _end_at_once)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    with warnings_hidden():
        _run_groups(
            connection,
            workspace,
            device,
            number,
            num_workers,
            retry_failed=retry_failed,
            keep_weights=keep_weights,
        )


def _run_groups(
    connection: Connection,
    workspace: Workspace,
    device: str,
    number: int,
    num_workers: int,
    *,
    retry_failed: bool,
    keep_weights: bool,
) -> None:
    import torch

    import benchmark.scheduler.preloaded  # noqa: F401 - already there where the worker was forked
    from benchmark.locks import LeaseLostError
    from benchmark.runner.failures import DeviceLost
    from benchmark.runner.runner import Runner

    def report(event: Event) -> None:
        try:
            connection.send(event)
        except OSError:  # the scheduler is gone: no failure of the cell, which is to be continued
            signal.raise_signal(signal.SIGTERM)

    num_gpus = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    chosen = torch.device(f"cuda:{number % num_gpus}" if num_gpus else "cpu" if device == "auto" else device)
    cores = usable_cores()
    torch.set_num_threads(THREADS)
    threads = min(8, max(1, cores.count // num_workers)) if chosen.type == "cuda" else 1
    runner = Runner(workspace=workspace, device=chosen, threads=threads, watch=report, keep_weights=keep_weights)
    report({"event": EventKind.READY, "num_gpus": num_gpus, "device": str(chosen), "cores": str(cores)})
    while True:
        try:
            cells = [Cell.model_validate_json(text) for text in connection.recv()]
        except (EOFError, OSError):
            return
        report({"event": EventKind.STARTED, "key": cells[0].key, "together": len(cells)})
        unreported = {cell.key for cell in cells}
        signal.signal(signal.SIGTERM, _terminate)
        try:
            for cell, record in runner.run_together(cells, retry_failed=retry_failed):
                unreported.discard(cell.key)
                if record is None:
                    report({"event": EventKind.ELSEWHERE, "key": cell.key})
                    continue
                kind = EventKind.DONE if record.status == "done" else EventKind.FAILED
                report({"event": kind, "key": cell.key, "reason": record.error, "scores": record.scores})
        except LeaseLostError:
            for key in unreported:
                report({"event": EventKind.ELSEWHERE, "key": key})
        except Exception as error:  # noqa: BLE001 - no record was written: the cells stay pending
            for key in unreported:
                report({"event": EventKind.PENDING, "key": key, "reason": str(error) or type(error).__name__})
            if isinstance(error, DeviceLost):
                return  # a new process may use the device again
        signal.signal(signal.SIGTERM, _end_at_once)


def _end_at_once(_number: int, _frame: FrameType | None) -> NoReturn:
    """Ends a process that imports or waits: there is no state to write. An exception would be lost where Python calls this
    inside of a weak reference's callback, as imports have them.
    """
    os._exit(TERMINATED)


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(TERMINATED)


def _end_with_parent(parent: int) -> None:
    """Ends this process when its parent is gone: an orphan would hold leases, and train for nobody."""
    while os.getppid() == parent:
        time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ORPHAN_SECONDS)
    os._exit(1)
