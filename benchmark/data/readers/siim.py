"""SIIM-ACR Pneumothorax Segmentation (2019), official layout:

    dicom-images-train/<study>/<series>/<image>.dcm   1024 x 1024, JPEG baseline
    train-rle.csv                                      ImageId, EncodedPixels; -1: none; several rows for one image

Some copies of the table have no header, a blank before `EncodedPixels`, or a byte-order mark.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pydicom

from benchmark.data import dicom
from benchmark.data import image_files as pixels
from benchmark.data.index import ReaderResult, listing, readable, required
from benchmark.errors import BenchmarkError
from benchmark.tasks.spec import TaskSpec
from benchmark.text import first_few

TAGS = ["PatientID", "PatientSex", "PatientAge", "ViewPosition"]


def read(root: Path, task: TaskSpec) -> ReaderResult:
    """Returns one row per image of the table, its runs joined; patient, sex, age and view come from the DICOM headers."""
    table_path = required(root / "train-rle.csv", task.name, f"it comes with the data set: {task.get}")
    folder = required(root / "dicom-images-train", task.name, "unpack the data set's dicom-images-train folder there")
    encodings = _encodings(table_path)
    files = {name.removesuffix(".dcm"): f"{folder.name}/{path}" for name, path in listing(folder, [".dcm"]).items()}
    if missing := sorted(set(encodings) - set(files)):
        raise BenchmarkError(
            f"{task.name}: {len(missing):,} of {len(encodings):,} images of {table_path.name} are missing under {folder} "
            f"({first_few(missing)}): the copy is not complete; {task.get}"
        )
    names = sorted(encodings)
    with ThreadPoolExecutor(4) as pool:
        headers = list(pool.map(_header, [root / files[name] for name in names]))
    table = pd.DataFrame(headers, columns=["patient", "sex", "age", "view"])
    table.insert(0, "id", names)
    table.insert(1, "image", [files[name] for name in names])
    table["patient"] = table["patient"].where(table["patient"] != "", table["id"])
    table["part"] = ""
    table["mask"] = [pixels.RLE + encodings[name] for name in names]
    unlisted = len(files) - len(names)
    note = f"{unlisted:,} images have no row in {table_path.name} and are left out"
    return ReaderResult(table=table, notes=(note,) if unlisted else ())


def _encodings(path: Path) -> dict[str, str]:
    """Returns image -> its run lengths, several joined by |, "" where there is no pneumothorax."""
    with readable(path):
        rows = pd.read_csv(path, header=None, dtype=str, encoding="utf-8-sig", keep_default_na=False)
    if rows.shape[1] != 2:
        raise BenchmarkError(f"{path}: wanted the columns ImageId,EncodedPixels, found {rows.shape[1]} columns")
    if str(rows.iloc[0, 0]).strip() == "ImageId":
        rows = rows.iloc[1:]
    joined: dict[str, list[str]] = {}
    for name, encoding in zip(rows[0].str.strip(), rows[1].str.strip(), strict=True):
        joined.setdefault(name, []).extend([encoding] if encoding not in ("-1", "") else [])
    return {name: "|".join(runs) for name, runs in joined.items()}


def _header(path: Path) -> tuple[str, str, str, str]:
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=TAGS)
    except (pydicom.errors.InvalidDicomError, OSError, ValueError, EOFError, *dicom.DAMAGED_DICOM) as error:
        raise BenchmarkError(
            f"{path}: not a DICOM file ({path.stat().st_size:,} bytes): copy it again from its source"
        ) from error
    patient, sex, age, view = (str(header.get(tag, "") or "") for tag in TAGS)
    return patient, sex, age.rstrip("Y").lstrip("0"), view
