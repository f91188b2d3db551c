"""A real SLURM on this machine, without systemd and control groups: one controller and two nodes, in a folder of its own.

It needs root and the packages of `apt-get install --no-install-recommends slurm-wlm munge`. Two partitions: `work`, and
`urgent`, whose jobs pre-empt those of `work`.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path

NEEDED = ("sbatch", "slurmctld", "slurmd", "munged", "munge")
MUNGE_KEY = Path("/etc/munge/munge.key")
CONFIGURATION = """
ClusterName=toy
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={home}/munge/socket,cred_expire=5
CredType=cred/munge
SlurmctldPort={port}
SlurmctldPidFile={home}/slurmctld.pid
SlurmctldLogFile={home}/slurmctld.log
StateSaveLocation={home}/state
SlurmdPidFile={home}/slurmd.%n.pid
SlurmdLogFile={home}/slurmd.%n.log
SlurmdSpoolDir={home}/spool/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SlurmctldTimeout=10
SlurmdTimeout=10
InactiveLimit=0
KillWait=20
OverTimeLimit=0
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
"""
PARTITIONS = """
PartitionName=work Nodes=ALL Default=YES MaxTime=60 State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=0
PartitionName=urgent Nodes=ALL MaxTime=60 State=UP PriorityTier=10 PreemptMode=OFF
"""


def lacking() -> str:
    """Returns why there can be no SLURM here; nothing where there can be."""
    if os.geteuid() != 0:
        return "a toy SLURM needs root"
    absent = [name for name in NEEDED if shutil.which(name) is None]
    return f"not installed (apt-get install slurm-wlm munge): {', '.join(absent)}" if absent else ""


class ToySlurm:
    """A running SLURM with the nodes n1 and n2, two CPUs each."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {**os.environ, "SLURM_CONF": str(home / "slurm.conf")}

    def run(self, *command: str) -> str:
        """Runs a command of SLURM and returns its output."""
        return subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True).stdout.strip()

    def pids_of(self, node: str) -> list[int]:
        """Returns the processes of a node: its daemon, those of its jobs, and what started these."""
        pids = [int((self.home / f"slurmd.{node}.pid").read_text())]
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"SLURMD_NODENAME={node}\0" in (folder / "environ").read_text(errors="replace"):
                    parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                    pids.append(int(folder.name))
                    if (Path("/proc") / str(parent) / "comm").read_text().startswith("slurmstepd"):
                        pids.append(parent)
        return list(dict.fromkeys(pids))

    def kill_node(self, node: str) -> None:
        """Ends a node as a power cut does."""
        for pid in self.pids_of(node):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def start_node(self, node: str) -> None:
        """Starts a node's daemon."""
        self.run("slurmd", "-N", node)

    def wait_for(self, condition, seconds: float, what: str) -> None:
        """Waits until the condition is true."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{what}: not within {seconds} s; {self.run('squeue', '--array')}"
            time.sleep(0.5)


@contextmanager
def toy_slurm(home: Path):
    """Yields a running SLURM, and ends it."""
    for name in ("state", "spool/n1", "spool/n2"):
        (home / name).mkdir(parents=True)
    shutil.chown(_folder(home / "munge"), "munge", "munge")
    munge = ["runuser", "-u", "munge", "--", "munged", "--force", "--key-file", str(MUNGE_KEY)]
    for option, name in (
        ("socket", "socket"),
        ("pid-file", "munged.pid"),
        ("log-file", "munged.log"),
        ("seed-file", "seed"),
    ):
        munge.append(f"--{option}={home / 'munge' / name}")
    for folder in (home, *home.parents):  # munged runs as a user of its own
        with suppress(OSError):
            folder.chmod(folder.stat().st_mode | 0o111)
    subprocess.run(munge, check=True)
    port = _free_ports()
    facts = {"home": home, "host": socket.gethostname().split(".")[0], "port": port}
    nodes = [
        f"NodeName=n{n} NodeHostname={facts['host']} NodeAddr=127.0.0.1 Port={port + n} CPUs=2 RealMemory=2000 State=UNKNOWN\n"
        for n in (1, 2)
    ]
    (home / "slurm.conf").write_text(CONFIGURATION.format(**facts) + "".join(nodes) + PARTITIONS)
    (home / "cgroup.conf").write_text("CgroupAutomount=no\nConstrainCores=no\n")
    slurm = ToySlurm(home)
    try:
        slurm.run("slurmctld")
        for node in ("n1", "n2"):
            slurm.start_node(node)
        slurm.wait_for(lambda: slurm.run("sinfo", "-h", "-p", "work", "-o", "%T") == "idle", 60, "nodes")
        yield slurm
    finally:
        with suppress(subprocess.CalledProcessError):
            slurm.run("scancel", "--user=root")
            slurm.wait_for(lambda: not slurm.run("squeue", "-h"), 40, "the end of all jobs")
        for file in (*home.glob("*.pid"), *home.glob("munge/*.pid")):
            with suppress(ProcessLookupError, ValueError):
                os.kill(int(file.read_text()), signal.SIGTERM)


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _free_ports() -> int:
    """Returns the first of three neighbouring ports that are free."""
    for first in range(17_817, 19_000, 3):
        with suppress(OSError):
            for port in range(first, first + 3):
                with socket.socket() as tried:
                    tried.bind(("127.0.0.1", port))
            return first
    raise AssertionError("no free ports")
