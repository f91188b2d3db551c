"""How numbers are written in tables, figures, sentences and the page: every part of the reports calls this module.

Scores are in 0..1 and are written × 100. A number that is not known (None, NaN, infinity) is written as a dash. The
page's script writes the numbers that change on a click by the same rules (page/cell.js).
"""

import math
from typing import Any

import pandas as pd

UNKNOWN = "–"
MINUS = "\N{MINUS SIGN}"
OVERLAP = "†"  # marks weights that were trained on images of the task
NOT_DIFFERENT = "‡"  # marks a result that does not differ from the best one of its group
SIGNIFICANT = 0.05  # a p below it is called significant


def known(value: Any) -> float | None:
    """Returns the number, or None where it is missing, NaN or infinite."""
    if isinstance(value, float):  # most are, and asking pandas takes the longest
        return value if math.isfinite(value) else None
    return None if value is None or pd.isna(value) else float(value)


def number(value: Any, digits: int = 2) -> str:
    """Returns `93.10`."""
    value = known(value)
    return UNKNOWN if value is None else f"{value:,.{digits}f}".replace("-", MINUS)


def mean_sd(mean: Any, sd: Any, digits: int = 2) -> str:
    """Returns `93.10 ± 0.42`, or the mean alone where the sd is not known, as of one run."""
    return number(mean, digits) + ("" if known(sd) is None else f" ± {number(sd, digits)}")


def score(mean: Any, sd: Any = None) -> str:
    """Returns a score in 0..1 and its sd, × 100: `93.10 ± 0.42`."""
    return mean_sd(_times_100(mean), _times_100(sd))


def signed(value: Any, digits: int = 2) -> str:
    """Returns `+0.42`."""
    value = known(value)
    return UNKNOWN if value is None else f"{value:+,.{digits}f}".replace("-", MINUS)


def points(value: Any) -> str:
    """Returns a difference of scores in points, which are hundredths of the score: `+1.20`."""
    return signed(_times_100(value))


def difference(mean: Any, low: Any, high: Any) -> str:
    """Returns a difference of scores and its interval in points: `+0.42 [−0.10, +0.94]`."""
    if known(mean) is None or known(low) is None:
        return points(mean)
    return f"{points(mean)} [{points(low)}, {points(high)}]"


def interval(low: Any, high: Any) -> str:
    """Returns an interval of scores, × 100: `[92.31, 94.02]`."""
    return UNKNOWN if known(low) is None else f"[{score(low)}, {score(high)}]"


def p_value(p: Any) -> str:
    """Returns `0.012`, or `< 0.001`; with more decimals where three would move p to the other side of 0.05."""
    p = known(p)
    if p is None:
        return UNKNOWN
    if p < 0.001:
        return "< 0.001"
    texts = (f"{p:.{digits}f}" for digits in range(3, 18))
    return next(text for text in texts if (float(text) < SIGNIFICANT) == (p < SIGNIFICANT))


def p_equation(p: Any) -> str:
    """Returns `p = 0.012`, or `p < 0.001`."""
    text = p_value(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def starred_p(p: Any) -> str:
    """Returns `0.012 *`, where the star says that p < 0.05; `0.312` else."""
    value = known(p)
    return p_value(p) + (" *" if value is not None and value < SIGNIFICANT else "")


def _times_100(value: Any) -> float | None:
    value = known(value)
    return None if value is None else 100 * value


def rounded(value: Any, digits: int = 4) -> float | None:
    """Returns the number with that many significant digits, as the page's data need it; a p never crosses 0.05 by it."""
    value = known(value)
    if value is None:
        return None
    short = float(f"{value:.{digits}g}")
    return short if (short < SIGNIFICANT) == (value < SIGNIFICANT) else value
