"""The cells that runs were asked for, so that `status` knows how many are still to come: results/plans/<digest>.json."""

import json
from collections.abc import Iterable
from pathlib import Path

from benchmark.cell import Cell
from benchmark.files import digest_of, write_atomically

PLANS = "plans"


def write_plan(root: Path, cells: Iterable[Cell]) -> None:
    """Writes down the cells of a run, unless the same cells are written down already."""
    places = sorted({f"{cell.task}/{cell.key}" for cell in cells})
    path = root / PLANS / f"{digest_of(places)[:16]}.json"
    if not path.exists():
        write_atomically(path, json.dumps({"cells": places}) + "\n")


def planned_cells(root: Path) -> set[str]:
    """Returns the cells of all runs, as task/key; a damaged plan counts for nothing."""
    places: set[str] = set()
    for path in (root / PLANS).glob("*.json"):
        try:
            places.update(map(str, json.loads(path.read_bytes())["cells"]))
        except (OSError, ValueError, LookupError, TypeError):
            continue
    return places
