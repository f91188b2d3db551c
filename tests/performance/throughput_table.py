"""The table of `throughput.py`: medians over the rounds, ratios round by round, shares of the convolution peak."""

from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table


def summarize(measured: list[dict[str, Any]], peaks: dict[str, float], flops: dict[str, float]) -> list[dict[str, Any]]:
    """A row for each phase, number of cells and side. A ratio is that of one round's two rates, so that what slows the
    machine for minutes slows both; the row has their median, least and largest.
    """
    rows = []
    for (phase, cells), rival in pd.DataFrame(measured).groupby(["phase", "cells"], sort=False):
        rates = rival.pivot_table(index="round", columns="side", values="images_per_second")
        for side, own in rival.groupby("side", sort=False):
            ratios = (rates[side] / rates["theirs"]).dropna() if "theirs" in rates else pd.Series(dtype=float)
            rate, peak = own["images_per_second"].median(), peaks.get("bf16" if side.endswith("bf16") else "fp32")
            rows.append(
                {
                    "phase": phase,
                    "cells": cells,
                    "side": side,
                    "rounds": len(own),
                    "images_per_second": rate,
                    "ratio": [ratios.median(), ratios.min(), ratios.max()] if len(ratios) else None,
                    "peak_share": rate * flops[phase] / 1e12 / peak if peak and side != "frozen" else None,
                    "wait_share": own["wait_share"].median(),
                    "peak_gb": own["peak_gb"].max(),
                    "others_share": own["others_share"].median(),
                }
            )
    return rows


def print_rows(
    rows: list[dict[str, Any]], machine: dict[str, Any], prepared: dict[str, Any], trials: dict[str, Any]
) -> None:
    """The table, and beneath it what its numbers stand on."""
    console = Console(width=None if Console().is_terminal else 120, highlight=False)
    rounds = max((row["rounds"] for row in rows), default=0)
    table = Table(title=f"Images per second, medians of {rounds} rounds", title_justify="left")
    for column in ("phase", "side"):
        table.add_column(column)
    for column in ("images/s", "to theirs", "(range)", "of peak", "waiting for data", "memory GB", "others' load"):
        table.add_column(column, justify="right")
    before = None
    for row in rows:
        title = row["phase"] + (f" x {row['cells']} cells" if row["cells"] > 1 else "")
        if title != before:
            table.add_section()
        middle, low, high = row["ratio"] or (None, None, None)
        table.add_row(
            title if title != before else "",
            row["side"],
            f"{row['images_per_second']:.3g}",
            f"x {middle:.2f}" if middle else "",
            f"{low:.2f} – {high:.2f}" if middle and row["side"] != "theirs" else "",
            f"{row['peak_share']:.0%}" if row["peak_share"] else "",
            f"{row['wait_share']:.1%}",
            f"{row['peak_gb']:.2f}",
            f"{row['others_share']:.0%}",
        )
        before = title
    console.print(table)
    for line in _notes(machine, prepared, trials):
        console.print(line, soft_wrap=True)


def _notes(machine: dict[str, Any], prepared: dict[str, Any], trials: dict[str, Any]) -> list[str]:
    """What the numbers stand on, a line each."""
    peaks = ", ".join(f"{peak:.3g} TFLOP/s {precision}" for precision, peak in machine["peaks"].items())
    flops = ", ".join(f"{phase} {flops / 1e9:.1f}" for phase, flops in prepared["flops"].items() if flops)
    emulated = (
        "bf16: this processor has no bf16 arithmetic and emulates it, several times slower than fp32; what fast-bf16 gains "
        "elsewhere cannot be seen here (measured with --bf16 alone)"
    )
    return [
        f"{machine['device']}, {machine['threads']} threads, torch {machine['torch']}; convolution peak {peaks}",
        f"GFLOP an image, a multiply-add being two (training: forward and backward): {flops}",
        "memory: of the process (without a loader's workers), or of the GPU",
        "fast differs from exact in training crops alone",
        "others' load: the part of the machine's time that other programs took",
        *([] if machine["has_bf16"] else [emulated]),
        *(
            f"decode once, {cache['task']} at {cache['sizes']} pixels: {cache['images']} images in {cache['seconds']:.1f} s, "
            f"{cache['images'] / cache['seconds']:.0f} images/s, {cache['gb']:.2f} GB"
            for cache in prepared["caches"]
        ),
        *(
            f"workers of theirs, {phase} (images/s in a short trial): "
            + ", ".join(f"{workers}: {rate:.2f}" for workers, rate in tried.items())
            for phase, tried in trials.items()
        ),
    ]
