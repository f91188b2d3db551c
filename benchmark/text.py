"""How names, values and counts are written in messages: short, and safe to show on a terminal."""

import re
import reprlib
from collections.abc import Iterable

# of text from files and servers: what moves a terminal's cursor, colors it, turns the direction of writing, or cannot be
# encoded; line breaks and tabs may stay
CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff]|[\ud800-\udfff]"
)
MAX_SHOWN_LENGTH = 100  # letters of a name in a message
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = MAX_SHOWN_LENGTH


def printable(text: str) -> str:
    r"""Returns the text with control characters as escapes (`\x1b`), so that it can be shown wherever text can."""
    return CONTROLS.sub(lambda sign: sign[0].encode("unicode_escape").decode("ascii"), text)


def shortened(text: str, longest: int = MAX_SHOWN_LENGTH) -> str:
    """Returns the text, or its beginning where it is longer than that."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def shown(value: object) -> str:
    """Returns a value as Python writes it, shortened."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # a number of more digits than Python spells out
        return f"a {type(value).__name__} that is too long to show"


def first_few(names: Iterable[object], limit: int = 3) -> str:
    """`a, b, c (and 4 more)`: enough of a list to find the rest."""
    listed = [str(n) for n in names]
    more = f" (and {len(listed) - limit} more)" if len(listed) > limit else ""
    return ", ".join(shortened(printable(n)) for n in listed[:limit]) + more


def plural(count: int, noun: str, many: str | None = None) -> str:
    """`1 image`, `3 images`, `2 entries`."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"
