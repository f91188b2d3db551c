"""Cells on this machine: worker processes, one GPU each or several on one, or threads of the CPU divided among them.

A worker that dies (killed, out of memory) takes no other with it. Its cells are tried again, continuing from their last state;
a death is forgotten when one of them went further than ever before. Cells that are trained together are taken apart in halves
when their workers die twice without that, so that one bad cell does not fail the others; a single cell is then recorded as
failed. What the machine is to blame for (a full disk, a lost device) leaves cells pending. An interruption ends the workers and
leaves every cell resumable.

Several such schedulers may work in one results folder, on one machine or on many: none waits for a cell that another process
works on while there are others to take.
"""

import datetime as dt
import hashlib
import math
import multiprocessing
import os
import signal
import socket
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from benchmark.cell import Cell
from benchmark.errors import BenchmarkError
from benchmark.events import ENDINGS, Event, EventKind, Watch
from benchmark.results.claims import ClaimedElsewhere
from benchmark.results.record import RunRecord
from benchmark.results.store import Store
from benchmark.scheduler.contended import ContendedCells
from benchmark.scheduler.worker import work
from benchmark.workspace import Workspace

MAX_DEATHS = 2
# from SIGTERM to SIGKILL: a training writes its state between two steps, so that a slow step must end first
TERMINATION_SECONDS = 30.0


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    group: list[Cell] = field(default_factory=list)  # what is left of it
    contended: list[Cell] = field(default_factory=list)  # of the group, what other processes work on
    is_ready: bool = False


@dataclass(kw_only=True)
class LocalScheduler:
    """Runs cells in worker processes.

    `workers`: their number, 0 for one per GPU (one on a CPU). `device`: auto, cpu, cuda, or cuda:N. `wait`: stay until the
    cells of other processes are done, too. `keep_weights`: store the weights of trained models. `tell` is called with each
    event (`benchmark.events`).
    """

    workspace: Workspace
    workers: int = 0
    device: str = "auto"
    retry_failed: bool = False
    wait: bool = True
    keep_weights: bool = False
    tell: Watch = lambda _: None
    _pending: deque[list[Cell]] = field(default_factory=deque)
    _crew: list[_Worker] = field(default_factory=list)
    _deaths: Counter[str] = field(default_factory=Counter)  # of the workers of a cell, since it last went further
    _furthest: dict[tuple[Any, ...], float] = field(default_factory=dict)  # by cell and stage of its work
    _tally: Counter[str] = field(default_factory=Counter)
    _has_told_workers: bool = False

    @cached_property
    def _store(self) -> Store:
        return Store(self.workspace.results)

    @cached_property
    def _contended(self) -> ContendedCells:
        return ContendedCells(self._store)

    def run(self, group_cells: list[list[Cell]]) -> Counter[str]:
        """Runs cells to the last, those of a group together (`benchmark.experiment.groups`), and returns how many are `done`
        and `failed`, how many are `pending` for a fault of the machine, and, unless it waits for them, how many living
        processes work on `elsewhere`.

        KeyboardInterrupt passes through, workers ended.
        """
        first = 0 if self.wait else _place_of_this_process(len(group_cells))
        self._pending.extend(group_cells[first:] + group_cells[:first])
        try:
            self._hire(max(1, self.workers))
            while self._pending or len(self._contended) or any(worker.group for worker in self._crew):
                self._take_contended()
                self._assign()
                self._listen()
                is_idle = not self._pending and not any(worker.group for worker in self._crew)
                if is_idle and len(self._contended) and not self.wait and self._contended.are_all_alive:
                    self._tally[EventKind.ELSEWHERE.value] = len(self._contended)
                    break
        finally:
            self._dismiss()
        return self._tally

    def _hire(self, count: int) -> None:
        context = _context()
        for _ in range(count):
            ours, theirs = context.Pipe()
            settings = (self.workspace, self.device, len(self._crew), max(1, self.workers))
            process = context.Process(
                target=work, args=(theirs, *settings, self.retry_failed, self.keep_weights), daemon=True
            )
            process.start()
            theirs.close()
            self._crew.append(_Worker(process, ours))

    def _take_contended(self) -> None:
        free, lines = self._contended.take_free()
        self._pending.extend(free)
        for cell, text in lines:
            self.tell({"event": EventKind.NOTE, "key": cell.key, "text": text})

    def _assign(self) -> None:
        for worker in self._crew:
            if worker.is_ready and not worker.group and self._pending:
                worker.group = self._pending.popleft()
                with suppress(OSError):  # it just died: noticed below
                    worker.connection.send([cell.model_dump_json() for cell in worker.group])

    def _listen(self) -> None:
        ready = wait([worker.connection for worker in self._crew], timeout=0.5)
        for worker in [worker for worker in self._crew if worker.connection in ready]:
            try:
                self._take_event(worker, worker.connection.recv())
            except (EOFError, OSError):
                self._replace(worker)

    def _take_event(self, worker: _Worker, event: Event) -> None:
        kind = EventKind(event["event"])
        if kind is EventKind.READY:
            self._take_ready(worker, event)
            return
        ended = [cell for cell in worker.group if cell.key == event.get("key")]
        if kind is EventKind.ELSEWHERE:
            worker.contended += ended
        elif kind in ENDINGS:
            self._tally[kind.value] += 1
        elif (stage := _stage_of(event)) is not None and stage[1] > self._furthest.get(stage[0], -math.inf):
            self._furthest[stage[0]] = stage[1]
            for cell in worker.group:
                del self._deaths[cell.key]
        if kind in ENDINGS:
            worker.group = [cell for cell in worker.group if cell not in ended]
            if not worker.group:
                self._release_contended(worker)
        self.tell(event)

    def _take_ready(self, worker: _Worker, event: Event) -> None:
        worker.is_ready = True
        if not self.workers:  # now it is known how many GPUs there are
            self.workers = max(1, event["num_gpus"])
            self._hire(self.workers - 1)
        if not self._has_told_workers:
            self._has_told_workers = True
            facts = {"count": self.workers, "device": event["device"], "cores": event["cores"]}
            self.tell({"event": EventKind.WORKERS, **facts})

    def _release_contended(self, worker: _Worker) -> None:
        if worker.contended:
            self._contended.add(worker.contended)
            worker.contended = []

    def _replace(self, worker: _Worker) -> None:
        """Hires another worker for one that died, and tries its cells again."""
        worker.process.join()
        self._crew.remove(worker)
        code = worker.process.exitcode or 0
        ending = f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"
        hint = (
            ": the system's memory ran out, most likely; fewer --workers need less" if code == -signal.SIGKILL else ""
        )
        if not worker.group and not worker.is_ready:
            raise RuntimeError(f"a worker ended at its start with {ending}")
        self._release_contended(worker)
        if worker.group:
            self._deaths.update(cell.key for cell in worker.group)
            self._try_again(worker.group, f"its worker ended with {ending}", hint)
        self._hire(1)

    def _try_again(self, group: list[Cell], reason: str, hint: str) -> None:
        """Queues the cells of a worker that died: together, in halves, or not any more."""
        if max(self._deaths[cell.key] for cell in group) < MAX_DEATHS:
            self._pending.appendleft(group)
        elif len(group) > 1:
            halves = [group[: len(group) // 2], group[len(group) // 2 :]]
            for half in halves:  # a half that dies at once is halved at once, a cell alone has its two attempts
                for cell in half:
                    self._deaths[cell.key] = MAX_DEATHS - 1 if len(half) > 1 else 0
            self._pending.extendleft(reversed(halves))
        else:
            self._give_up(group[0], f"{reason}, {MAX_DEATHS} times without getting any further{hint}")
            return
        event = {"event": EventKind.REQUEUED, "key": group[0].key, "together": len(group), "reason": reason + hint}
        self.tell(event)

    def _give_up(self, cell: Cell, reason: str) -> None:
        """Writes a record of the failure, unless another process works on the cell or has finished it."""
        finished = dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds")
        failed = RunRecord(key=cell.key, cell=cell, status="failed", finished=finished, error=reason)
        kind, scores = EventKind.FAILED, {}
        try:
            with self._store.claim(cell):
                earlier = self._store.get(cell)
                if earlier is not None and earlier.status == "done":
                    kind, scores = EventKind.DONE, earlier.scores
                else:
                    self._store.put(failed, None)
        except ClaimedElsewhere:
            self._contended.add([cell])
            return
        except (OSError, BenchmarkError) as error:
            kind, reason = EventKind.PENDING, f"{reason}; and no record could be written: {error}"
        self._tally[kind.value] += 1
        self.tell({"event": kind, "key": cell.key, "reason": reason, "scores": scores})

    def _dismiss(self) -> None:
        """Ends the workers: each has TERMINATION_SECONDS to write the state of its training."""
        for worker in self._crew:
            worker.process.terminate()
        deadline = time.monotonic() + TERMINATION_SECONDS
        for worker in self._crew:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
            worker.connection.close()


def _place_of_this_process(num_groups: int) -> int:
    """Returns where in the grid this process begins: each at another place, so that they seldom meet."""
    name = f"{socket.gethostname()}/{os.getpid()}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % max(1, num_groups)


def _stage_of(event: Event) -> tuple[tuple[Any, ...], float] | None:
    """Returns the stage of a cell's work that an event is about, and how far it went in it: the number of the epoch, or of
    the images that are still to come, negated. None where it reports no progress.
    """
    kind, key = event["event"], event.get("key")
    if kind == EventKind.EPOCH:
        return (key, kind, event.get("training")), event["epoch"]
    if kind == EventKind.CACHE:
        return (key, kind, event["total"]), event["done"] - event["total"]
    if kind == EventKind.FEATURES:
        return (key, kind, event["weights"]), event["done"] - event["total"]
    return None


def _context() -> Any:
    """Returns the way of starting processes: workers are forked from a server that has imported all they need and has run
    none of it, since a fork of this process could use neither CUDA nor torch's threads.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmark.scheduler.preloaded"])
    return context
