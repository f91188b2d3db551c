"""When the clock of a measurement runs: over served batches, after a warm-up, together in all processes."""

import itertools
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from throughput import Plan


class Clock:
    """Serves batches and times those after the first `warm_up`: from the request of the first of them to the request
    that follows the last, so that all of their work lies between. Stops once `images` are timed, though the source goes
    on: what it renders ahead meanwhile is part of the steady state.
    """

    def __init__(self, *, warm_up: int, images: int, device: torch.device, gate: Callable[[], None]) -> None:
        self.warm_up, self.images, self.device, self.gate = warm_up, images, device, gate
        self.served = self.timed = 0
        self.seconds = self.waited = self.peak_gb = 0.0
        self.worked = self.faults = 0.0  # at the start, then since: this process's CPU seconds and page faults

    def over(self, batches: Any, count: Callable[[Any], int] = len) -> Iterator[Any]:
        """The batches, clocked; `count` tells how many images one has."""
        source, started = iter(batches), 0.0
        for number in itertools.count():
            if number == self.warm_up:
                self._settle()
                self.gate()
                started, self.worked, self.faults = time.perf_counter(), time.process_time(), _page_faults()
            if self.timed >= self.images:
                break
            asked = time.perf_counter()
            batch = next(source)  # never the source's last: it holds more than the plan asks for
            if number >= self.warm_up:
                self.waited += time.perf_counter() - asked
                self.timed += count(batch)
            self.served += count(batch)
            yield batch
        self._settle()
        self.seconds = time.perf_counter() - started
        self.worked, self.faults = time.process_time() - self.worked, _page_faults() - self.faults
        self.peak_gb = self._memory()

    def told(self) -> dict[str, float]:
        """The measurement."""
        return {
            "images": self.timed,
            "seconds": self.seconds,
            "images_per_second": self.timed / self.seconds,
            "wait_share": self.waited / self.seconds,
            "peak_gb": self.peak_gb,
            "cpu_seconds_per_image": self.worked / self.timed,
            "page_faults_per_image": self.faults / self.timed,
        }

    def _settle(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _memory(self) -> float:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 1e9
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def _page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def wait_for_go() -> None:
    """Tell that the warm-up is over, and wait until the other processes are as far."""
    print(json.dumps({"ready": True}), flush=True)
    sys.stdin.readline()


def best_workers(
    plan: "Plan", measured: Callable[[int, int, int, Callable[[], None]], dict[str, float]]
) -> dict[int, float]:
    """Images per second of each number of workers that might be the plain pipeline's best, by a short trial. `measured`
    takes the number of workers, batches before the clock starts, images to time, and what to call in between.
    """
    measured(0, 0, plan.step, lambda: None)  # its first step is slower than all later ones
    tried = {}
    for workers in (0, 1, 2, 4) if plan.device == "cpu" else (4, 8, 16):
        # on a GPU the queue, two batches a worker, must have emptied before the clock starts
        warm_up = 1 if plan.device == "cpu" else 2 * workers + 1
        images = plan.step if plan.device == "cpu" else plan.images // 2
        tried[workers] = measured(workers, warm_up, images, lambda: None)["images_per_second"]
    return tried
