"""Checks a suite's file before anything is run, and writes the JSON schema by which editors complete and check one."""

from collections.abc import Iterable, Mapping
from typing import Any

from benchmark.contrastive_recipe import ContrastiveRecipe
from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.experiment.grid import ResolvedGrid, name_of
from benchmark.experiment.request import RunRequest
from benchmark.experiment.suite import Override, Pretraining, Suite, promised_entries
from benchmark.protocols.registry import PROTOCOLS
from benchmark.recipe import Recipe
from benchmark.tasks.registry import known_tasks
from benchmark.workspace import Workspace
from benchmark.zoo.catalog import ZooEntry, read_catalog

HAVE_RECIPES = (Suite, Pretraining, Override)


def check_suite(path: str, workspace: Workspace) -> ResolvedGrid:
    """Returns the grid that a suite's file describes; reads neither data nor weights.

    Raises one BenchmarkError that names everything that is wrong: unknown models, tasks, protocols and recipe fields, and
    what the file says about models or tasks that its grid does not have, which a run would pass over in silence.
    """
    request = RunRequest.of(workspace, None, None, suite=path)
    suite = request.suite
    if suite is None:
        raise BenchmarkError("wanted a suite's file")
    tasks = known_tasks(workspace)
    entries = read_catalog(workspace.project / "model_zoo.yaml", workspace.own_zoo)
    faults = []
    promised: list[ZooEntry] = []
    try:
        promised = promised_entries(suite, entries)
    except BenchmarkError as fault:
        faults.append(f"pretrain: {fault}")
    for step in suite.pretrain:
        try:
            step.check(suite)
        except BenchmarkError as fault:
            faults.append(f"pretrain {step.name}: {fault}")
        if step.task not in tasks:
            faults.append(f"pretrain {step.name}: no task {step.task!r}: {did_you_mean(step.task, tasks)}")
    try:
        grid = request.grid(promised=promised)
    except BenchmarkError as fault:
        raise BenchmarkError(f"{path}: {'; '.join([*faults, str(fault)])}") from fault
    models = {name_of([(entry, "") for entry in model]) for model in grid.models}
    run = {task.name for task in grid.tasks}
    trained_on = {step.task for step in suite.pretrain}
    faults += _strangers("recipes", suite.recipes, run | trained_on)
    faults += _strangers("phantoms", suite.phantoms, tasks)
    faults += _strangers("baseline", [suite.baseline] if suite.baseline else [], models)
    for override in suite.overrides:
        faults += _strangers("overrides: models", override.models, models)
        faults += _strangers("overrides: protocol", [override.protocol], {one.protocol for one in grid.task_runs})
    if faults:
        raise BenchmarkError(f"{path}: {'; '.join(faults)}")
    return grid


def suite_schema() -> dict[str, Any]:
    """Returns the JSON schema of a suite's file (draft 2020-12), with every recipe field and its values."""
    schema = Suite.model_json_schema()
    recipe = Recipe.model_json_schema()
    definitions = schema.setdefault("$defs", {})
    definitions |= recipe.pop("$defs", {})
    definitions["Recipe"] = recipe | {"description": "Recipe fields; those that are not named keep their values."}
    reference = {"$ref": "#/$defs/Recipe"}
    for model in HAVE_RECIPES:
        properties = (schema if model is Suite else definitions[model.__name__])["properties"]
        properties["recipe"] = reference | {"description": properties["recipe"]["description"]}
    contrastive = ContrastiveRecipe.model_json_schema()
    definitions |= contrastive.pop("$defs", {})
    definitions["ContrastiveRecipe"] = contrastive
    pretraining = definitions["Pretraining"]["properties"]
    about = pretraining["recipe"]["description"]
    pretraining["recipe"] = {"anyOf": [reference, {"$ref": "#/$defs/ContrastiveRecipe"}], "description": about}
    schema["properties"]["recipes"]["additionalProperties"] = reference
    schema["properties"]["protocol"]["examples"] = list(PROTOCOLS)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _strangers(key: str, names: Iterable[str], known: Mapping[str, Any] | set[str]) -> list[str]:
    return [f"{key}: {name!r} is not in the grid: {did_you_mean(name, known)}" for name in names if name not in known]
