"""Kermany et al. 2018, chest radiographs of children, official layout:

train/NORMAL/IM-0115-0001.jpeg …                NORMAL2-IM-0383-0001.jpeg … (or NORMAL-1003233-0001.jpeg …)
train/PNEUMONIA/person1000_bacteria_2931.jpeg … person1000_virus_1681.jpeg … (or BACTERIA-1008087-0001.jpeg …),
                person447_virus_921_1.jpeg
test/…                                          as train
val/…                                           as train: sixteen images, in some copies set aside from train
"""

import re
from pathlib import Path

import pandas as pd

from benchmark.data.index import ReaderResult, listing, required
from benchmark.tasks.spec import TaskSpec
from benchmark.text import first_few, plural

# val is too small to choose an epoch by: it joins the training part, of which some is held out as for other tasks
SPLITS = {"train": "train", "val": "train", "test": "test"}
CLASSES = {"NORMAL": 0.0, "PNEUMONIA": 1.0}
# what comes first is the patient, the last number tells that patient's images apart
NAMES = {
    "NORMAL": re.compile(r"((?:NORMAL2-)?IM-\d+|NORMAL-\d+)-\d+(?:-\d+)?\.jpe?g"),
    "PNEUMONIA": re.compile(r"(person\d+|(?:BACTERIA|VIRUS)-\d+)[_-](?:(?:bacteria|virus)_)?\d+(?:_\d+)?\.jpe?g"),
}


def read(root: Path, task: TaskSpec) -> ReaderResult:
    """Returns one row per image. Patients are numbered anew in the test folder, so the split is part of the patient's
    name.

    An image whose name does not match NAMES counts as a patient of its own, and a note says how many do.
    """
    rows, others = [], []
    for folder, split in SPLITS.items():
        if folder == "val" and not (root / folder).is_dir():
            continue
        for name, label in CLASSES.items():
            place = required(root / folder / name, task.name, "unpack ChestXRay2017.zip there, its folders as they are")
            for file, path in sorted(listing(place, [".jpeg", ".jpg"]).items()):
                match = NAMES[name].fullmatch(file)
                if not match:
                    others.append(f"{folder}/{name}/{path}")
                rows.append(
                    {
                        "id": f"{folder}/{file.rpartition('.')[0]}",
                        "image": f"{folder}/{name}/{path}",
                        "patient": f"{split}/{match[1] if match else file}",
                        "part": split,
                        task.labels[0]: label,
                    }
                )
    note = f"{plural(len(others), 'image')} without a patient in the name ({first_few(others)}): each counts as its own"
    return ReaderResult(
        table=pd.DataFrame(rows, columns=["id", "image", "patient", "part", task.labels[0]]),
        notes=(note,) if others else (),
    )
