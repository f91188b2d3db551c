"""Kubernetes: an indexed Job (batch/v1), one index for each worker.

A pod that the cluster evicts is replaced without counting as a failure (`podFailurePolicy`); one that fails is replaced twenty
times (`backoffLimitPerIndex`, general since Kubernetes 1.33). Results, caches and data lie on one volume that all nodes mount.
"""

import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field

from benchmark.scheduler.clusters.interface import Cluster, ClusterSettings, Job, Line

MAX_FAILURES = 20


class KubernetesSettings(ClusterSettings):
    """`image` has this package; `volume`: the name of a PersistentVolumeClaim (ReadWriteMany), mounted at `mount`, which must
    hold results, caches and data under the same paths as here; `gpus`, `cpus` and `memory` of each worker.
    """

    kind: Literal["kubernetes"] = "kubernetes"
    image: Line
    volume: Line
    mount: Line
    gpus: Annotated[int, Field(ge=0)] = 1
    cpus: Annotated[int, Field(ge=1)] = 8
    memory: Line = "32Gi"


def render(settings: KubernetesSettings, job: Job) -> str:
    """Returns the manifest of the Job."""
    variables = {**job.environment, **settings.environment}
    resources: dict[str, Any] = {"cpu": str(settings.cpus), "memory": settings.memory}
    if settings.gpus:
        resources["nvidia.com/gpu"] = str(settings.gpus)
    container = {
        "name": "worker",
        "image": settings.image,
        "command": ["/bin/bash", "-c", "\n".join([*settings.setup, f"exec {job.shell_command}"])],
        "env": [{"name": name, "value": text} for name, text in variables.items()],
        "resources": {"limits": resources},
        "volumeMounts": [
            {"name": "workspace", "mountPath": settings.mount},
            {"name": "memory", "mountPath": "/dev/shm"},  # noqa: S108 - where torch's processes share memory
        ],
    }
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 30,
        "containers": [container],
        "volumes": [
            {"name": "workspace", "persistentVolumeClaim": {"claimName": settings.volume}},
            {"name": "memory", "emptyDir": {"medium": "Memory"}},
        ],
    }
    manifest = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"benchmark-{job.name}"},
        "spec": {
            "completions": settings.workers,
            "parallelism": settings.workers,
            "completionMode": "Indexed",
            "backoffLimitPerIndex": MAX_FAILURES,
            "podFailurePolicy": {
                "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
            },
            "template": {"spec": pod},
        },
    }
    return yaml.safe_dump(manifest, sort_keys=False)


def _how(_settings: KubernetesSettings, manifest: Path) -> str:
    return f"kubectl apply --filename {shlex.quote(str(manifest))}"


KUBERNETES = Cluster(settings=KubernetesSettings, suffix=".yaml", render=render, how=_how)
