"""The leaderboard: a row for each model and block, the best mean of a block first; and the names that all parts share."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import pandas as pd

from benchmark.reporting.data import ReportData
from benchmark.reporting.format import rounded
from benchmark.reporting.frame import SCRATCH
from benchmark.reporting.metric_facts import is_higher_better
from benchmark.zoo.catalog import ZooEntry


def leaderboard(data: ReportData, rows: pd.DataFrame) -> list[dict[Any, Any]]:
    """Returns the rows of `summary` with `title` and `family_name` of the model, `href` to its runs, and `p_of`: p without
    a correction and with each, over the block's tests against the baseline, rounded for the page.
    """
    lines = []
    for _, block in rows.groupby("block", sort=False):
        ascending = not is_higher_better(block["metric"].iloc[0])
        for row in block.sort_values("mean", ascending=ascending, kind="stable").to_dict("records"):
            members = data.members[row["model"]]
            title = data.entries[members[0]].title if members[0] in data.entries else ""
            p_of = {"none": rounded(row["p"]), "holm": rounded(row["p_holm"]), "bh": rounded(row["p_bh"])}
            family = family_name(members, data.entries)
            href = address(row["block"], row["model"])
            lines.append({**row, "title": title, "family_name": family, "href": href, "p_of": p_of})
    return lines


def in_zoo_order(models: Iterable[str], data: ReportData) -> list[str]:
    """Returns each model once, as the zoo lists them; those of no entry last."""
    order = {name: position for position, name in enumerate(data.entries)}
    return sorted(dict.fromkeys(models), key=lambda model: (order.get(members_in(data, model)[0], len(order)), model))


def members_in(data: ReportData, model: str) -> tuple[str, ...]:
    """Returns the zoo's names of a model's weights."""
    # the name of a failed cell's model may have a digest here that no name in the frame has
    return data.members.get(model, (model,))


def family_name(members: Iterable[str], entries: Mapping[str, ZooEntry]) -> str:
    """Returns the family of a model's zoo entries; `scratch` for fresh weights; several are joined by +."""
    families = [
        entries[name].family if name in entries else SCRATCH if name.startswith(SCRATCH) else "not in the zoo"
        for name in members
    ]
    return " + ".join(dict.fromkeys(families))


def address(block: str, model: str) -> str:
    """Returns the part of the page's address that opens a cell of the matrix."""
    return f"#cell/{quote(block, safe='')}/{quote(model, safe='')}"
