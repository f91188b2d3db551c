"""The cores and the memory that a process may use: the smallest of all limits."""

import os

import pytest

from benchmark.cores import memory_limit, usable_cores

MACHINE = min(os.cpu_count(), len(os.sched_getaffinity(0)))


def write(root, **files):
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


@pytest.fixture
def many_cores(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(32)))


@pytest.mark.usefixtures("many_cores")
@pytest.mark.parametrize(
    ("environment", "files", "expected"),
    [
        ({}, {}, "32 cores (CPU affinity)"),
        ({"SLURM_CPUS_PER_TASK": "8", "SLURM_CPUS_ON_NODE": "16"}, {}, "8 cores (SLURM_CPUS_PER_TASK)"),
        ({"SLURM_CPUS_ON_NODE": "16"}, {}, "16 cores (SLURM_CPUS_ON_NODE)"),
        ({"SLURM_CPUS_ON_NODE": "48"}, {}, "32 cores (CPU affinity)"),
        ({}, {"sys__fs__cgroup__cpu.max": "300000 100000"}, "3 cores (the control group's quota)"),
        ({}, {"sys__fs__cgroup__cpu.max": "max 100000"}, "32 cores (CPU affinity)"),
        ({"SLURM_CPUS_PER_TASK": "2"}, {"sys__fs__cgroup__cpu.max": "300000 100000"}, "2 cores (SLURM_CPUS_PER_TASK)"),
        ({}, {"sys__fs__cgroup__cpu.max": "50000 100000"}, "1 core (the control group's quota)"),
        (
            {},
            {"proc__self__cgroup": "0::/jobs/7/step", "sys__fs__cgroup__jobs__7__cpu.max": "400000 100000"},
            "4 cores (the control group's quota)",
        ),
        (
            {},
            {
                "proc__self__cgroup": "4:cpu,cpuacct:/jobs\n3:memory:/jobs",
                "sys__fs__cgroup__cpu,cpuacct__jobs__cpu.cfs_quota_us": "250000",
                "sys__fs__cgroup__cpu,cpuacct__jobs__cpu.cfs_period_us": "100000",
            },
            "2 cores (the control group's quota)",
        ),
        (
            {},
            {"sys__fs__cgroup__cpu__cpu.cfs_quota_us": "-1", "sys__fs__cgroup__cpu__cpu.cfs_period_us": "100000"},
            "32 cores (CPU affinity)",
        ),
    ],
)
def test_the_smallest_limit_on_cores_counts(tmp_path, environment, files, expected):
    assert str(usable_cores(environment, write(tmp_path, **files))) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"sys__fs__cgroup__memory.max": "max"}, None),
        ({"sys__fs__cgroup__memory.max": "2000000000"}, 2_000_000_000),
        ({"sys__fs__cgroup__memory__memory.limit_in_bytes": "9223372036854771712"}, None),
        (
            {
                "proc__self__cgroup": "3:memory:/job",
                "sys__fs__cgroup__memory__job__memory.limit_in_bytes": "3000000000",
                "sys__fs__cgroup__memory__memory.limit_in_bytes": "9000000000",
            },
            3_000_000_000,
        ),
    ],
)
def test_the_smallest_limit_on_memory_counts(tmp_path, files, expected):
    assert memory_limit(write(tmp_path, **files)) == expected


def test_this_machine_has_at_least_one_core_and_no_more_than_it_has():
    assert 1 <= usable_cores({}).count <= MACHINE
