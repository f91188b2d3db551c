"""The papers' printed numbers, as a frame: results/published/*.csv, one file per paper, one row per printed number.

The files have the numbers as they are printed (`81.70`, `0.8058`, `10.2` thousand); the frame has them in the units of
our own frame, scores in 0..1, and what was printed in further columns. results/published/README.md says what the columns
mean, where the numbers come from and which of them are misprinted. Torch-free.
"""

import csv
import math
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import Field, ValidationError, model_validator

from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.strict import StrictModel, explain
from benchmark.tasks.kinds import KINDS

# what a printed number is multiplied by
UNITS = {
    "share": Decimal(1),
    "percent": Decimal("0.01"),
    "epochs": Decimal(1),
    "thousand": Decimal(1_000),
    "million": Decimal(1_000_000),
}
# the units of what is no score, all else is printed as a share or in percent
_COUNTED = {"epochs": ("epochs",), "trainable_parameters": ("thousand", "million")}
_SCORED = ("share", "percent")
_SCORES = frozenset(metric for kind in KINDS.values() for metric in kind.metrics)

Number = Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]+)?$")]
Spread = Annotated[str, Field(pattern=r"^([0-9]+(\.[0-9]+)?)?$")]
Word = Annotated[str, Field(pattern=r"^\S+$")]


class PrintedNumber(StrictModel):
    """One row of a paper's file, every field as the file has it: a number that the paper prints, and what it is of.

    `task` is empty where a number is of no task. `model` is the zoo's entry, or a word of our own where it has none; a
    fusion is its members' names, sorted and joined by +. `title` is how the paper calls it. `subset`: empty for all
    training images, `50` for as many, `10%` for that share of them. After ± stands `sd`, over `n` runs, with n - `ddof`
    under the root (empty: not known), or `half_width`, where it is half of a 95 % interval.
    """

    paper: Word
    table: Word
    task: Annotated[str, Field(pattern=r"^\S*$")]
    model: Word
    title: Annotated[str, Field(min_length=1)]
    protocol: Word
    subset: Annotated[str, Field(pattern=r"^([1-9][0-9]*|[1-9][0-9]?(\.[0-9]+)?%)?$")]
    metric: str
    unit: str
    mean: Number
    sd: Spread
    ddof: Annotated[str, Field(pattern=r"^[01]?$")]
    half_width: Spread
    n: Annotated[str, Field(pattern=r"^([1-9][0-9]*)?$")]
    note: str

    @model_validator(mode="after")
    def _belongs_together(self) -> "PrintedNumber":
        known = (*_SCORES, *_COUNTED)
        if self.metric not in known and not (self.metric.startswith("auc:") and self.metric[4:].strip()):
            raise ValueError(f"no such metric {self.metric!r}, {did_you_mean(self.metric, known)}, or auc:LABEL")
        units = _COUNTED.get(self.metric, _SCORED)
        if self.unit not in units:
            raise ValueError(f"unit {self.unit!r} of {self.metric}: wanted {' or '.join(units)}")
        value = Decimal(self.mean) * UNITS[self.unit]
        if value > 1 and self.metric not in _COUNTED:
            raise ValueError(f"{self.metric} of {self.mean} {self.unit}: wanted one full score at most")
        if value < (-1 if "kappa" in self.metric else 0):
            raise ValueError(f"{self.metric} of {self.mean} {self.unit} is below its minimum")
        if self.sd and (self.half_width or not self.n or int(self.n) < 2):
            raise ValueError("an sd is over n runs, two at least, and there is no half_width")
        if self.ddof and not self.sd:
            raise ValueError("ddof without an sd")
        return self

    @property
    def key(self) -> tuple[str, ...]:
        """What identifies a number."""
        return (self.paper, self.table, self.task, self.model, self.protocol, self.subset, self.metric)


COLUMNS = (*PrintedNumber.model_fields, "printed_mean", "printed_sd")
_MEASURED = ("mean", "sd", "half_width")
_COUNTS = ("ddof", "n")


def read_published(folder: Path) -> pd.DataFrame:
    """Returns all papers' numbers, in the order of the files: one row each, in COLUMNS; no rows where there are no files.

    `mean`, `sd` and `half_width` are floats, scores in 0..1, epochs and parameters as counts, NaN where none is printed;
    `n` and `ddof` are nullable integers; all else is text, `printed_mean` and `printed_sd` as they are printed, in
    `unit`. The `sd` is the paper's own: with `ddof` 0 it is below the sample's by a factor of sqrt((n - 1) / n). Raises
    BenchmarkError naming the file and the line of the first row that cannot be taken.
    """
    files = sorted(folder.glob("*.csv"))
    frame = pd.DataFrame([_converted(row) for path in files for row in _read(path)], columns=list(COLUMNS))
    return frame.astype({**dict.fromkeys(_MEASURED, "float64"), **dict.fromkeys(_COUNTS, "Int64")})


def _read(path: Path) -> list[PrintedNumber]:
    names = list(PrintedNumber.model_fields)
    rows: list[PrintedNumber] = []
    lines: dict[tuple[str, ...], int] = {}
    line = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            _check_head(next(reader, []), names, path)
            for values in reader:
                line = reader.line_num
                if not values:
                    continue
                if len(values) != len(names):
                    raise BenchmarkError(
                        f"{path}, line {line}: {len(values)} fields, wanted {len(names)}: {', '.join(names)}"
                    )
                row = PrintedNumber(**dict(zip(names, values, strict=True)))
                if row.paper != path.stem:
                    raise BenchmarkError(f"{path}, line {line}: a row of {row.paper!r}: it belongs in {row.paper}.csv")
                if row.key in lines:
                    name = " ".join(filter(None, row.key))
                    raise BenchmarkError(f"{path}, line {line}: {name} is in line {lines[row.key]} too: remove one")
                lines[row.key] = line
                rows.append(row)
    except ValidationError as error:
        raise BenchmarkError(f"{path}, line {line}: {explain(error, PrintedNumber)}") from error
    except csv.Error as error:
        raise BenchmarkError(f"{path}, after line {line}: not CSV: {error}; restore the file") from error
    except (UnicodeDecodeError, OSError) as error:
        raise BenchmarkError(f"{path} cannot be read: {error}; wanted CSV in UTF-8") from error
    return rows


def _check_head(found: list[str], names: list[str], path: Path) -> None:
    if found == names:
        return
    if unknown := [name for name in found if name not in names]:
        raise BenchmarkError(f"{path}, line 1: unknown column {unknown[0]!r}: {did_you_mean(unknown[0], names)}")
    if missing := [name for name in names if name not in found]:
        raise BenchmarkError(f"{path}, line 1: column {missing[0]!r} is missing; wanted {','.join(names)}")
    raise BenchmarkError(f"{path}, line 1: columns {','.join(found)}; wanted, in this order, {','.join(names)}")


def _converted(row: PrintedNumber) -> dict[str, object]:
    values: dict[str, object] = row.model_dump()
    for name in _MEASURED:
        printed = getattr(row, name)
        # in decimals: 81.70 percent is 0.817, the float nearest to it
        values[name] = float(Decimal(printed) * UNITS[row.unit]) if printed else math.nan
    for name in _COUNTS:
        values[name] = int(getattr(row, name)) if getattr(row, name) else None
    return {**values, "printed_mean": row.mean, "printed_sd": row.sd}
