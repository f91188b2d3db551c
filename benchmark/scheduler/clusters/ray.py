"""Ray: one long task for each worker, which executes the command; a task whose node dies is started elsewhere.

Ray's own scaling of a cluster, and KubeRay, work without a line of ours. The cluster is the one of RAY_ADDRESS, or Ray on this
machine.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from benchmark.errors import BenchmarkError
from benchmark.scheduler.clusters.interface import Cluster, ClusterSettings, Job, export_lines

_PR_SET_PDEATHSIG = 1  # of Linux, sys/prctl.h


class RaySettings(ClusterSettings):
    """`gpus` and `cpus` of each worker; a fraction of a GPU lets several workers share one."""

    kind: Literal["ray"] = "ray"
    gpus: Annotated[float, Field(ge=0)] = 1.0
    cpus: Annotated[float, Field(ge=0)] = 1.0


def render(settings: RaySettings, job: Job) -> str:
    """Returns the script that each task executes."""
    return "\n".join(["#!/bin/bash", *settings.setup, *export_lines(settings, job), f"exec {job.shell_command}"]) + "\n"


def submit(settings: RaySettings, job: Job, script: Path) -> str:
    """Starts the tasks and waits for their ends. Raises BenchmarkError where Ray is not installed, or a worker fails."""
    try:
        import ray
    except ImportError as error:
        raise BenchmarkError("--on ray: the package `ray` is not installed in this environment") from error
    address = os.environ.get("RAY_ADDRESS")
    ray.init(address=address, include_dashboard=False if address is None else None, log_to_driver=False)
    try:
        task: Any = ray.remote(num_gpus=settings.gpus, num_cpus=settings.cpus, max_retries=-1)(_execute)
        logs = [str(job.folder / "logs" / f"ray-{number}.txt") for number in range(settings.workers)]
        codes = ray.get([task.remote(str(script), log) for log in logs])
    finally:
        ray.shutdown()
    if any(code not in (0, 1) for code in codes):  # 1: some cells failed, which their records tell
        bad = next(log for log, code in zip(logs, codes, strict=True) if code not in (0, 1))
        raise BenchmarkError(f"a worker ended with exit code {max(codes)}: see {bad}")
    return f"{settings.workers} workers ended"


def _execute(script: str, log: str) -> int:
    """Runs the script on the node that Ray chose; raises where a signal ended it, so that Ray starts it again."""
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    with Path(log).open("ab") as output:
        process = subprocess.Popen(
            ["/bin/bash", script],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "BENCHMARK_LOG": log},
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - one call of prctl
        )
        return process.wait()


def _end_with_parent() -> None:
    """Asks Linux for a SIGTERM when the Ray process is gone: its node is lost, and the task is started elsewhere."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


RAY = Cluster(
    settings=RaySettings,
    suffix=".sh",
    render=render,
    how=lambda _, script: f"each worker: bash {script}",
    submit=submit,
)
