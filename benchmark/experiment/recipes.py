"""Recipes of a task under a protocol: its own, a suite's, and without the fields that change nothing."""

from benchmark.protocols.registry import PROTOCOLS, unused_fields
from benchmark.recipe import Recipe
from benchmark.tasks.spec import TaskSpec


def own_recipe(task: TaskSpec | None, protocol: str) -> Recipe:
    """Returns the recipe of a task under a protocol where nothing else is asked for; the defaults where no task is known."""
    if task is None:
        return Recipe()
    return task.complete_recipe(PROTOCOLS[protocol].recipe_for(task.kind) if protocol in PROTOCOLS else {})


def without_unused(recipe: Recipe, task: TaskSpec, protocol: str) -> Recipe:
    """Returns the recipe with the fields that change nothing under the protocol set back to the task's own values, so that
    recipes that give the same numbers are the same recipe.
    """
    own = own_recipe(task, protocol)
    return recipe.model_copy(update={name: getattr(own, name) for name in unused_fields(protocol, task.kind, recipe)})
