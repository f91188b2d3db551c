"""The base class of immutable data, checks of names, and messages about wrong YAML entries."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from benchmark.errors import did_you_mean
from benchmark.text import printable, shortened, shown

if TYPE_CHECKING:
    from typing_extensions import Self

MAX_NAME_LENGTH = 100  # letters: tables and figures must have room for it, and file names a hundred more
MAX_FAULTS = 3  # of one entry that a message lists
NAME = re.compile(r"\w[\w .:()+-]*")


def check_name(name: str) -> str:
    """Returns a name that may be a file's, a folder's, and stand in a table. Raises ValueError for any other."""
    if len(name) > MAX_NAME_LENGTH:
        raise ValueError(f"wanted a name of at most {MAX_NAME_LENGTH} letters, this has {len(name):,}")
    if not NAME.fullmatch(name) or name.endswith((" ", ".")):
        raise ValueError(
            "wanted a name of letters, digits and signs such as - _ . : that begins with a letter or digit"
        )
    return name


def is_name(name: str) -> bool:
    """Returns whether `check_name` takes it: only such a name may become a file's path."""
    try:
        return bool(check_name(name))
    except ValueError:
        return False


def check_shown(name: str) -> str:
    """Returns a name of a record, from wherever it comes, that can be shown and stand in a file's name. Raises ValueError."""
    if (
        not 0 < len(name) <= MAX_NAME_LENGTH
        or printable(name) != name
        or set(name) & {"/", "\\", "\n", "\t"}
        or name[0] == "."
    ):
        raise ValueError(f"wanted a name of 1 to {MAX_NAME_LENGTH} letters that begins with no dot and holds no slash")
    return name


Name = Annotated[str, AfterValidator(check_name)]
ShownName = Annotated[str, AfterValidator(check_shown)]


class StrictModel(BaseModel):
    """Immutable, keyword-only, unknown keys refused."""

    # defer_build: `benchmark --help` should not pay for schemas that it never uses
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> "Self":
        """Returns a copy with other values; what was computed of the fields (a key, a digest) is computed anew for it."""
        copied = super().model_copy(update=update, deep=deep)
        for name in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[name]
        return copied


def explain(error: ValidationError, model: type[StrictModel]) -> str:
    """Returns what is wrong, in one line: every fault with its key, the value found and what was wanted."""
    faults = []
    for fault in error.errors():
        place = shortened(".".join(str(part) for part in fault["loc"]))
        if fault["type"] == "extra_forbidden":
            faults.append(
                f"unknown key {place!r}: {did_you_mean(str(fault['loc'][-1]), _keys(model, fault['loc'][:-1]))}"
            )
        elif fault["type"] == "missing":
            faults.append(f"key {place!r} is missing")
        else:
            found = f", found {shown(fault['input'])}" if place else ""
            faults.append(f"{place + ': ' if place else ''}{fault['msg']}{found}")
    more = f" (and {len(faults) - MAX_FAULTS} more)" if len(faults) > MAX_FAULTS else ""
    return ", ".join(faults[:MAX_FAULTS]).replace("Value error, ", "") + more


def _keys(model: type[StrictModel], place: tuple[int | str, ...]) -> list[str]:
    """Returns the keys that a model knows at a place inside it."""
    inner: Any = model
    for part in place:
        field = getattr(inner, "model_fields", {}).get(part)
        inner = field.annotation if field else None
    return list(getattr(inner, "model_fields", {}))
