"""What a tracker is told of a cell: its facts by flat names, its run's name."""

from benchmark.cell import Cell

PROJECT = "medical-transfer-benchmark"
Fact = str | int | float | bool


def facts_of(cell: Cell) -> dict[str, Fact]:
    """Everything in the cell, flattened: `recipe.learning_rate`, `weights.0.sha256`; and its `key` and `model`."""
    return {"key": cell.key, "model": cell.model, **_flat("", cell.model_dump(mode="json", exclude_none=True))}


def run_name(cell: Cell) -> str:
    """The cell's title, phantoms told."""
    return cell.title + " · phantom images" * (cell.data == "phantom")


def _flat(prefix: str, value: object) -> dict[str, Fact]:
    if isinstance(value, dict):
        held = value.items()
    elif isinstance(value, list) and any(isinstance(part, dict) for part in value):
        held = {str(place): part for place, part in enumerate(value)}.items()
    else:
        return {prefix: value if isinstance(value, Fact) else str(value)}
    return {
        name: fact
        for key, part in held
        for name, fact in _flat(f"{prefix}.{key}" if prefix else str(key), part).items()
    }
