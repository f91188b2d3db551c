"""The one error that users see: what was found, what was wanted, what to do.

A `Fault` is a fault of the request, the data or the weights, never of this code: the command line prints
it in one line and exits with 2, and a cell that meets one becomes a failed record with that line as its reason.
"""

import difflib
from collections.abc import Iterable


class Fault(Exception):
    """One line that a user can act on."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown `name`: the nearest known names, or all of them where few."""
    known = sorted(known)
    lowered = {k.lower(): k for k in known}
    near = [lowered[n] for n in difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.6)]
    if near:
        return f"did you mean {' or '.join(near)}?"
    if len(known) <= 24:
        return f"known: {', '.join(known) or 'none'}"
    return f"known: {', '.join(known[:20])} and {len(known) - 20} more"


def first_few(names: Iterable[object], limit: int = 3) -> str:
    """`a, b, c (and 4 more)`: enough of a list to find the rest."""
    shown = [str(n) for n in names]
    more = f" (and {len(shown) - limit} more)" if len(shown) > limit else ""
    return ", ".join(shown[:limit]) + more


def plural(count: int, noun: str, many: str | None = None) -> str:
    """`1 image`, `3 images`, `2 entries`."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"
