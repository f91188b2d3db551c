"""How numbers and names are written on the page: what is not known is a dash, never a number."""

import math
from collections.abc import Iterable, Mapping
from urllib.parse import quote

import pandas as pd

from benchmark.zoo.catalog import ZooEntry

NONE = "–"
MINUS = "\N{MINUS SIGN}"
SIGNIFICANT = 0.05


def known(value: float | None) -> float | None:
    """The number, or None for NaN, infinity and what is missing."""
    if isinstance(value, float):  # most are, and asking pandas takes the longest
        return value if math.isfinite(value) else None
    return None if value is None or pd.isna(value) else float(value)


def number(value: float | None, digits: int = 2) -> str:
    """`93.10`, or a dash."""
    found = known(value)
    return NONE if found is None else f"{found:,.{digits}f}".replace("-", MINUS)


def spread(mean: float | None, sd: float | None, digits: int = 2) -> str:
    """`93.10 ± 0.42`; the mean alone where one run has no sd."""
    return number(mean, digits) + ("" if known(sd) is None else f" ± {number(sd, digits)}")


def signed(value: float | None, digits: int = 2) -> str:
    """`+0.42`, or a dash."""
    found = known(value)
    return NONE if found is None else f"{found:+,.{digits}f}".replace("-", MINUS)


def difference(mean: float | None, low: float | None, high: float | None) -> str:
    """`+0.42 [−0.10, +0.94]` of scores in 0..1, in hundredths."""
    if known(mean) is None:
        return NONE
    interval = "" if known(low) is None else f" [{_hundredths(low)}, {_hundredths(high)}]"
    return _hundredths(mean) + interval


def p_value(p: float | None) -> str:
    """`0.0312 *`, `< 0.0001 *`, or a dash; the star: p < 0.05."""
    found = known(p)
    if found is None:
        return NONE
    return ("< 0.0001" if found < 1e-4 else f"{found:.4f}") + (" *" if found < SIGNIFICANT else "")


def rounded(value: float | None, digits: int = 4) -> float | None:
    """To that many significant digits, as the page's data need them; a p never crosses 0.05 by it."""
    found = known(value)
    if found is None:
        return None
    short = float(f"{found:.{digits}g}")
    return short if (short < SIGNIFICANT) == (found < SIGNIFICANT) else found


def family_of(members: Iterable[str], entries: Mapping[str, ZooEntry]) -> str:
    """Returns the family of a model's zoo entries; `scratch` for fresh weights, joined by + where members differ."""
    told = [
        entries[name].family if name in entries else "scratch" if name.startswith("scratch") else "not in the zoo"
        for name in members
    ]
    return " + ".join(dict.fromkeys(told))


def address(block: str, model: str) -> str:
    """The part of the page's address that opens a cell."""
    return f"#cell/{quote(block, safe='')}/{quote(model, safe='')}"


def _hundredths(value: float | None) -> str:
    found = known(value)
    return signed(None if found is None else 100 * found)
