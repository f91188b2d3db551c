"""Split files: which example is in which split, to be published, compared, and used instead of the task's own rule.

`TASK.split.csv` has the columns id, patient, part (the split). `TASK.split.json` has the task and its version, the
examples' digest, the SHA-256 of the table, and for each split its images, patients and prevalence of the labels.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.data.image_files import RLE
from benchmark.data.index import SPLITS, Index, readable
from benchmark.errors import BenchmarkError
from benchmark.files import sha256_of, write_atomically
from benchmark.tasks.spec import TaskSpec
from benchmark.text import first_few, plural

COLUMNS = ["id", "patient", "part"]


def write_split_file(folder: Path, task: TaskSpec, index: Index, splits: pd.Series) -> tuple[Path, dict[str, Any]]:
    """Writes both files into `folder`; returns the path of the table and the content of the JSON file."""
    path = folder / f"{task.name}.split.csv"
    write_atomically(path, index.table.assign(part=splits)[COLUMNS].to_csv(index=False))
    facts = {
        "task": task.name,
        "version": task.version,
        "phantom": index.phantom,
        "data_digest": index.digest,
        "sha256": sha256_of(path),
        "split": task.split.model_dump(mode="json", exclude_none=True),
        "parts": split_facts(index, splits),
    }
    write_atomically(path.with_suffix(".json"), json.dumps(facts, indent=1) + "\n")
    return path, facts


def split_facts(index: Index, splits: pd.Series) -> dict[str, dict[str, Any]]:
    """Returns split -> its numbers of images and of patients, and each label's prevalence (a share of the images)."""
    return {split: _facts(index, index.table[splits == split]) for split in SPLITS}


def _facts(index: Index, table: pd.DataFrame) -> dict[str, Any]:
    facts: dict[str, Any] = {"images": len(table), "patients": int(table["patient"].nunique())}
    if "mask" in table:
        has_mask = ~table["mask"].isin(["", RLE])
        facts["prevalence"] = {name: round(float(has_mask.mean()), 6) for name in index.labels}
    else:
        positive = (table[list(index.labels)] == 1).where(table[list(index.labels)].notna())
        facts["prevalence"] = {name: round(float(share), 6) for name, share in positive.astype(float).mean().items()}
    return facts


def apply_split_file(index: Index, path: Path) -> Index:
    """Returns the index with the splits of a split file; examples that the file does not name are left out, with a note.

    Raises BenchmarkError for a table of another kind, an unknown split or example, and a patient in two splits.
    """
    with readable(path):
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    if missing := [name for name in ("id", "part") if name not in rows]:
        raise BenchmarkError(
            f"{path}: no column {first_few(missing)}; found {first_few(rows.columns, 6)}: wanted id,patient,part"
        )
    if (unknown_rows := rows.index[~rows["part"].isin(SPLITS)]).size:
        unknown_split = rows["part"][unknown_rows[0]]
        raise BenchmarkError(
            f"{path}: row {unknown_rows[0] + 2}: found the split {unknown_split!r}: wanted {', '.join(SPLITS)}"
        )
    if (duplicates := rows["id"][rows["id"].duplicated()]).size:
        raise BenchmarkError(f"{path}: {plural(len(duplicates), 'example')} listed twice: {first_few(duplicates)}")
    split_of = rows.set_index("id")["part"]
    known = index.table["id"]
    if unknown := sorted(set(split_of.index) - set(known)):
        raise BenchmarkError(
            f"{path}: {plural(len(unknown), 'example')} of it {'is' if len(unknown) == 1 else 'are'} not in "
            f"{index.task} ({first_few(unknown)}): it is a split of other data"
        )
    named = known.isin(split_of.index)
    table = index.table[named].reset_index(drop=True)
    table["part"] = table["id"].map(split_of)
    pairs = table[["patient", "part"]].drop_duplicates()
    if leaked := sorted(set(pairs["patient"][pairs["patient"].duplicated()])):
        raise BenchmarkError(f"{path}: {plural(len(leaked), 'patient')} in more than one split ({first_few(leaked)})")
    notes = [f"split by your own {path.name} (sha256 {sha256_of(path)[:8]}), not by the task's rule"]
    if not named.all():
        notes.append(f"{plural(int((~named).sum()), 'example')} not named there left out")
    return replace(index, table=table, notes=(*index.notes, *notes), own_split=True)
