"""What a tracker logs about a cell: its fields under flat names, and the name of its run."""

from benchmark.cell import Cell

PROJECT = "medical-transfer-benchmark"
Fact = str | int | float | bool


def facts_of(cell: Cell) -> dict[str, Fact]:
    """Returns all fields of the cell under flat names: `recipe.learning_rate`, `weights.0.sha256`; its `key` and `model`."""
    return {"key": cell.key, "model": cell.model, **_flat("", cell.model_dump(mode="json", exclude_none=True))}


def run_name(cell: Cell) -> str:
    """Returns the cell's title; it says where the images are phantoms."""
    return f"{cell.title} · phantom images" if cell.data == "phantom" else cell.title


def _flat(prefix: str, value: object) -> dict[str, Fact]:
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list) and any(isinstance(part, dict) for part in value):
        items = {str(place): part for place, part in enumerate(value)}.items()
    else:
        return {prefix: value if isinstance(value, Fact) else str(value)}
    return {
        name: fact
        for key, part in items
        for name, fact in _flat(f"{prefix}.{key}" if prefix else str(key), part).items()
    }
