"""Published numbers beside ours, as the page shows them."""

from dataclasses import dataclass
from typing import Any

from benchmark.report.against_paper import PaperComparison
from benchmark.report.format import UNKNOWN, difference, known, number, score, starred_p
from benchmark.report.page.board import address
from benchmark.report.page.contents import Contents


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A published number and ours, as text."""

    where: str
    task: str
    model: str
    printed: str
    href: str
    told: str
    published: str
    ours: str
    difference: str
    p: str
    note: str


def beside(contents: Contents) -> list[Beside]:
    """Returns one line per comparison with a paper."""
    return [_line(one) for one in contents.comparisons]


def has_official(contents: Contents) -> bool:
    """Returns whether any result is of other images than phantoms."""
    return bool((contents.frame["data"] != "phantom").any())


def _line(one: PaperComparison) -> Beside:
    ours, printed, gap = one.ours, one.printed, one.difference
    notes = [f"not tested, ours differ: {'; '.join(one.differs)}"] if one.differs else []
    if not one.differs and one.other_test_part:
        notes.append("another random split: the error allows for other test images")
    notes += [str(printed["note"])] if known_text(printed["note"]) else []
    return Beside(
        where=f"{printed['paper']}, table {printed['table']}",
        task=str(printed["task"]),
        model=str(ours["model"]),
        printed=str(printed["title"]),
        href=address(str(ours["block"]), str(ours["model"])),
        told=", ".join(filter(None, [f"100 × {ours['metric']}", str(ours["protocol"]), str(ours["setting"])])),
        published=_told(printed),
        ours=_told(ours),
        difference=difference(gap.mean, gap.low, gap.high),
        p=starred_p(gap.p),
        note=". ".join(notes),
    )


def known_text(value: Any) -> bool:
    """Returns whether a cell of a table holds text."""
    return isinstance(value, str) and bool(value)


def _told(row: Any) -> str:
    mean, sd, n = (known(row[name]) for name in ("mean", "sd", "n"))
    if mean is None:
        return UNKNOWN
    return score(mean, sd) + ("" if n is None else f" ({number(n, 0)})")
