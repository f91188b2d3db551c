"""The share of the machine that this process may use: processor cores and memory.

A cluster or a container often gives a job less than the machine has. The limits are CPU affinity, SLURM's variables and the
quotas of Linux control groups (version 1 and 2); the smallest one counts. A worker that takes the whole machine instead
shares each core with others and becomes many times slower.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_NO_LIMIT = 1 << 60  # bytes; version 1 writes such a number where there is no limit
_V1_QUOTA, _V1_PERIOD = "cpu.cfs_quota_us", "cpu.cfs_period_us"


@dataclass(frozen=True)
class Cores:
    """The number of cores that this process may use, and what limits it (`the machine` where nothing does)."""

    count: int
    limit: str

    def __str__(self) -> str:
        return f"{self.count} {'core' if self.count == 1 else 'cores'} ({self.limit})"


def usable_cores(environment: Mapping[str, str] = os.environ, root: Path = Path("/")) -> Cores:
    """Returns the smallest limit on cores, at least 1. `root`: the folder in which `proc` and `sys` lie."""
    found = [Cores(os.cpu_count() or 1, "the machine")]
    if hasattr(os, "sched_getaffinity"):
        found.append(Cores(len(os.sched_getaffinity(0)), "CPU affinity"))
    # SLURM_CPUS_PER_TASK is absent where --cpus-per-task was not given
    name = next((name for name in ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE") if environment.get(name)), "")
    if name and environment[name].isdecimal():
        found.append(Cores(int(environment[name]), name))
    found += [Cores(int(quota), "the control group's quota") for quota in _cpu_quotas(root)]
    count = min(cores.count for cores in found)
    first = next(cores for cores in found if cores.count == count)
    return Cores(max(1, first.count), first.limit)


def memory_limit(root: Path = Path("/")) -> int | None:
    """Returns the control groups' limit on this process's memory in bytes; None where there is none."""
    limits = [
        int(text)
        for folder in _group_folders(root, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
        if (text := _text(folder / name)).isdecimal()
    ]
    return min((limit for limit in limits if limit < _NO_LIMIT), default=None)


def _cpu_quotas(root: Path) -> list[float]:
    """Returns the quotas of this process's control groups, in cores."""
    quotas = []
    for folder in _group_folders(root, "cpu"):
        words = _text(folder / "cpu.max").split() or [_text(folder / _V1_QUOTA), _text(folder / _V1_PERIOD)]
        if all(word.isdecimal() for word in words) and int(words[1]) > 0:  # "max" and -1 stand for no quota
            quotas.append(int(words[0]) / int(words[1]))
    return quotas


def _group_folders(root: Path, controller: str) -> list[Path]:
    """Returns the folders of the control groups that this process is in, and of the groups around these.

    A container sees its own group as the root of the tree, so the root is always among them.
    """
    folders = []
    for line in [*_text(root / "proc/self/cgroup").splitlines(), f"0:{controller}:/", "0::/"]:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        mounts = [root / "sys/fs/cgroup" / controllers, root / "sys/fs/cgroup" / controller]
        for mount in mounts if controllers else [root / "sys/fs/cgroup"]:
            group = mount / path.lstrip("/")
            folders += [group, *(around for around in group.parents if around == mount or mount in around.parents)]
    return list(dict.fromkeys(folders))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
