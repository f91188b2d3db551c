"""The one error that users see: what was found, what was wanted, what to do.

A `Fault` is a fault of the request, the data or the weights, never of this code: the command line prints
it in one line and exits with 2, and a cell that meets one becomes a failed record with that line as its reason.
"""

import difflib
import re
import reprlib
from collections.abc import Iterable
from itertools import islice

# of text from files and servers: what moves a terminal's cursor, colours it, turns the direction of writing, or cannot be
# encoded; line breaks and tabs may stay
CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff]|[\ud800-\udfff]"
)
LONGEST_SHOWN = 100  # letters of a name in a message
MOST_COMPARED = 2_000  # names that a misspelt one is compared with
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = LONGEST_SHOWN


class Fault(Exception):
    """One line that a user can act on, and, where a list belongs to it, further `lines`.

    Line breaks and control characters in them, of a file or a server, become escapes.
    """

    def __init__(self, message: str, *lines: str) -> None:
        super().__init__(*(printable(line).replace("\n", "\\n") for line in (message, *lines)))

    def __str__(self) -> str:
        return "\n".join(self.args)


def printable(text: str) -> str:
    r"""Returns the text with control characters as escapes (`\x1b`), so that it can be shown wherever text can."""
    return CONTROLS.sub(lambda sign: sign[0].encode("unicode_escape").decode("ascii"), text)


def shortened(text: str, longest: int = LONGEST_SHOWN) -> str:
    """Returns the text, or its beginning where it is longer than that."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def shown(value: object) -> str:
    """Returns a value as Python writes it, shortened."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # a number of more digits than Python spells out
        return f"a {type(value).__name__} that is too long to show"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown `name`: the nearest known names, or all of them where few."""
    known = sorted(shortened(k) for k in islice(known, MOST_COMPARED))
    lowered = {k.lower(): k for k in known}
    name = shortened(name)
    near = [lowered[n] for n in difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.6)]
    if near:
        return f"did you mean {' or '.join(near)}?"
    if len(known) <= 24:
        return f"known: {', '.join(known) or 'none'}"
    return f"known: {', '.join(known[:20])} and {len(known) - 20} more"


def first_few(names: Iterable[object], limit: int = 3) -> str:
    """`a, b, c (and 4 more)`: enough of a list to find the rest."""
    listed = [str(n) for n in names]
    more = f" (and {len(listed) - limit} more)" if len(listed) > limit else ""
    return ", ".join(shortened(printable(n)) for n in listed[:limit]) + more


def plural(count: int, noun: str, many: str | None = None) -> str:
    """`1 image`, `3 images`, `2 entries`."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"
