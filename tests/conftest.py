"""What tests share: a project of its own for each test, small phantoms for all, the command line in this process."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import hypothesis
import pytest
from heads import features  # noqa: F401 - a fixture for all
from shelf import serving

from benchmark.cli.main import main
from benchmark.data.phantoms.folder import PhantomSpec
from benchmark.data.registry import read_index, write_phantom
from benchmark.errors import BenchmarkError
from benchmark.tasks.registry import read_tasks
from benchmark.tasks.spec import TaskSpec
from benchmark.torch_setup import prepare_for_torch
from benchmark.training import loop
from benchmark.workspace import Workspace
from benchmark.zoo import download as downloading

prepare_for_torch()
loop.SHORTEST_SECONDS = 0.0  # a state after every epoch: tests interrupt trainings that last for seconds
hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("untimed")
CHECKOUT = Path(__file__).parent.parent
SMALL = {
    "APTOS": PhantomSpec(num=40, size=64),
    "CheXpert5": PhantomSpec(num=48, size=64),  # in one folder with DXC5
    "DXC14": PhantomSpec(num=48, size=64),
    "DXC5": PhantomSpec(num=48, size=64),
    "Derm27": PhantomSpec(num=60, size=64),
    "Derm27-ISIC": PhantomSpec(num=48, size=64),
    "ECC": PhantomSpec(num=80, size=64),
    "LXS": PhantomSpec(num=16, size=64),
    "NIHCXR4": PhantomSpec(num=48, size=64),
    "PXS": PhantomSpec(num=24, size=64),
    "PatchCam": PhantomSpec(num=40, size=64),
    "PatchCam-H5": PhantomSpec(num=40, size=64),
    "PneumoniaCXR": PhantomSpec(num=40, size=64),
    "TXC": PhantomSpec(num=40, size=64),
    "VFS": PhantomSpec(num=8, size=64),
    "VFS-CHASE": PhantomSpec(num=12, size=64),
}
NUM_READ = {name: order.num for name, order in SMALL.items()} | {"CheXpert5": 37}  # rows of train.csv alone


@pytest.fixture(scope="session")
def tasks() -> dict[str, TaskSpec]:
    """The shipped tasks."""
    return read_tasks(CHECKOUT / "tasks")


@pytest.fixture(scope="session")
def phantoms(tasks, tmp_path_factory) -> Path:
    """A data folder with small phantoms of every task. Tests must not change it: copy what you damage."""
    folder = tmp_path_factory.mktemp("phantoms")
    for name, order in SMALL.items():
        write_phantom(tasks[name], folder, order)
    return folder


@pytest.fixture
def damaged(tasks, phantoms, tmp_path):
    """A task's phantoms in a folder of the test's own, to be damaged."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(phantoms / tasks[name].root, tmp_path / "data" / tasks[name].root))

    return copy


@pytest.fixture
def refused(tasks, tmp_path):
    """What is said when the damaged folder is read: one line."""

    def read(name: str) -> str:
        with pytest.raises(BenchmarkError) as raised:
            read_index(tasks[name], tmp_path / "data")
        assert "\n" not in str(raised.value)
        return str(raised.value)

    return read


@pytest.fixture
def workspace(tmp_path, phantoms) -> Workspace:
    """Places of a test's own: the checkout's zoo and tasks, phantoms as data, empty results and home."""
    return Workspace(project=CHECKOUT, results=tmp_path / "results", home=tmp_path / "home", data=phantoms)


@dataclass
class Ran:
    """What a command line did."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Output and errors, line breaks of the terminal's width undone."""
        return " ".join((self.out + self.err).split())


@pytest.fixture
def cli(workspace, monkeypatch, capfd):
    """Run `benchmark …` in this process, on the test's own places; returns code, output and errors."""
    monkeypatch.setenv("BENCHMARK_HOME", str(workspace.home))
    monkeypatch.setenv("BENCHMARK_RESULTS", str(workspace.results))
    monkeypatch.setenv("BENCHMARK_DATA", str(workspace.data))
    monkeypatch.setenv("BENCHMARK_PROJECT", str(workspace.project))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> Ran:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        out, err = capfd.readouterr()
        return Ran(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images, where BENCHMARK_DATA was set when the tests began."""
    if REAL is None:
        pytest.skip("BENCHMARK_DATA is not set: no real images")
    return REAL


REAL = Path(os.environ["BENCHMARK_DATA"]).resolve() if os.environ.get("BENCHMARK_DATA") else None


def in_new_process(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


@pytest.fixture
def shelf(monkeypatch):
    """A loopback server of weight files."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as shelf:
        yield shelf


@pytest.fixture
def weights(tmp_path):
    """An empty folder for weight files."""
    return tmp_path / "weights"


@pytest.fixture
def waits(monkeypatch):
    """The seconds that would have been waited between tries."""
    seconds = []
    monkeypatch.setattr(downloading, "time", SimpleNamespace(sleep=seconds.append))
    return seconds
