"""The kinds of clusters, and the reading of `--on`."""

from pathlib import Path

from pydantic import ValidationError

from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.files import from_yaml
from benchmark.scheduler.clusters.interface import Cluster, ClusterSettings
from benchmark.scheduler.clusters.kubernetes import KUBERNETES
from benchmark.scheduler.clusters.ray import RAY
from benchmark.scheduler.clusters.skypilot import SKYPILOT
from benchmark.scheduler.clusters.slurm import SLURM
from benchmark.strict import explain

CLUSTERS: dict[str, Cluster] = {"slurm": SLURM, "ray": RAY, "kubernetes": KUBERNETES, "skypilot": SKYPILOT}


def read_cluster(on: str) -> tuple[Cluster, ClusterSettings]:
    """Returns the cluster that `--on` names, a kind or a YAML file with its `kind`, and its settings. Raises BenchmarkError
    for an unknown kind and for settings that it does not have.
    """
    path = Path(on)
    if path.suffix not in (".yaml", ".yml"):
        content: object = {"kind": on}
    elif path.is_file():
        content = from_yaml(path)
    else:
        raise BenchmarkError(f"--on {on}: there is no such file")
    if not isinstance(content, dict):
        raise BenchmarkError(f"{path}: wanted keys and values, `kind` among them")
    kind = str(content.get("kind", ""))
    if kind not in CLUSTERS:
        raise BenchmarkError(f"--on {on}: kind {kind!r}: {did_you_mean(kind, CLUSTERS)}; or a YAML file with its kind")
    cluster = CLUSTERS[kind]
    try:
        return cluster, cluster.settings.model_validate(content)
    except ValidationError as error:
        raise BenchmarkError(f"--on {on}: {explain(error, cluster.settings)}") from error
