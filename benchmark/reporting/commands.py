"""The commands that make the frame's cells and the report again: encoders that were made or added here, runs, report."""

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from benchmark.contrastive_recipe import ContrastiveRecipe
from benchmark.experiment.suite import own_recipe
from benchmark.reporting.data import ReportData
from benchmark.reporting.frame import changes_of
from benchmark.results.record import RunRecord
from benchmark.tasks.spec import TaskSpec
from benchmark.zoo.catalog import ZooEntry


def all_commands(data: ReportData, rows: pd.DataFrame) -> list[str]:
    """Returns the versions that most runs had, as a comment, and every command: those that make or add the encoders, the
    runs, the report with its baseline and test. `rows`: of `summary`.
    """
    environments = Counter(
        ", ".join(f"{name} {record.environment[name]}" for name in VERSIONS if name in record.environment)
        for record in data.frame_records
    )
    versions = environments.most_common(1)[0][0] if environments else ""
    members = dict.fromkeys(name for names in data.frame["members"] for name in names)
    runs = commands_of(data.frame, data.records, data.tasks)
    return [
        *([f"# {versions}"] if versions else []),
        *_encoder_commands(members, data.entries, data.tasks),
        *runs,
        _report_command(data, rows),
    ]


VERSIONS = ("benchmark", "python", "torch", "timm")


def _report_command(data: ReportData, rows: pd.DataFrame) -> str:
    words = ["benchmark", "report", "--tasks", ",".join(dict.fromkeys(data.frame["task"]))]
    words += ["--baseline", data.baseline, "--test", rows["test"].iloc[0]]
    if "test_low" in rows and rows["test_low"].notna().any():
        words += ["--bootstrap", rows["replicates_by"].dropna().iloc[0]]
    return shlex.join(words)


def _encoder_commands(
    names: Iterable[str], entries: Mapping[str, ZooEntry], tasks: Mapping[str, TaskSpec]
) -> list[str]:
    """Returns the commands that make or add these entries, each after those of the entries that it was made from."""
    commands: dict[str, str] = {}
    for name in names:
        line = [name]
        while line[-1] in entries and (made_by := entries[line[-1]].made_by) and made_by["from"] not in line:
            line.append(made_by["from"])
        for ancestor in reversed(line):
            entry = entries.get(ancestor)
            if entry is not None and entry.made_by:
                commands[ancestor] = _pretrain_command(entry, entry.made_by, tasks)
            elif entry is not None and entry.source.startswith("file:"):
                commands[ancestor] = _add_command(entry)
    return list(commands.values())


def _pretrain_command(entry: ZooEntry, made_by: Mapping[str, Any], tasks: Mapping[str, TaskSpec]) -> str:
    method = made_by.get("method", "supervised")
    supervised = method == "supervised"
    own = own_recipe(tasks.get(made_by["task"]), "finetune") if supervised else ContrastiveRecipe.complete(method)
    recipe = type(own).model_validate(made_by["recipe"])
    words = ["benchmark", "pretrain", method, "--from", made_by["from"]]
    words += [word for name in ("task", "images", "bags") if name in made_by for word in (f"--{name}", made_by[name])]
    words += ["--name", entry.name, "--seed", str(made_by["seed"])]
    for name in type(recipe).model_fields:
        if getattr(recipe, name) != getattr(own, name):
            words += ["--set", f"{name}={_setting(getattr(recipe, name))}"]
    return shlex.join(words)


def _setting(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _add_command(entry: ZooEntry) -> str:
    """Returns the `zoo add` of a user's own file, whose sha256 the comment names."""
    words = ["benchmark", "zoo", "add", entry.source.removeprefix("file:"), "--name", entry.name, "--yes"]
    facts = {
        name: getattr(entry, name) for name in ("architecture", "naming", "container", "member", "title", "family")
    }
    facts |= {"license": entry.licence, "cite": entry.cite}
    words += [word for name, value in facts.items() if value for word in (f"--{name}", value)]
    for name in ("mean", "std"):
        words += [f"--{name}", *map(str, getattr(entry.input, name))]
    words += [word for data_set in entry.pretrained_on for word in ("--pretrained-on", data_set)]
    return shlex.join(words) + f"  # sha256 {entry.sha256}"


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
