"""A real Ray on this machine: a head without processors, and nodes that are processes of their own and can be killed."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

PORT = 6_399  # below those of Ray's own workers
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    # a dead node is noticed within seconds
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "5",
}


class ToyRay:
    """A running Ray. `address`: what RAY_ADDRESS is set to."""

    address = f"127.0.0.1:{PORT}"

    def __init__(self, home: Path) -> None:
        self.home = home  # in the command lines of all its processes
        self.environment = {**os.environ, **QUIET}

    def start(self, *options: str) -> None:
        """Starts a node."""
        ray = str(Path(sys.executable).with_name("ray"))
        command = [ray, "start", "--object-store-memory=80000000", "--disable-usage-stats", *options]
        subprocess.run(command, env=self.environment, check=True, capture_output=True)

    def pids(self, text: str = "") -> list[int]:
        """Returns its processes whose command line holds the text, and their children, whose names Ray changes."""
        found, parents = [], {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                line = (folder / "cmdline").read_text(errors="replace").replace("\0", " ")
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if str(self.home) in line and text in line and "pytest" not in line:
                    found.append(int(folder.name))
        return found + [pid for pid, parent in parents.items() if parent in found and pid not in found]

    def kill_node(self, address: str) -> None:
        """Ends a node's raylet as a power cut does."""
        for pid in self.pids(f"--node_ip_address={address}"):
            with suppress(OSError):
                if (Path("/proc") / str(pid) / "comm").read_text().strip() == "raylet":
                    os.kill(pid, signal.SIGKILL)


@contextmanager
def toy_ray(home: Path, nodes: int = 2):
    """Yields a running Ray with nodes of one processor at 127.0.0.2, 127.0.0.3 and so on, and ends it alone."""
    home.mkdir()
    ray = ToyRay(home)
    try:
        ray.start(
            "--head",
            "--node-ip-address=127.0.0.1",
            f"--port={PORT}",
            "--num-cpus=0",
            "--num-gpus=0",
            "--include-dashboard=false",
            f"--temp-dir={home}",
        )
        for number in range(nodes):
            ray.start(
                f"--address={ray.address}", f"--node-ip-address=127.0.0.{number + 2}", "--num-cpus=1", "--num-gpus=0"
            )
        yield ray
    finally:
        pids = ray.pids()
        for ending in (signal.SIGTERM, signal.SIGKILL):
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, ending)
            time.sleep(2)
