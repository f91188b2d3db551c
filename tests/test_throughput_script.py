"""`tests/throughput.py` works. How fast anything is, no test asserts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from throughput_table import summarize

SCRIPT = Path(__file__).parent / "throughput.py"


@pytest.mark.slow
def test_the_throughput_script_measures_both_pipelines_and_tells_in_a_table_and_in_json(tmp_path):
    options = ["--quick", "--phases", "train", "--pairs", "1", "--sides", "theirs,exact", "--device", "cpu"]
    output = ["--work", str(tmp_path / "work"), "--json", str(tmp_path / "measured.json")]

    ran = subprocess.run([sys.executable, SCRIPT, *options, *output], capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    measured = json.loads((tmp_path / "measured.json").read_text())
    assert [(row["phase"], row["side"]) for row in measured["rows"]] == [("train", "theirs"), ("train", "exact")]
    assert all(row["images_per_second"] > 0 for row in measured["rows"])
    # 4.09 G multiply-adds forward (torchvision's page on resnet50); twice that for each of two gradients, but for the
    # gradient to the images, which nobody asks for: 0.118 G multiply-adds in the first convolution
    assert measured["prepared"]["flops"]["train"] == pytest.approx(2e9 * (3 * 4.09 - 0.118), rel=0.005)
    for word in ("images/s", "theirs", "exact", "TFLOP/s fp32", "decode once, DXC14 at 256 and native pixels"):
        assert word in ran.stdout


def test_ratios_are_taken_within_a_round_and_their_median_is_shown():
    """What slows the machine for one round slows both sides of it: medians of the rates would give 2.5, rounds give 2."""
    rates = {"theirs": [1.0, 4.0, 2.0], "exact": [2.0, 6.0, 5.0]}
    measured = [
        {"round": number, "phase": "train", "cells": 1, "side": side, "images_per_second": rate, "wait_share": 0.0,
         "peak_gb": 1.0 + number, "others_share": 0.0}
        for side, of_side in rates.items() for number, rate in enumerate(of_side)
    ]  # fmt: skip

    theirs, exact = summarize(measured, {"fp32": 0.1}, {"train": 1e10})

    assert theirs["ratio"] == [1.0, 1.0, 1.0]
    assert exact["ratio"] == [2.0, 1.5, 2.5]
    assert (theirs["images_per_second"], exact["images_per_second"]) == (2.0, 5.0)
    assert exact["peak_share"] == pytest.approx(5.0 * 1e10 / 0.1e12)
    assert exact["peak_gb"] == 3.0
