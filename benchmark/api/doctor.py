"""`doctor`: what works on this machine, and what a run would stumble over."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from benchmark.api.options import PathLike, find_places
from benchmark.cores import memory_limit, usable_cores
from benchmark.errors import BenchmarkError
from benchmark.workspace import Workspace

Verdict = Literal["PASS", "WARN", "FAIL"]
LOW_BYTES = 10e9  # free space below which a warning is due
MAX_SKEW = 5.0  # seconds between a file server's clock and this machine's
NUM_RACES = 200
NETWORK_FILE_SYSTEMS = ("nfs", "lustre", "beegfs", "gpfs", "ceph", "cifs", "smb", "fuse")
# each of two processes tries to be the first to create each file, and prints how often it was
_RACE = """
import os, sys
won = 0
for n in range(int(sys.argv[2])):
    try:
        os.close(os.open(f"{sys.argv[1]}/{n}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        won += 1
    except FileExistsError:
        pass
print(won)
"""


@dataclass(frozen=True)
class Finding:
    """One thing that was examined: what was found, and what to do where it is not well."""

    name: str
    verdict: Verdict
    found: str
    advice: str = ""


def doctor(
    *, results: PathLike | None = None, data: PathLike | None = None, project: PathLike | None = None
) -> list[Finding]:
    """Returns what was found out about this machine and the workspace: processor, memory, GPUs, file systems, locks, free
    space, caches, weights, data and versions. Writes only files that it removes again.

    >>> [finding.name for finding in bm.doctor() if finding.verdict == "FAIL"]  # doctest: +SKIP
    """
    workspace = find_places(results, data, project)
    return [finding for examine in EXAMINATIONS for finding in examine(workspace)]


def _versions(_: Workspace) -> Iterator[Finding]:
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "timm", "numpy", "filelock"))
    yield Finding("versions", "PASS", f"Python {platform.python_version()}, {packages}")


def _processor(_: Workspace) -> Iterator[Finding]:
    cores = usable_cores()
    limit = memory_limit()
    yield Finding("cores", "PASS", f"{cores} of {os.cpu_count()}")
    yield Finding(
        "memory",
        "PASS",
        "no limit of a control group" if limit is None else f"{limit / 1e9:.1f} GB, a control group's limit",
    )
    shared = Path("/dev/shm")  # noqa: S108 - only its size is asked for
    if shared.is_dir() and (size := shutil.disk_usage(shared).total) < 1e9:
        yield Finding("shared memory", "WARN", f"{size / 1e6:.0f} MB in {shared}", "give the container 1 GB or more")


def _gpus(_: Workspace) -> Iterator[Finding]:
    from benchmark.torch_setup import prepare_for_torch

    prepare_for_torch()
    import torch

    if not torch.cuda.is_available():
        yield Finding("GPU", "WARN", "torch finds none", "training on a CPU is slow; wanted a CUDA GPU and its driver")
        return
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        bf16 = "bf16" if facts.major >= 8 else "no bf16"  # compute capability 8.0, Ampere, has it in hardware
        yield Finding(f"GPU {number}", "PASS", f"{facts.name}, {facts.total_memory / 1e9:.0f} GB, {bf16}")


def _file_systems(workspace: Workspace) -> Iterator[Finding]:
    for name, folder in (("results", workspace.results), ("caches", workspace.home)):
        kind = _file_system_of(folder)
        where = f"{folder} ({kind})"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix=".doctor-") as made:
                yield _lock_finding(name, where, Path(made), is_shared=kind.startswith(NETWORK_FILE_SYSTEMS))
        except OSError as error:
            yield Finding(name, "FAIL", f"{where}: {error.strerror or error}", "wanted a folder that can be written")
            continue
        free = shutil.disk_usage(folder).free
        verdict: Verdict = "PASS" if free > LOW_BYTES else "WARN"
        yield Finding(
            f"space for {name}", verdict, f"{free / 1e9:,.1f} GB free", "" if verdict == "PASS" else "make space"
        )


def _lock_finding(name: str, where: str, folder: Path, *, is_shared: bool) -> Finding:
    """Races two processes for the same files, renames one, takes a lease and compares clocks."""
    from benchmark.locks import locked

    command = [sys.executable, "-c", _RACE, str(folder), str(NUM_RACES)]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    num_won = sum(int(racer.communicate()[0] or 0) for racer in racers)
    if num_won != NUM_RACES:
        advice = "two workers would train one cell: wanted another file system for it"
        return Finding(
            name, "FAIL", f"{where}: {num_won} of {NUM_RACES} files were created by one process alone", advice
        )
    (folder / "0").replace(folder / "renamed")
    try:
        with locked(folder / ".lease", timeout=0) as lease:
            lease.check()
    except BenchmarkError as error:
        return Finding(name, "FAIL", str(error), "wanted a folder that can be written")
    skew = abs((folder / "1").stat().st_mtime - time.time())
    if skew > MAX_SKEW and is_shared:
        return Finding(
            name, "WARN", f"{where}: its clock differs by {skew:.0f} s", "leases work all the same; dates may mislead"
        )
    return Finding(name, "PASS", f"{where}: locks work" + (", shared by machines" if is_shared else ""))


def _file_system_of(folder: Path) -> str:
    """Returns the type of the file system that a folder is on, as Linux names it."""
    around = [place for place in (folder, *folder.parents) if place.exists()]
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return "unknown"
    types = {place.replace("\\040", " "): kind for place, kind in mounts}
    return next((types[str(place)] for place in around if str(place) in types), "unknown")


def _weights(workspace: Workspace) -> Iterator[Finding]:
    from benchmark.zoo.catalog import read_catalog
    from benchmark.zoo.fetch import find_weight_file

    entries = read_catalog(workspace.project / "model_zoo.yaml", workspace.own_zoo).values()
    num_here, faults = 0, []
    for entry in entries:
        try:
            num_here += find_weight_file(entry, workspace.weights) is not None
        except BenchmarkError as error:
            faults.append(str(error))
    yield Finding("weights", "PASS", f"{num_here} of {len(entries)} in {workspace.weights}")
    for fault in faults:
        yield Finding("weights", "FAIL", fault, "benchmark zoo fetch")


def _data(workspace: Workspace) -> Iterator[Finding]:
    from benchmark.tasks.registry import known_tasks

    if workspace.data is None:
        yield Finding("data", "WARN", "BENCHMARK_DATA is not set", "point it at the folder of data sets")
        return
    tasks = known_tasks(workspace).values()
    here = sorted(task.name for task in tasks if (workspace.data / task.root).is_dir())
    verdict: Verdict = "PASS" if here else "WARN"
    yield Finding(
        "data", verdict, f"{len(here)} of {len(tasks)} tasks in {workspace.data}: {', '.join(here) or 'none'}"
    )
    caches = list(workspace.pixels.glob("*")) if workspace.pixels.is_dir() else []
    yield Finding("pixel caches", "PASS", f"{sum(path.is_dir() for path in caches)} in {workspace.pixels}")


EXAMINATIONS: tuple[Callable[[Workspace], Iterator[Finding]], ...] = (
    _versions,
    _processor,
    _gpus,
    _file_systems,
    _weights,
    _data,
)
