"""Recipes by name: where several stand in one report, each is spelled out once, and named in rows, headings and panels."""

from dataclasses import replace
from string import ascii_uppercase

from benchmark.reporting.data import ReportData


def name_recipes(data: ReportData) -> tuple[ReportData, list[str]]:
    """Returns the data with `recipe A` in the settings of the frame, and a line for each name: what it changes of the task's
    own recipe. Where the report has one recipe, or more than the alphabet has letters, the settings stay as they are;
    `recipe_setting` always does.
    """
    recipes = list(dict.fromkeys(filter(None, data.frame["recipe_setting"])))
    several = data.frame["recipe_setting"].nunique() > 1
    if not several or len(recipes) > len(ascii_uppercase):
        return data, []
    names = {recipe: f"recipe {letter}" for recipe, letter in zip(recipes, ascii_uppercase, strict=False)}
    settings = [
        setting.replace(recipe, names[recipe], 1) if recipe else setting
        for setting, recipe in zip(data.frame["setting"], data.frame["recipe_setting"], strict=True)
    ]
    lines = [f"{names[recipe][:1].upper()}{names[recipe][1:]}: {recipe}." for recipe in recipes]
    lines.append("Where no recipe is named, it is the task's own.")
    return replace(data, frame=data.frame.assign(setting=settings)), lines
