"""The cells of a paper's table -> what is printed: ours, the paper's and their difference in a line each, and a legend.

The best is bold, others that beat the baseline are underlined, what does not differ from the best at p = 0.05 is marked.
Numbers have the unit and the decimals that the paper prints them in.
"""

import math
from typing import Any

import pandas as pd

from benchmark.reporting.format import (
    NOT_DIFFERENT,
    OVERLAP,
    SIGNIFICANT,
    UNKNOWN,
    known,
    mean_sd,
    number,
    p_equation,
    signed,
)
from benchmark.reporting.paper_cells import NOT_APPLICABLE, NOT_RUN, RUN, TableNumbers
from benchmark.reporting.paper_tables import EPOCHS, PARAMETERS
from benchmark.reporting.table_writers import Content, Line, PrintedTable, Span, frame_csv
from benchmark.reporting.tables import TESTS

SIGNS = {NOT_RUN: "·", NOT_APPLICABLE: UNKNOWN}
# unit -> what a number is multiplied by, decimals, what stands behind it
_UNITS = {
    "percent": (100.0, 2, ""),
    "share": (1.0, 4, ""),
    "epochs": (1.0, 1, ""),
    "thousand": (1e-3, 1, " K"),
    "million": (1e-6, 1, " M"),
}


Readings = list[dict[str, Any]]  # the tidy rows of one cell: two where its metric can mean two things


def paper_table(numbers: TableNumbers) -> PrintedTable:
    """Returns the table to print."""
    layout, cells = numbers.layout, numbers.cells
    has_published = bool(cells["published_mean"].notna().any())
    units = _units(cells)
    readings: dict[tuple[int, int], Readings] = {}
    rows: list[Any] = cells.to_dict("records")
    for row in rows:
        readings.setdefault((row["row_number"], row["column_number"]), []).append(row)
    kinds = [("ours", _ours), ("published", _published), ("difference", _difference)][: 3 if has_published else 1]
    lines: list[Line] = []
    above: tuple[str, ...] = ()
    for row_number, heads in enumerate(layout.rows):
        new_heads = tuple(head if heads[: level + 1] != above[: level + 1] else "" for level, head in enumerate(heads))
        above = heads
        opens = True
        for kind, write in kinds:
            texts = tuple(write(readings[row_number, column], units) for column in range(len(layout.columns)))
            if kind == "difference" and not any(texts):
                continue
            stub = (*(new_heads if opens else [""] * len(heads)), *([kind] if has_published else []))
            lines.append(Line(heads=stub, cells=texts, opens=opens))
            opens = False
    return PrintedTable(
        title=f"{layout.suite}, table {layout.name}: {layout.table.title}",
        stub=(*layout.table.stub, *([""] if has_published else [])),
        columns=layout.columns,
        lines=tuple(lines),
        notes=tuple(_notes(numbers)),
    )


def csv_of(numbers: TableNumbers) -> bytes:
    """Returns the cells as CSV: a row for each cell and reading, scores in 0..1, empty where there is no number."""
    return frame_csv(numbers.cells.drop(columns=["row_number", "column_number"])).encode()


def _units(cells: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Returns the unit in which each task's metric is printed: the paper's, else percent."""
    unit_of: dict[tuple[str, str], str] = {}
    for task, metric, unit in zip(cells["task"], cells["metric"], cells["published_unit"], strict=True):
        usual = {EPOCHS: "epochs", PARAMETERS: "million"}.get(metric, "percent")
        if unit or (task, metric) not in unit_of:
            unit_of[task, metric] = unit or usual
    return unit_of


def _unit(row: dict[str, Any], units: dict[tuple[str, str], str]) -> tuple[float, int, str]:
    return _UNITS[row["published_unit"] or units[row["task"], row["metric"]]]


def _ours(cell: Readings, units: dict[tuple[str, str], str]) -> Content:
    if all(row["state"] != RUN for row in cell):
        return (Span(SIGNS[cell[0]["state"]]),)
    spans: list[Span] = []
    for row in cell:
        spans += [Span("; ")] if spans else []
        spans += [Span(f"{row['reading']} ")] if len(cell) > 1 else []
        if row["state"] != RUN:
            spans.append(Span(SIGNS[row["state"]]))
            continue
        factor, decimals, behind = _unit(row, units)
        text = mean_sd(factor * row["mean"], factor * row["sd"], decimals)
        spans.append(Span(text + behind, bold=bool(row["best"]), underlined=bool(row["beats_baseline"])))
        spans.append(Span(f" ({row['n']})" + _marks(row)))
    if cell[0]["chosen"]:
        spans.append(Span(f" {cell[0]['model']}"))
    return tuple(spans)


def _marks(row: dict[str, Any]) -> str:
    return (NOT_DIFFERENT if row["not_different"] else "") + (OVERLAP if row["overlap"] else "")


def _published(cell: Readings, units: dict[tuple[str, str], str]) -> Content:
    row = cell[0]
    if math.isnan(row["published_mean"]):
        return (Span(SIGNS[NOT_APPLICABLE] if row["state"] == NOT_APPLICABLE else ""),)
    factor, decimals, behind = _unit(row, units)
    text = row["printed_mean"] + (f" ± {row['printed_sd']}" if row["printed_sd"] else "") + behind
    if not math.isnan(row["published_half_width"]):
        text += f" (95 % ± {number(factor * row['published_half_width'], decimals)})"
    spans = [Span(text, bold=bool(row["published_best"]), underlined=bool(row["published_beats_baseline"]))]
    count = "" if math.isnan(row["published_n"]) else f" ({row['published_n']:.0f})"
    spans.append(Span(count + (NOT_DIFFERENT if row["published_not_different"] else "")))
    if row["chosen"]:
        spans.append(Span(f" {row['published_model']}"))
    return tuple(spans)


def _difference(cell: Readings, units: dict[tuple[str, str], str]) -> Content:
    spans: list[Span] = []
    for row in cell:
        if math.isnan(row["difference"]):
            continue
        spans += [Span("; ")] if spans else []
        factor, decimals, behind = _unit(row, units)
        named = f"{row['reading']} " if len(cell) > 1 else ""
        p = "" if known(row["p"]) is None else f", {p_equation(row['p'])}"
        spans.append(Span(f"{named}{signed(factor * row['difference'], decimals)}{behind}{p}"))
    return tuple(spans)


def _notes(numbers: TableNumbers) -> list[str]:
    cells, table = numbers.cells, numbers.layout.table
    ran = cells["state"] == RUN
    has_published = cells["published_mean"].notna().any()
    notes = []
    if numbers.phantom:
        notes.append("PHANTOM IMAGES: our numbers say nothing about medicine and are not compared with the paper's.")
    if has_published and not ran.any():
        notes.append("Published only: nothing of this table was run here.")
    scored = sorted({unit for unit in _units(cells).values() if unit == "percent"})
    notes.append(
        ("Scores in percent; mean" if scored else "Mean")
        + " ± sd (n runs"
        + ("; n - 1 in the sd of ours" if ran.any() else "")
        + "). "
        + _legend(cells)
    )
    if (cells["metric"] == EPOCHS).any():
        notes.append("Epochs: the best epoch by validation loss, and all that were trained.")
        if has_published:
            notes.append("The paper does not say which of the two it counts.")
    if has_published:
        notes.append(_about_published(cells))
    tests = int(cells["p_best"].notna().sum() + cells["published_p_best"].notna().sum() + cells["p"].notna().sum())
    if tests:
        notes.append(f"{tests} tests in this table, p not corrected for their number.")
    if cells["chosen"].any():
        notes.append("Of several models the one with the highest mean on the test set is named: a flattering choice.")
    notes += _not_the_papers(cells)
    notes += [table.note] if table.note else []
    notes += sorted({f"{note}." for note in cells["note"] if note})
    return [*notes, *numbers.notes]


def _not_the_papers(cells: pd.DataFrame) -> list[str]:
    """Returns a sentence for each task whose numbers are not tested against the paper's, with what differs."""
    of_task: dict[str, dict[str, None]] = {}
    for task, differs in zip(cells["task"], cells["differs"], strict=True):
        if differs:
            of_task.setdefault(differs, {})[task] = None
    return [
        f"{', '.join(tasks)}: not tested against the paper, because ours differ: {differs}."
        for differs, tasks in of_task.items()
    ]


def _legend(cells: pd.DataFrame) -> str:
    parts = []
    compared = cells["best"].any() or cells["published_best"].any()
    if compared:
        parts.append("Bold: the best of its task, share and metric")
    if cells["beats_baseline"].any() or cells["published_beats_baseline"].any():
        parts.append("underlined: others above the baseline")
    if cells["not_different"].any() or cells["published_not_different"].any():
        parts.append(f"{NOT_DIFFERENT} not different from the best ({TESTS['student'].words}, p ≥ {SIGNIFICANT})")
    if (cells["overlap"] & (cells["state"] == RUN)).any():
        parts.append(f"{OVERLAP} trained on images of this task before, not compared")
    if (cells["state"] == NOT_APPLICABLE).any():
        parts.append(f"{SIGNS[NOT_APPLICABLE]} trained on images of this task before, not run")
    if (cells["state"] == NOT_RUN).any():
        parts.append(f"{SIGNS[NOT_RUN]} not run")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _about_published(cells: pd.DataFrame) -> str:
    with_sd = cells[cells["published_sd"].notna()]
    text = "Published: as printed."
    if (with_sd["published_ddof"] == 0).any():
        text += " The paper's sd is divided by n (its code) and is scaled to n - 1 for tests."
    if with_sd["published_ddof"].isna().any():
        text += " The paper does not say what its sd is divided by: n - 1 is assumed."
    if cells["p"].notna().any():
        text += (
            f" Difference: ours minus the paper's, {TESTS['welch'].words} from mean, sd and n; where the test split is a "
            "random split, the paper tested other images, and the error allows for it by the spread over test sets."
        )
    elif cells["difference"].notna().any():
        text += " Difference: ours minus the paper's."
    return text
