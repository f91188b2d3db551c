"""The one error that users see: what was found, what was wanted, what to do.

A `BenchmarkError` is a fault of the request, the data or the weights, never of this code: the command line prints
it in one line and exits with 2, and a cell that meets one becomes a failed record with that line as its reason.
"""

import difflib
from collections.abc import Iterable
from itertools import islice

from benchmark.text import printable, shortened

MAX_COMPARED = 2_000  # names that a misspelt one is compared with


class BenchmarkError(Exception):
    """One line that a user can act on, and, where a list belongs to it, further `lines`.

    Line breaks and control characters in them, of a file or a server, become escapes.
    """

    def __init__(self, message: str, *lines: str) -> None:
        super().__init__(*(printable(line).replace("\n", "\\n") for line in (message, *lines)))

    def __str__(self) -> str:
        return "\n".join(self.args)


def install_extra(extra: str) -> str:
    """Returns the end of a sentence about a package that is not installed. It names no command, since that is another one in
    a checkout, from a wheel and from an index, where a distribution of the same name could be anybody's.
    """
    return f"install the extra `{extra}` of medical-transfer-benchmark"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns the end of a sentence about an unknown `name`: the nearest known names, or all of them where few."""
    known = sorted(shortened(k) for k in islice(known, MAX_COMPARED))
    lowered = {k.lower(): k for k in known}
    name = shortened(name)
    near = [lowered[n] for n in difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.6)]
    if near:
        return f"did you mean {' or '.join(near)}?"
    if len(known) <= 24:
        return f"known: {', '.join(known) or 'none'}"
    return f"known: {', '.join(known[:20])} and {len(known) - 20} more"
