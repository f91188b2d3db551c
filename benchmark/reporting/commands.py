"""The commands that make the frame's cells again."""

import shlex
from collections.abc import Mapping

import pandas as pd

from benchmark.experiment.suite import own_recipe
from benchmark.reporting.frame import changes_of
from benchmark.results.record import RunRecord
from benchmark.tasks.spec import TaskSpec


def commands_of(frame: pd.DataFrame, records: Mapping[str, RunRecord], tasks: Mapping[str, TaskSpec]) -> list[str]:
    """Returns one `benchmark run` for cells that differ only in task, model and seed."""
    requests: dict[tuple[str, ...], tuple[set[str], set[int]]] = {}
    for key, overlap in zip(frame["key"], frame["overlap"], strict=True):
        cell = records[key].cell
        own = own_recipe(tasks.get(cell.task), cell.protocol)
        search = cell.search or {}
        options = [
            f"--set {shlex.quote(str(change))}" for change in changes_of(cell.recipe, own) if change.name not in search
        ]
        options += [
            f"--search {shlex.quote(f'{name}=' + ','.join(map(str, values)))}" for name, values in search.items()
        ]
        options += [f"--fraction {cell.fraction:g}"] if cell.fraction < 1 else []
        options += [f"--subset {cell.subset}"] if cell.subset is not None else []
        options += [f"--folds {cell.folds or 5}"] if cell.fold is not None else []
        options += [f"--protocol {cell.protocol}"] if cell.protocol != "finetune" else []
        options += ["--allow-overlap"] if overlap else []
        models, seeds = requests.setdefault((cell.task, cell.data, *options), (set(), set()))
        models.add(cell.model)
        seeds.add(cell.seed)
    joined: dict[tuple[str, ...], list[str]] = {}
    for (task, data, *options), (models, seeds) in requests.items():
        joined.setdefault((data, shlex.quote(",".join(sorted(models))), _seeds_text(seeds), *options), []).append(task)
    return [
        " ".join(["benchmark run --tasks", ",".join(names), "--models", model_names, "--seeds", seeds_text, *options])
        + ("  # on phantoms: benchmark data phantom writes them" if data == "phantom" else "")
        for (data, model_names, seeds_text, *options), names in joined.items()
    ]


def _seeds_text(seeds: set[int]) -> str:
    """Returns seeds as `--seeds` takes them: `0-9`, `3,7`, `3,`."""
    first, last = min(seeds), max(seeds)
    if len(seeds) == 1:
        return f"{first},"
    return f"{first}-{last}" if len(seeds) == last - first + 1 else ",".join(map(str, sorted(seeds)))
