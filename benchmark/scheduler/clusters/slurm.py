"""SLURM: an array of workers, as many at a time as wanted, in rounds.

No signal is needed: a worker that reaches its time limit or is pre-empted leaves the state of its training, and a later task of
the array, or any other worker, continues it. Tasks that find nothing to do end in seconds.
"""

import shlex
import subprocess
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from benchmark.errors import BenchmarkError
from benchmark.scheduler.clusters.interface import Cluster, ClusterSettings, Job, Line, export_lines

_OURS = ("array", "output", "open-mode", "parsable", "wrap")


class SlurmSettings(ClusterSettings):
    """`rounds`: how often each worker's place in the array is filled again, for workers that reach a time limit; `sbatch`:
    options of sbatch by their long names, such as `partition: gpu`; true stands for an option without a value.
    """

    kind: Literal["slurm"] = "slurm"
    rounds: Annotated[int, Field(ge=1, le=1_000)] = 1
    sbatch: dict[Line, Line | int | bool] = {}

    @field_validator("sbatch")
    @classmethod
    def _check_options(cls, options: dict[str, str | int | bool]) -> dict[str, str | int | bool]:
        for name in options:
            if name in _OURS or not name.replace("-", "").isalnum() or name.startswith("-"):
                raise ValueError(f"{name!r}: wanted a long option of sbatch, other than {', '.join(_OURS)}")
        return options


def render(settings: SlurmSettings, job: Job) -> str:
    """Returns the batch script."""
    logs = job.folder / "logs"
    if "\n" in str(logs) or "%" in str(logs):
        raise BenchmarkError(f"{logs}: SLURM takes no folder with % or a line break in its name for logs")
    options: dict[str, str | int | bool] = {
        "job-name": f"benchmark-{job.name}",
        "requeue": True,
        **settings.sbatch,
        "array": f"0-{settings.rounds * settings.workers - 1}%{settings.workers}",
        "open-mode": "append",
        "output": shlex.quote(str(logs / "%A_%a.txt")),
    }
    lines = ["#!/bin/bash"]
    lines += [
        f"#SBATCH --{name}" if value is True else f"#SBATCH --{name}={value}"
        for name, value in options.items()
        if value is not False
    ]
    lines += ["", *settings.setup, *export_lines(settings, job)]
    lines.append(
        f'export BENCHMARK_LOG={shlex.quote(str(logs))}/"${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}.txt"'
    )
    lines.append(f"exec {job.shell_command}")
    return "\n".join(lines) + "\n"


def submit(_settings: SlurmSettings, _job: Job, script: Path) -> str:
    """Hands the script to sbatch. Raises BenchmarkError where that is not here, or refuses it."""
    try:
        ended = subprocess.run(["sbatch", "--parsable", str(script)], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise BenchmarkError("sbatch is not here: wanted a machine of the cluster, or --dry-run") from error
    if ended.returncode:
        raise BenchmarkError(f"sbatch refused {script}: {' '.join(ended.stderr.split())}")
    number = ended.stdout.strip().partition(";")[0]
    return f"job {number}; squeue --job {number} shows its tasks, scancel {number} ends it"


SLURM = Cluster(
    settings=SlurmSettings,
    suffix=".sh",
    render=render,
    how=lambda _, script: f"sbatch {shlex.quote(str(script))}",
    submit=submit,
)
