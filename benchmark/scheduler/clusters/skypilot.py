"""SkyPilot: a task that any number of managed jobs execute, on whatever cloud or cluster has the resources."""

import shlex
from pathlib import Path
from typing import Any, Literal

import yaml

from benchmark.scheduler.clusters.interface import Cluster, ClusterSettings, Job, Line


class SkyPilotSettings(ClusterSettings):
    """`resources`: SkyPilot's own, such as `accelerators: A100:1`; `volumes`: path -> name of a volume that all
    workers see and that holds results, caches and data under the same paths as here. A bucket will not do: on object
    stores two workers can create the same file.
    """

    kind: Literal["skypilot"] = "skypilot"
    resources: dict[Line, Any] = {}
    volumes: dict[Line, Line] = {}


def render(settings: SkyPilotSettings, job: Job) -> str:
    """Returns the YAML file of the task."""
    task: dict[str, Any] = {"name": f"benchmark-{job.name}", "resources": {"use_spot": True, **settings.resources}}
    if settings.volumes:
        task["volumes"] = settings.volumes
    task["envs"] = {**job.environment, **settings.environment}
    task["run"] = "\n".join([*settings.setup, f"exec {job.shell_command}"])
    return yaml.safe_dump(task, sort_keys=False)


def _how(settings: SkyPilotSettings, task: Path) -> str:
    launch = f"sky jobs launch --yes --detach-run {shlex.quote(str(task))}"
    return launch if settings.workers == 1 else f"for n in $(seq {settings.workers}); do {launch}; done"


SKYPILOT = Cluster(settings=SkyPilotSettings, suffix=".yaml", render=render, how=_how)
