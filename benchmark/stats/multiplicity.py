"""Corrections of p values for the number of tests.

The family is all values of the array that the caller gives, of any shape. NaN (a test that could not be made) stays NaN
and is not counted. Both functions raise ValueError for a p value outside of 0..1.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Returns p values adjusted so that the chance of any false finding stays below the level.

    Holm 1979, step-down: the k-th smallest of m is multiplied by m - k + 1, and none is below the one before.
    """
    adjusted, known = _family(p)
    family = adjusted[known]
    order = np.argsort(family)
    remaining = np.arange(len(family), 0, -1)
    family[order] = np.minimum(1, np.maximum.accumulate(family[order] * remaining))
    adjusted[known] = family
    return adjusted


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """Returns p values adjusted so that the expected share of false findings among all findings stays below the level.

    Benjamini and Hochberg 1995, step-up.
    """
    adjusted, known = _family(p)
    if known.any():
        adjusted[known] = stats.false_discovery_control(adjusted[known], method="bh")
    return adjusted


def _family(p: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Returns a copy of the p values, and which of them are known."""
    values = np.array(p, dtype=float)
    known = ~np.isnan(values)
    if ((values[known] < 0) | (values[known] > 1)).any():
        raise ValueError("p: wanted values in 0..1")
    return values, known
