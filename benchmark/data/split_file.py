"""A split as a file: which example is in which part, to be published, compared, and used instead of the task's own.

`TASK.split.csv`: id, patient, part. `TASK.split.json` beside it: the task and its version, the examples' digest, the
sha256 of the table, and each part's images, patients and prevalence of the labels.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.data.image_files import RLE
from benchmark.data.index import PARTS, Index, readable
from benchmark.errors import BenchmarkError
from benchmark.files import sha256_of, write_whole
from benchmark.tasks.spec import TaskSpec
from benchmark.text import first_few, plural

COLUMNS = ["id", "patient", "part"]


def write_split_file(folder: Path, task: TaskSpec, index: Index, parts: pd.Series) -> tuple[Path, dict[str, Any]]:
    """Write a split into `folder`: the table's path, and what the file beside it tells."""
    path = folder / f"{task.name}.split.csv"
    write_whole(path, index.table.assign(part=parts)[COLUMNS].to_csv(index=False))
    told = {
        "task": task.name,
        "version": task.version,
        "phantom": index.phantom,
        "data_digest": index.digest,
        "sha256": sha256_of(path),
        "split": task.split.model_dump(mode="json", exclude_none=True),
        "parts": split_facts(index, parts),
    }
    write_whole(path.with_suffix(".json"), json.dumps(told, indent=1) + "\n")
    return path, told


def split_facts(index: Index, parts: pd.Series) -> dict[str, dict[str, Any]]:
    """Part -> its numbers of images and patients, and the share of images that have each label."""
    return {part: _told(index, index.table[parts == part]) for part in PARTS}


def _told(index: Index, table: pd.DataFrame) -> dict[str, Any]:
    told: dict[str, Any] = {"images": len(table), "patients": int(table["patient"].nunique())}
    if "mask" in table:
        marked = ~table["mask"].isin(["", RLE])
        told["prevalence"] = {name: round(float(marked.mean()), 6) for name in index.labels}
    else:
        positive = (table[list(index.labels)] == 1).where(table[list(index.labels)].notna())
        told["prevalence"] = {name: round(float(share), 6) for name, share in positive.astype(float).mean().items()}
    return told


def apply_split_file(index: Index, path: Path) -> Index:
    """The index, parted as a manifest says; examples that it does not name are left out, and a note tells.

    Raises BenchmarkError for a table of another kind, an unknown part or example, and a patient in two parts.
    """
    with readable(path):
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    if absent := [name for name in ("id", "part") if name not in rows]:
        raise BenchmarkError(
            f"{path}: no column {first_few(absent)}; found {first_few(rows.columns, 6)}: wanted id,patient,part"
        )
    if (odd := rows.index[~rows["part"].isin(PARTS)]).size:
        found = rows["part"][odd[0]]
        raise BenchmarkError(f"{path}: row {odd[0] + 2}: found the part {found!r}: wanted {', '.join(PARTS)}")
    if (twice := rows["id"][rows["id"].duplicated()]).size:
        raise BenchmarkError(f"{path}: {plural(len(twice), 'example')} listed twice: {first_few(twice)}")
    part_of = rows.set_index("id")["part"]
    known = index.table["id"]
    if unknown := sorted(set(part_of.index) - set(known)):
        raise BenchmarkError(
            f"{path}: {plural(len(unknown), 'example')} of it {'is' if len(unknown) == 1 else 'are'} not in "
            f"{index.task} ({first_few(unknown)}): it is a split of other data"
        )
    named = known.isin(part_of.index)
    table = index.table[named].reset_index(drop=True)
    table["part"] = table["id"].map(part_of)
    parted = table[["patient", "part"]].drop_duplicates()
    if leaked := sorted(set(parted["patient"][parted["patient"].duplicated()])):
        raise BenchmarkError(f"{path}: {plural(len(leaked), 'patient')} in more than one part ({first_few(leaked)})")
    notes = [f"parted by your own {path.name} (sha256 {sha256_of(path)[:8]}), not by the task's split"]
    notes += [f"{plural(int((~named).sum()), 'example')} not named there left out"] * bool((~named).any())
    return replace(index, table=table, notes=(*index.notes, *notes), own_split=True)
