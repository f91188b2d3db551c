"""Corrections for the number of tests: the family is the p that are given, and the caller says which they are.

Arrays of any shape, the family being all of it. NaN (a test that could not be made) stays NaN and is not counted.
Raises ValueError for a p outside of 0..1.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p that keep the chance of any false finding: the k-th smallest of m times m - k + 1, never falling.

    Holm 1979, step-down.
    """
    adjusted, known = _family(p)
    family = adjusted[known]
    order = np.argsort(family)
    remaining = np.arange(len(family), 0, -1)
    family[order] = np.minimum(1, np.maximum.accumulate(family[order] * remaining))
    adjusted[known] = family
    return adjusted


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p that keep the share of false findings among the findings. Benjamini and Hochberg 1995, step-up."""
    adjusted, known = _family(p)
    if known.any():
        adjusted[known] = stats.false_discovery_control(adjusted[known], method="bh")
    return adjusted


def _family(p: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    found = np.array(p, dtype=float)
    known = ~np.isnan(found)
    if ((found[known] < 0) | (found[known] > 1)).any():
        raise ValueError("p: wanted 0..1")
    return found, known
