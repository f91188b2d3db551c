"""Cells on this machine: worker processes, one GPU each or several on one, or threads of the CPU shared out.

A worker that dies (killed, out of memory) takes no other with it. Its cells are tried again, continuing from their last epoch;
a death is forgotten when one of them went further than ever before. Cells that are trained together are taken apart in halves
when their workers die twice without that, so that one bad cell does not fail the others; a single cell is then recorded as
failed. What the machine is to blame for (a full disk, a lost device) leaves cells pending. An interruption ends the workers and
leaves every cell resumable.
"""

import datetime as dt
import math
import multiprocessing
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from benchmark.cell import THREADS, Cell
from benchmark.errors import BenchmarkError
from benchmark.locks import HELD
from benchmark.logs import warnings_hidden
from benchmark.results.record import RunRecord
from benchmark.results.store import Store
from benchmark.workspace import Workspace

Event = dict[str, Any]
MAX_DEATHS = 2
ELSEWHERE_SECONDS = 2.0  # between two looks at a cell that another process works on
LOOKS_TOLD = 10  # after so many it is said what is waited for


@dataclass
class _Worker:
    process: BaseProcess
    link: Connection
    bundle: list[Cell] = field(default_factory=list)  # what is left of it
    ready: bool = False


@dataclass(kw_only=True)
class LocalScheduler:
    """`workers`: processes, 0 for one per GPU (one on a CPU). `device`: auto, cpu, cuda, or cuda:N."""

    workspace: Workspace
    workers: int = 0
    device: str = "auto"
    retry_failed: bool = False
    tell: Callable[[Event], None] = lambda _: None
    _pending: deque[list[Cell]] = field(default_factory=deque)
    _elsewhere: list[tuple[float, Cell]] = field(default_factory=list)
    _crew: list[_Worker] = field(default_factory=list)
    _deaths: Counter[str] = field(default_factory=Counter)  # of the workers of a cell, since it last went further
    _furthest: dict[tuple[Any, ...], float] = field(default_factory=dict)  # by cell and stage of its work
    _looks: Counter[str] = field(default_factory=Counter)  # at cells that other processes work on
    _tally: Counter[str] = field(default_factory=Counter)
    _told: bool = False

    def run(self, group_cells: list[list[Cell]]) -> Counter[str]:
        """Runs cells to the last, those of a group together (`benchmark.experiment.groups`), and returns how many are `done`
        and `failed`, and how many are `pending` for a fault of the machine.

        KeyboardInterrupt passes through, workers ended.
        """
        self._pending.extend(group_cells)
        try:
            self._hire(max(1, self.workers))
            while self._pending or self._elsewhere or any(worker.bundle for worker in self._crew):
                self._assign()
                self._listen()
        finally:
            self._dismiss()
        return self._tally

    def _hire(self, count: int) -> None:
        context = _context()
        for _ in range(count):
            ours, theirs = context.Pipe()
            settings = (self.workspace, self.device, len(self._crew), max(1, self.workers), self.retry_failed)
            process = context.Process(target=work, args=(theirs, *settings), daemon=True)
            process.start()
            theirs.close()
            self._crew.append(_Worker(process, ours))

    def _assign(self) -> None:
        now = time.monotonic()
        due = [[cell] for when, cell in self._elsewhere if when <= now]
        self._elsewhere = [(when, cell) for when, cell in self._elsewhere if when > now]
        self._pending.extend(due)
        for worker in self._crew:
            if worker.ready and not worker.bundle and self._pending:
                worker.bundle = self._pending.popleft()
                with suppress(OSError):  # it just died: noticed below
                    worker.link.send([cell.model_dump_json() for cell in worker.bundle])

    def _listen(self) -> None:
        ready = wait([worker.link for worker in self._crew], timeout=0.5)
        for worker in [w for w in self._crew if w.link in ready]:
            try:
                self._heard(worker, worker.link.recv())
            except (EOFError, OSError):
                self._died(worker)

    def _heard(self, worker: _Worker, event: Event) -> None:
        kind = event["event"]
        if kind == "ready":
            worker.ready = True
            if not self.workers:  # now it is known how many GPUs there are
                self.workers = max(1, event["num_gpus"])
                self._hire(self.workers - 1)
            if not self._told:
                self._told = True
                self.tell({"event": "workers", "count": self.workers, "device": event["device"]})
            return
        ended = [cell for cell in worker.bundle if cell.key == event.get("key")]
        if kind == "elsewhere":
            for cell in ended:
                self._elsewhere.append((time.monotonic() + ELSEWHERE_SECONDS, cell))
                self._looks[cell.key] += 1
                if self._looks[cell.key] == LOOKS_TOLD:
                    lock = Store(self.workspace.results).lock(cell)
                    self.tell({"event": "note", "key": cell.key, "text": f"{cell.title}: waiting for {lock}: {HELD}"})
        elif kind in ("done", "failed", "pending"):
            self._tally[kind] += 1
        elif (stage := _stage_of(event)) is not None and stage[1] > self._furthest.get(stage[0], -math.inf):
            self._furthest[stage[0]] = stage[1]
            for cell in worker.bundle:
                del self._deaths[cell.key]
        if kind in ("done", "failed", "pending", "elsewhere"):
            worker.bundle = [cell for cell in worker.bundle if cell not in ended]
        self.tell(event)

    def _died(self, worker: _Worker) -> None:
        worker.process.join()
        self._crew.remove(worker)
        code = worker.process.exitcode or 0
        ending = f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"
        hint = (
            ": the system's memory ran out, most likely; fewer --workers need less" if code == -signal.SIGKILL else ""
        )
        if not worker.bundle and not worker.ready:
            raise RuntimeError(f"a worker ended at its start with {ending}")
        if worker.bundle:
            self._deaths.update(cell.key for cell in worker.bundle)
            self._try_again(worker.bundle, f"its worker ended with {ending}", hint)
        self._hire(1)

    def _try_again(self, bundle: list[Cell], reason: str, hint: str) -> None:
        """Cells whose worker died: together, in halves, or not any more."""
        if max(self._deaths[cell.key] for cell in bundle) < MAX_DEATHS:
            self._pending.appendleft(bundle)
        elif len(bundle) > 1:
            halves = [bundle[: len(bundle) // 2], bundle[len(bundle) // 2 :]]
            for half in halves:  # a half that dies at once is halved at once, a cell alone has its two attempts
                for cell in half:
                    self._deaths[cell.key] = MAX_DEATHS - 1 if len(half) > 1 else 0
            self._pending.extendleft(reversed(halves))
        else:
            self._give_up(bundle[0], f"{reason}, {MAX_DEATHS} times without getting any further{hint}")
            return
        self.tell({"event": "requeued", "key": bundle[0].key, "together": len(bundle), "reason": reason + hint})

    def _give_up(self, cell: Cell, reason: str) -> None:
        finished = dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds")
        failed = RunRecord(key=cell.key, cell=cell, status="failed", finished=finished, error=reason)
        kind = "failed"
        try:
            Store(self.workspace.results).put(failed, None)
        except (OSError, BenchmarkError) as error:
            kind, reason = "pending", f"{reason}; and no record could be written: {error}"
        self._tally[kind] += 1
        self.tell({"event": kind, "key": cell.key, "reason": reason})

    def _dismiss(self) -> None:
        for worker in self._crew:
            worker.link.close()
            worker.process.terminate()
        for worker in self._crew:
            worker.process.join(5)
            if worker.process.is_alive():
                worker.process.kill()


def _stage_of(event: Event) -> tuple[tuple[Any, ...], float] | None:
    """The stage of a cell's work that an event is about, and how far it went in it: the number of the epoch, or of the images
    that are still to come, negated. None where it tells no progress.
    """
    kind, key = event["event"], event.get("key")
    if kind == "epoch":
        return (key, kind, event.get("training")), event["epoch"]
    if kind in ("cache", "features"):
        return (key, kind, event["total"] if kind == "cache" else event["weights"]), event["done"] - event["total"]
    return None


def _context() -> Any:
    """Workers are forked from a server that has imported all they need and has run none of it: a fork of this process
    could use neither CUDA nor torch's threads.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmark.scheduler.preloaded"])
    return context


def work(link: Connection, workspace: Workspace, device: str, number: int, workers: int, retry_failed: bool) -> None:  # noqa: FBT001 - pickled to a new process
    """A worker's life: receive a bundle of cells, run them, tell, until the link closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends us
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()

    def tell(event: Event) -> None:
        try:
            link.send(event)
        except OSError:  # the parent is gone: this must not become the cell's failure, it is to be continued
            os._exit(1)

    hidden = warnings_hidden()
    hidden.__enter__()  # for as long as the process lives
    import torch

    import benchmark.scheduler.preloaded  # noqa: F401 - already there where the worker was forked
    from benchmark.runner.failures import DeviceLost
    from benchmark.runner.runner import Runner

    num_gpus = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    chosen = torch.device(f"cuda:{number % num_gpus}" if num_gpus else "cpu" if device == "auto" else device)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = max(1, cores // workers)
    torch.set_num_threads(THREADS)
    threads = min(8, share) if chosen.type == "cuda" else 1
    runner = Runner(workspace=workspace, device=chosen, threads=threads, watch=tell)
    tell({"event": "ready", "num_gpus": num_gpus, "device": str(chosen)})
    while True:
        try:
            cells = [Cell.model_validate_json(told) for told in link.recv()]
        except EOFError:
            return
        tell({"event": "started", "key": cells[0].key, "together": len(cells)})
        left = {cell.key for cell in cells}
        try:
            for cell, record in runner.run_together(cells, retry_failed=retry_failed):
                left.discard(cell.key)
                if record is None:
                    tell({"event": "elsewhere", "key": cell.key})
                    continue
                told = {"status": record.status, "reason": record.error, "scores": record.scores}
                tell({"event": told.pop("status"), "key": cell.key, **told})
        except Exception as error:  # noqa: BLE001 - no record was written: the cells stay pending
            for key in left:
                tell({"event": "pending", "key": key, "reason": str(error) or type(error).__name__})
            if isinstance(error, DeviceLost):
                return  # a new process may use the device again


def _end_with_parent(parent: int) -> None:
    """An orphan would hold its cell's lock, and train for nobody."""
    while os.getppid() == parent:
        time.sleep(0.3)
    os._exit(1)
