"""Seconds and peak memory of indexing data sets of full size: ChestX-ray14 (112,120 images), RSNA PE (1.79 million slices).

Tables of full length and a file of no bytes for each image are written to a temporary folder, then read in a process of
its own: `read_index`, `assign_parts`, the index's digest. No data is needed. Of the images' files one layout has as
many inodes as images: 1.8 million, deleted at the end.

Nothing here is a test: figures are printed, never asserted.
"""

import argparse
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

CHECKOUT = Path(__file__).parent.parent.parent
FILES_A_FOLDER = 10_000  # ChestX-ray14 comes in twelve folders


def main() -> None:
    """Write each layout, read it in a process of its own, print what that took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default=",".join(LAYOUTS), help=f"of {','.join(LAYOUTS)} (default: all)")
    parser.add_argument("--share", type=float, default=1.0, help="of the full size (default: 1)")
    parser.add_argument("--work", type=Path, help="folder in which the temporary one is made (default: the system's)")
    parser.add_argument("--child", nargs=2, metavar=("TASK", "DATA"), help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.child:
        print(json.dumps(measured(*told.child)))
        return
    for name in told.tasks.split(","):
        with tempfile.TemporaryDirectory(prefix="index-size-", dir=told.work) as work:
            started = time.perf_counter()
            LAYOUTS[name](Path(work), told.share)
            written = time.perf_counter() - started
            ran = subprocess.run(
                [sys.executable, __file__, "--child", name, work], capture_output=True, text=True, check=False
            )
        if ran.returncode:
            raise SystemExit(ran.stderr)
        print(f"{name}: {' · '.join(f'{key} {value}' for key, value in json.loads(ran.stdout).items())}", flush=True)
        print(f"  (written in {written:.1f} s)", flush=True)


def measured(name: str, data: str) -> dict[str, Any]:
    """What indexing takes in this process, which has done nothing before."""
    from benchmark.data.registry import read_index
    from benchmark.data.splitting import assign_splits
    from benchmark.tasks.registry import read_task

    task = read_task(CHECKOUT / "tasks" / f"{name}.yaml")
    before = peak_mb()
    clock = [time.perf_counter()]
    index = read_index(task, Path(data))
    clock.append(time.perf_counter())
    parts = assign_splits(index, task.split)
    clock.append(time.perf_counter())
    digest = index.digest
    clock.append(time.perf_counter())
    seconds = [f"{end - start:.1f} s" for start, end in itertools.pairwise(clock)]
    return {
        "images": f"{len(index.table):,}",
        "patients": f"{index.table['patient'].nunique():,}",
        "test": f"{(parts == 'test').sum():,}",
        **dict(zip(("read", "parts", "digest"), seconds, strict=True)),
        "peak": f"{peak_mb():,.0f} MB ({before:,.0f} MB of them before)",
        "is": digest,
    }


def peak_mb() -> float:
    """This process's largest resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_chestxray14(data: Path, share: float) -> None:
    """112,120 images of 30,805 patients, one finding in two."""
    from benchmark.tasks.registry import read_task

    task = read_task(CHECKOUT / "tasks" / "DXC14.yaml")
    root, rng = data / task.root, np.random.default_rng(0)
    num, num_patients = round(112_120 * share), max(10, round(30_805 * share))
    # each patient once, the rest at random; then numbered within the patient
    patient = np.sort(np.concatenate([np.arange(num_patients), rng.integers(0, num_patients, num - num_patients)]))
    follow_up = pd.Series(patient).groupby(patient).cumcount()
    names = [f"{p + 1:08d}_{f:03d}.png" for p, f in zip(patient, follow_up, strict=True)]
    rows = {
        "Image Index": names,
        "Finding Labels": rng.choice(["No Finding", *task.labels], num, p=[0.44, *[0.04] * len(task.labels)]),
        "Patient ID": patient + 1,
        "Patient Age": rng.integers(1, 95, num),
        "Patient Gender": rng.choice(["F", "M"], num),
        "View Position": rng.choice(["PA", "AP"], num),
    }
    for number, name in enumerate(names):
        folder = root / f"images_{number // FILES_A_FOLDER + 1:03d}" / "images"
        if number % FILES_A_FOLDER == 0:
            folder.mkdir(parents=True)
        (folder / name).touch()
    pd.DataFrame(rows).to_csv(root / "Data_Entry_2017_v2020.csv", index=False)
    training = patient < num_patients * 0.77
    for list_name, kept in (("train_val_list.txt", training), ("test_list.txt", ~training)):
        (root / list_name).write_text("\n".join(np.array(names)[kept]) + "\n")


def write_rsna_pe(data: Path, share: float) -> None:
    """7,000 studies of 256 slices, 1,792,000 in all, named by 12 hex digits as the official ones are."""
    from benchmark.data.phantoms.rsna_pe import OF_EXAM
    from benchmark.data.readers.rsna_pe import FOLDER, SERIES, SLICE, STUDY, TABLE
    from benchmark.tasks.registry import read_task

    task = read_task(CHECKOUT / "tasks" / "ECC.yaml")
    root, rng = data / task.root, np.random.default_rng(0)
    num_studies, num_slices = max(10, round(7000 * share)), 256
    root.mkdir(parents=True)
    with (root / TABLE).open("w") as table:
        table.write(",".join([STUDY, SERIES, SLICE, *task.labels, *OF_EXAM]) + "\n")
        for number in range(num_studies):
            study, series = rng.bytes(6).hex(), rng.bytes(6).hex()
            folder = root / FOLDER / study / series
            folder.mkdir(parents=True)
            ill = number % 3 == 0
            for place in range(num_slices):
                name = rng.bytes(6).hex()
                (folder / f"{name}.dcm").touch()
                shown = int(ill and 80 <= place < 130)
                table.write(f"{study},{series},{name},{shown}," + ",".join("0" * len(OF_EXAM)) + "\n")


LAYOUTS: dict[str, Callable[[Path, float], None]] = {"DXC14": write_chestxray14, "ECC": write_rsna_pe}

if __name__ == "__main__":
    main()
