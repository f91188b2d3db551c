"""Numbers are written alike everywhere: one module renders them, and each mark has one meaning."""

import re

import numpy as np
import pandas as pd
import pytest
from conftest import CHECKOUT

from benchmark.reporting import format as fmt


def test_each_kind_of_number_has_one_form():
    assert fmt.score(0.931, 0.0042) == "93.10 ± 0.42"
    assert fmt.mean_sd(12.34, 1.26, 1) == "12.3 ± 1.3"
    assert fmt.difference(0.0042, -0.001, 0.0094) == "+0.42 [−0.10, +0.94]"
    assert fmt.interval(0.9, 0.95) == "[90.00, 95.00]"
    assert [fmt.p_value(p) for p in (0.3, 0.0123, 0.00099, 1)] == ["0.300", "0.012", "< 0.001", "1.000"]
    assert [fmt.p_equation(p) for p in (0.0123, 1e-9)] == ["p = 0.012", "p < 0.001"]
    assert [fmt.starred_p(p) for p in (0.3, 0.0123)] == ["0.300", "0.012 *"]


@pytest.mark.parametrize("unknown", [None, float("nan"), float("inf"), np.nan, pd.NA])
def test_what_is_not_known_is_a_dash(unknown):
    assert fmt.number(unknown) == fmt.p_value(unknown) == fmt.interval(unknown, unknown) == "–"
    assert fmt.mean_sd(90.0, unknown) == "90.00"
    assert fmt.difference(0.01, unknown, unknown) == "+1.00"
    assert fmt.rounded(unknown) is None


def test_no_p_crosses_the_level_by_rounding():
    assert fmt.p_value(0.04996) == "0.04996"
    assert fmt.p_value(0.0501) == "0.050"
    assert fmt.rounded(0.0499999) == 0.0499999
    assert fmt.rounded(0.123456) == 0.1235


def test_the_marks_are_defined_once_and_have_one_meaning_each():
    files = [path for path in (CHECKOUT / "benchmark").rglob("*") if path.suffix in (".py", ".js", ".j2")]

    written = {
        path.relative_to(CHECKOUT / "benchmark").as_posix()
        for path in files
        if re.search(f"{fmt.OVERLAP}|{fmt.NOT_DIFFERENT}", path.read_text(encoding="utf-8"))
    }

    assert fmt.OVERLAP != fmt.NOT_DIFFERENT
    assert written == {"reporting/format.py", "reporting/table_writers.py"}, "the second spells every sign in LaTeX"
