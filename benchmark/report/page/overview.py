"""What was run, on what and in what environment; what was left out; whose weights and images these are."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pandas as pd

from benchmark.report.format import UNKNOWN, known
from benchmark.report.frame import model_notes
from benchmark.report.page.board import in_zoo_order
from benchmark.report.page.contents import Contents
from benchmark.report.tables import data_sentences, what_varies


@dataclass(frozen=True, kw_only=True)
class OnWhat:
    """A task as it was run: one line per data digest."""

    task: str
    title: str
    kind: str
    metric: str
    data: str
    digest: str
    completeness: str
    images: tuple[str, str, str]
    settings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Whose weights or images: what its licence says and how it is cited."""

    name: str
    what: str
    licence: str
    cite: str


def tasks_run(contents: Contents) -> list[OnWhat]:
    """In the frame's order; numbers of images are the first record's, a range where splits differ."""
    counts = {record.key: record.num_examples for record in contents.records}
    lines = []
    for _, runs in contents.frame.groupby(["task", "data", "data_digest"], sort=False):
        first = runs.iloc[0]
        task = contents.tasks.get(first["task"])
        settings = runs[["protocol", "setting"]].drop_duplicates().itertuples(index=False)
        images = [[counts[key].get(part) for key in runs["key"] if key in counts] for part in PARTS]
        lines.append(
            OnWhat(
                task=first["task"],
                title=first["title"],
                kind=task.kind if task else UNKNOWN,
                metric=first["metric"],
                data=first["data"],
                digest=first["data_digest"],
                completeness=_completeness(first),
                images=(_range(images[0]), _range(images[1]), _range(images[2])),
                settings=tuple(dict.fromkeys(f"{p}: {s}" if s else p for p, s in settings)),
            )
        )
    return lines


def notes(contents: Contents) -> list[str]:
    """Returns what a reader must know before any number: what the runs share, data that are not the whole published set,
    and what names stand for that are told apart by a digest.
    """
    others = contents.frame[contents.frame["data"] != "phantom"]  # phantoms have a banner of their own
    shown = set(contents.frame["key"])
    cells = [record.cell for record in contents.records if record.key in shown]
    return [*filter(None, [what_varies(contents.frame)]), *data_sentences(others), *model_notes(cells)]


def _completeness(row: "pd.Series[Any]") -> str:
    """`1,605 of 112,120 images`; how many there are, where the data set's own number is not known."""
    if pd.isna(row["num_images"]):
        return ""
    here = f"{row['num_images']:,.0f}"
    return f"{here} images" if pd.isna(row["num_published"]) else f"{here} of {row['num_published']:,.0f} images"


PARTS = ("train", "validation", "test")


def phantom_tasks(contents: Contents) -> tuple[list[str], bool]:
    """Tasks with results of phantom images, and whether all results are."""
    phantom = contents.frame["data"] == "phantom"
    return list(dict.fromkeys(contents.frame.loc[phantom, "task"])), bool(phantom.all())


def environments(contents: Contents) -> list[tuple[dict[str, str], int]]:
    """Each environment and how many runs it had, the commonest first."""
    held = set(contents.frame["key"])
    counted = Counter(tuple(record.environment.items()) for record in contents.records if record.key in held)
    return [(dict(environment), num) for environment, num in counted.most_common()]


def models_cited(contents: Contents) -> list[Source]:
    """The zoo's entries behind the frame's models, each once."""
    names = [name for model in in_zoo_order(contents.frame["model"], contents) for name in contents.members[model]]
    found = []
    for name in dict.fromkeys(names):
        entry = contents.entries.get(name)
        if entry is not None:
            what = ", ".join(filter(None, [entry.title, *entry.pretrained_on]))
            found.append(Source(name=name, what=what, licence=entry.licence, cite=entry.cite))
        else:
            what = "fresh weights" if name.startswith("scratch") else "not in the zoo any more"
            found.append(Source(name=name, what=what, licence=UNKNOWN, cite=UNKNOWN))
    return found


def tasks_cited(contents: Contents) -> list[Source]:
    """The tasks of the frame, each once."""
    sheets = [contents.tasks[name] for name in dict.fromkeys(contents.frame["task"]) if name in contents.tasks]
    return [Source(name=t.name, what=t.title, licence=t.licence or UNKNOWN, cite=t.cite or UNKNOWN) for t in sheets]


def spans(frame: pd.DataFrame) -> str:
    """`seeds 0 to 9`, or the seeds that there are."""
    seeds = sorted(set(frame["seed"]))
    whole = len(seeds) > 1 and seeds == list(range(seeds[0], seeds[-1] + 1))
    return f"seeds {seeds[0]} to {seeds[-1]}" if whole else f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def _range(counts: list[int | None]) -> str:
    found = [number for count in counts if (number := known(count)) is not None]
    if not found:
        return UNKNOWN
    low, high = min(found), max(found)
    return f"{low:,.0f}" if low == high else f"{low:,.0f}–{high:,.0f}"
