"""Sweeps: blocks that differ only in the values of one or two recipe fields, as one table of validation and test scores.

Taking the best of their test scores would be choosing on the test set; so the table marks the value that validation
chooses. `--search` goes further: it chooses for each seed, and tests the chosen value alone.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from benchmark.cell import Cell
from benchmark.files import digest_of
from benchmark.recipe import Recipe
from benchmark.reporting.data import ReportData
from benchmark.reporting.format import score
from benchmark.reporting.metric_facts import directions, metric_title
from benchmark.reporting.table_writers import Line, PrintedTable, Span
from benchmark.reporting.tables import data_sentence, marked_model, size_sentence, summary, what_varies
from benchmark.results.record import RunRecord

MAX_FIELDS = 2


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Blocks in which `fields` have every combination of some values; `values`: block -> one value per field, in order."""

    fields: tuple[str, ...]
    values: Mapping[str, tuple[Any, ...]]


def sweeps_of(frame: pd.DataFrame, records: Mapping[str, RunRecord]) -> list[Sweep]:
    """Returns the sweeps among the blocks of a frame: of one task, data, protocol and share, with models in common, their
    recipes complete in one or two fields.
    """
    recipes_of: dict[str, dict[str, Recipe]] = {}
    models: dict[str, set[str]] = {}
    for block, runs in frame.groupby("block", sort=False):
        cell = records[runs["key"].iloc[0]].cell
        models[str(block)] = set(runs["model"])
        if cell.search is None:
            recipes_of.setdefault(_without_recipe(cell), {})[str(block)] = cell.recipe
    sweeps = []
    for recipes in recipes_of.values():
        fields = [name for name in Recipe.model_fields if len({getattr(r, name) for r in recipes.values()}) > 1]
        values = {block: tuple(getattr(recipe, name) for name in fields) for block, recipe in recipes.items()}
        combinations = math.prod(len({of_block[n] for of_block in values.values()}) for n in range(len(fields)))
        shared = set.intersection(*(models[block] for block in recipes))
        if 0 < len(fields) <= MAX_FIELDS and combinations == len(recipes) and shared:
            ordered = dict(sorted(values.items(), key=lambda item: tuple(map(_sortable, item[1]))))
            sweeps.append(Sweep(fields=tuple(fields), values=ordered))
    return sweeps


def sweep_rows(sweep: Sweep, rows: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows of `summary` that a sweep is made of, with a column per field, by model and value; `chosen`: the
    value with the best mean validation score of the model (of equal ones the first), where there is one.
    """
    of_sweep = rows[rows["block"].isin(sweep.values)].copy()
    for number, name in enumerate(sweep.fields):
        of_sweep[name] = pd.Series(
            [value_text(sweep.values[block][number]) for block in of_sweep["block"]], index=of_sweep.index, dtype=object
        )
    order = {block: number for number, block in enumerate(sweep.values)}
    of_sweep["order"] = of_sweep["block"].map(order)
    models = {model: number for number, model in enumerate(dict.fromkeys(of_sweep["model"]))}
    of_sweep = of_sweep.sort_values(["model", "order"], key=lambda of: of.map(models) if of.name == "model" else of)
    goodness = (of_sweep["validation"] * directions(of_sweep["metric"])).dropna()
    best = goodness.groupby(of_sweep["model"], sort=False).idxmax()
    return of_sweep.assign(chosen=of_sweep.index.isin(best)).drop(columns="order").reset_index(drop=True)


def sweep_table(sweep: Sweep, rows: pd.DataFrame) -> PrintedTable:
    """Returns a sweep as a table to print."""
    table = sweep_rows(sweep, rows)
    lines = []
    for number, row in table.iterrows():
        first = number == 0 or table["model"].iloc[int(str(number)) - 1] != row["model"]
        cells = [
            *(str(row[name]) for name in sweep.fields),
            score(row["validation"], row["validation_sd"]) + (" ✓" if row["chosen"] else ""),
            score(row["mean"], row["sd"]),
            str(row["n"]),
        ]
        head = marked_model(row) if first else ""
        spans = tuple((Span(cell, bold=bool(row["chosen"])),) for cell in cells)
        lines.append(Line(heads=(head,), cells=spans, opens=first))
    columns = (*sweep.fields, "validation", "test", "n")
    return PrintedTable(
        title=_caption(sweep, table), stub=("model",), columns=tuple((name,) for name in columns), lines=tuple(lines)
    )


def join_sweeps(data: ReportData, rows: pd.DataFrame) -> tuple[ReportData, pd.DataFrame]:
    """Returns the data and the rows of `summary` with each sweep as one block, in which each model has the runs of the value
    that its validation score chooses. A sweep without validation scores stays as it is.
    """
    frame, joined_blocks = data.frame, []
    for sweep in sweeps_of(frame, data.records):
        table = sweep_rows(sweep, rows)
        chosen = table[table["chosen"]]
        if set(chosen["model"]) != set(table["model"]):
            continue
        block = f"sweep-{digest_of(sorted(sweep.values))[:8]}"
        text = f"{' and '.join(sweep.fields)} chosen on validation of {len(sweep.values)}"
        pairs = set(zip(chosen["block"], chosen["model"], strict=True))
        in_sweep = frame["block"].isin(sweep.values)
        is_chosen = pd.Series([pair in pairs for pair in zip(frame["block"], frame["model"], strict=True)], frame.index)
        settings = [
            ", ".join(filter(None, [text, _without(setting, sweep.fields)]))
            for setting in frame.loc[in_sweep, "setting"]
        ]
        frame = frame.assign(block=frame["block"].mask(in_sweep, block))
        frame.loc[in_sweep, "setting"] = settings
        frame.loc[in_sweep, "recipe_setting"] = ""
        frame = frame[~in_sweep | is_chosen]
        joined_blocks.append(block)
    if not joined_blocks:
        return data, rows
    of_sweeps = summary(frame[frame["block"].isin(joined_blocks)], data.baseline, rows["test"].iloc[0])
    joined = pd.concat([rows[rows["block"].isin(frame["block"])], of_sweeps], ignore_index=True)
    order = {block: number for number, block in enumerate(dict.fromkeys(frame["block"]))}
    joined = joined.sort_values("block", key=lambda blocks: blocks.map(order), kind="stable", ignore_index=True)
    return replace(data, frame=frame.reset_index(drop=True)), joined


def _without(setting: str, fields: tuple[str, ...]) -> str:
    """Returns a setting without the fields of a sweep."""
    return ", ".join(part for part in setting.split(", ") if part.partition("=")[0] not in fields)


def _caption(sweep: Sweep, table: pd.DataFrame) -> str:
    first = table.iloc[0]
    sentences = [
        f"{first['task']}: {first['title']}, {first['protocol']}, a sweep of {' and '.join(sweep.fields)}.",
        data_sentence(first),
        f"100 × {metric_title(first['metric'])}, mean ± sd over n runs (n - 1 in the sd).",
        size_sentence(first),
        (
            "✓ the value that the mean validation score chooses for the model. To take the best of the test column would be "
            "choosing on the test set; --search chooses on validation for each seed, and tests the chosen value alone."
        ),
        what_varies(table),
    ]
    return " ".join(filter(None, sentences))


def value_text(value: Any) -> Any:
    """Returns a recipe's value as a table has it: a field that is not set is `none`, which no table takes for a hole."""
    return "none" if value is None else value


def _without_recipe(cell: Cell) -> str:
    return cell.model_copy(update={"weights": (), "seed": 0, "fold": None, "recipe": Recipe()}).key


def _sortable(value: Any) -> tuple[int, float, str]:
    """Numbers by size, after nothing and before words."""
    if value is None:
        return (0, 0.0, "")
    return (1, float(value), "") if isinstance(value, int | float) else (2, 0.0, str(value))
