"""What was run, on what and in what environment; what was left out; whose weights and images these are."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from benchmark.reporting.data import ReportData
from benchmark.reporting.format import UNKNOWN, known
from benchmark.reporting.frame import model_notes
from benchmark.reporting.tables import data_sentences, what_varies


@dataclass(frozen=True, kw_only=True)
class TaskFacts:
    """A task as it was run, one for each data digest; `images`: how many train, validate and test."""

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
    """Weights or images that others made: their license and how to cite them."""

    name: str
    description: str
    licence: str
    cite: str


def task_facts(data: ReportData) -> list[TaskFacts]:
    """Returns the tasks in the frame's order; numbers of images are a range where splits differ between runs."""
    lines = []
    for _, runs in data.frame.groupby(["task", "data", "data_digest"], sort=False):
        first = runs.iloc[0]
        task = data.tasks.get(first["task"])
        settings = runs[["protocol", "setting"]].drop_duplicates().itertuples(index=False)
        images = [[data.records[key].num_examples.get(part) for key in runs["key"]] for part in PARTS]
        lines.append(
            TaskFacts(
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


def notes(data: ReportData) -> list[str]:
    """Returns what a reader must know before any number: what the runs share, data that are not the whole published set,
    and what names stand for that are told apart by a digest.
    """
    others = data.frame[data.frame["data"] != "phantom"]  # a banner speaks of the phantoms
    cells = [record.cell for record in data.frame_records]
    return [*filter(None, [what_varies(data.frame)]), *data_sentences(others), *model_notes(cells)]


def _completeness(row: "pd.Series[Any]") -> str:
    """Returns `1,605 of 112,120 images`; how many are here, where the data set's own number is not known."""
    if pd.isna(row["num_images"]):
        return ""
    here = f"{row['num_images']:,.0f}"
    return f"{here} images" if pd.isna(row["num_published"]) else f"{here} of {row['num_published']:,.0f} images"


PARTS = ("train", "validation", "test")


def phantom_tasks(frame: pd.DataFrame) -> list[str]:
    """Returns the tasks that have results of phantom images."""
    return list(dict.fromkeys(frame.loc[frame["data"] == "phantom", "task"]))


def environments(data: ReportData) -> list[tuple[dict[str, str], int]]:
    """Returns each environment and how many runs it had, the commonest first."""
    counts = Counter(tuple(record.environment.items()) for record in data.frame_records)
    return [(dict(environment), num) for environment, num in counts.most_common()]


def model_sources(models: Iterable[str], data: ReportData) -> list[Source]:
    """Returns the zoo's entries behind the models, each once."""
    names = [name for model in models for name in data.members[model]]
    sources = []
    for name in dict.fromkeys(names):
        entry = data.entries.get(name)
        if entry is not None:
            description = ", ".join(filter(None, [entry.title, *entry.pretrained_on]))
            sources.append(Source(name=name, description=description, licence=entry.licence, cite=entry.cite))
        else:
            description = "fresh weights" if name.startswith("scratch") else "not in the zoo any more"
            sources.append(Source(name=name, description=description, licence=UNKNOWN, cite=UNKNOWN))
    return sources


def task_sources(data: ReportData) -> list[Source]:
    """Returns the tasks of the frame, each once."""
    sheets = [data.tasks[name] for name in dict.fromkeys(data.frame["task"]) if name in data.tasks]
    return [
        Source(name=t.name, description=t.title, licence=t.licence or UNKNOWN, cite=t.cite or UNKNOWN) for t in sheets
    ]


def seeds_text(frame: pd.DataFrame) -> str:
    """Returns `seeds 0 to 9`, or the list of the seeds."""
    seeds = sorted(set(frame["seed"]))
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    is_range = seeds == list(range(seeds[0], seeds[-1] + 1))
    return f"seeds {seeds[0]} to {seeds[-1]}" if is_range else f"seeds {', '.join(map(str, seeds))}"


def _range(counts: list[int | None]) -> str:
    numbers = [number for count in counts if (number := known(count)) is not None]
    if not numbers:
        return UNKNOWN
    low, high = min(numbers), max(numbers)
    return f"{low:,.0f}" if low == high else f"{low:,.0f}–{high:,.0f}"
