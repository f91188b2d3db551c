"""`run --on`: what a cluster needs before its workers start, the script that starts them, and its submission."""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.api.progress import Progress
from benchmark.files import digest_of, write_atomically
from benchmark.workspace import Workspace

if TYPE_CHECKING:
    from benchmark.experiment.preparation import PreparedGrid
    from benchmark.experiment.request import RunRequest

JOBS = "jobs"  # the folder of scripts and logs, beside the results


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A rendered job. `path`: its script or manifest; `how`: the command that starts it; `started`: a line about the job,
    empty where the user starts it.
    """

    path: Path
    text: str
    how: str
    started: str = ""


def submit(
    on: str,
    request: "RunRequest",
    options: Mapping[str, Any],
    *,
    allow_overlap: bool = False,
    offline: bool = False,
    dry_run: bool = False,
    progress: Progress,
) -> Submission:
    """Renders the job of a run beside its results, fetches weights and builds pixel caches, and submits the job.

    `on` is a kind of cluster or a YAML file; `options` are those of `benchmark run` that each worker is started with, by
    their names. With `dry_run` nothing is written, fetched or started. Raises BenchmarkError for a wrong request or file.
    """
    from benchmark.experiment.preparation import bring_weights, prepare_grid
    from benchmark.scheduler.clusters.interface import Job
    from benchmark.scheduler.clusters.registry import read_cluster

    cluster, settings = read_cluster(on)
    workspace = request.workspace
    name = _job_name(options)
    folder = workspace.results / JOBS
    command = [sys.executable, "-m", "benchmark", "run", *_arguments(options)]
    command += ["--workers", str(settings.processes), "--offline", "--no-wait"]
    job = Job(name=name, command=command, folder=folder, environment=_environment(workspace))
    path = folder / f"{name}{cluster.suffix}"
    rendered = Submission(path=path, text=cluster.render(settings, job), how=cluster.how(settings, path))
    if dry_run:
        return rendered
    prepared = prepare_grid(request.grid(), allow_overlap=allow_overlap)
    bring_weights(prepared.grid.without(prepared.overlapping), offline=offline, bar=progress.download)
    _build_caches(prepared, progress)
    write_atomically(path, rendered.text)
    (folder / "logs").mkdir(exist_ok=True)
    if cluster.submit is None:
        return rendered
    return Submission(path=path, text=rendered.text, how=rendered.how, started=cluster.submit(settings, job, path))


def _job_name(options: Mapping[str, Any]) -> str:
    suite = Path(str(options.get("suite") or "grid")).stem.lower()
    return f"{re.sub(r'[^a-z0-9]+', '-', suite).strip('-')}-{digest_of(_arguments(options))[:8]}"


def _arguments(options: Mapping[str, Any]) -> list[str]:
    """Returns options as the command line takes them."""
    arguments: list[str] = []
    for name, value in options.items():
        option = "--" + {"settings": "set"}.get(name, name).replace("_", "-")
        if value is True:
            arguments.append(option)
        elif value is not None and value is not False:
            for one in value if isinstance(value, list) else [value]:
                arguments += [option, str(one)]
    return arguments


def _environment(workspace: Workspace) -> dict[str, str]:
    """Returns the variables that lead a worker to this workspace, whatever its own environment is."""
    folders = {
        "PROJECT": workspace.project,
        "RESULTS": workspace.results,
        "HOME": workspace.home,
        "DATA": workspace.data,
    }
    return {f"BENCHMARK_{name}": str(folder) for name, folder in folders.items() if folder is not None}


def _build_caches(prepared: "PreparedGrid", progress: Progress) -> None:
    """Decodes the images of a grid once, so that no GPU waits for it."""
    from benchmark.torch_setup import prepare_for_torch

    prepare_for_torch()
    import torch

    from benchmark.cores import usable_cores
    from benchmark.data.assignment import TrainingShare
    from benchmark.data.datasets import open_splits
    from benchmark.data.evaluation_images import open_evaluation_images
    from benchmark.protocols.registry import find_protocol

    cores = usable_cores()
    progress.say(f"images are decoded by {cores}")
    opened = set()
    for cell in prepared.cells_to_run():
        task, index = prepared.tasks[cell.task], prepared.indexes[cell.task]
        uses_features = find_protocol(cell.protocol).uses_features(task.kind)
        variant = (cell.task, cell.recipe, cell.fold is not None, uses_features)
        if variant in opened:
            continue
        opened.add(variant)
        facts: dict[str, Any] = {
            "index": index,
            "task": task,
            "recipe": cell.recipe,
            "workspace": prepared.grid.workspace,
            "device": torch.device("cpu"),
            "threads": cores.count,
            "progress": lambda _done, _total: None,
            "notify": progress.say,
        }
        if uses_features:
            open_evaluation_images(**facts)
        else:
            open_splits(**facts, share=TrainingShare.of_cell(cell), seed=cell.seed)
