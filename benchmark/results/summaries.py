"""What `status` needs of each record, in a cache: a record is read and verified once, and again when its file changes."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmark.checksums import read_json, write_json
from benchmark.errors import BenchmarkError
from benchmark.files import digest_of
from benchmark.results.record import RunRecord
from benchmark.results.store import Store
from benchmark.results.verification import RECORD, record_in

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class CellSummary:
    """A cell and how it ended. `judging`: the digest of the metrics that gave its scores."""

    task: str
    key: str
    model: str
    protocol: str
    title: str
    status: str
    attempt: int
    finished: str
    error: str
    judging: str
    notes: list[str]

    @classmethod
    def of(cls, record: RunRecord) -> "CellSummary":
        """Returns the summary of a record."""
        cell = record.cell
        names: dict[str, Any] = {"task": cell.task, "model": cell.model, "protocol": cell.protocol, "title": cell.title}
        facts = {name: getattr(record, name) for name in ("key", "status", "attempt", "finished", "error", "judging")}
        return cls(**names, **facts, notes=record.notes if record.status == "failed" else [])


def summaries(store: Store, caches: Path) -> Iterator[CellSummary | str]:
    """Yields the summaries of all records in order of task and key, and a line for each record that is damaged.

    `caches`: the folder in which the cache is kept; without it, or where it cannot be written, all records are read.
    """
    path = caches / f"{digest_of(str(store.root))[:16]}.json"
    known: dict[str, Any] = (read_json(path) or {}).get(f"format {FORMAT}", {})
    now: dict[str, Any] = {}
    for folder in store.folders():
        try:
            stat = (folder / RECORD).stat()
        except OSError:
            continue
        place = f"{folder.parent.name}/{folder.name}"
        version = [stat.st_mtime_ns, stat.st_size, stat.st_ino]
        entry = known.get(place)
        if entry is None or entry["version"] != version or not _has_files(folder, entry["sizes"]):
            try:
                record = record_in(folder)
            except BenchmarkError as fault:
                yield str(fault)
                continue
            sizes = {name: file.size for name, file in record.files.items()}
            entry = {"version": version, "sizes": sizes, "summary": asdict(CellSummary.of(record))}
        now[place] = entry
        yield CellSummary(**entry["summary"])
    if now != known:
        _write(path, now)


def _has_files(folder: Path, sizes: dict[str, int]) -> bool:
    try:
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except OSError:
        return False


def _write(path: Path, entries: dict[str, Any]) -> None:
    with suppress(OSError, BenchmarkError):
        write_json(path, {f"format {FORMAT}": entries})
