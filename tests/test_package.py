"""The package as a user gets it: the wheel, its shipped files, quick answers, and documents that agree with the code."""

import os
import re
import subprocess
import sys
import sysconfig
import zipfile

import pytest
from conftest import CHECKOUT, in_new_process

from benchmark.tasks.registry import read_task


@pytest.mark.slow
def test_the_wheel_works_without_a_checkout(tmp_path):
    """Built without the network, unpacked into a folder of its own, run from another."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BENCHMARK_")}
    environment |= {"PYTHONPATH": str(tmp_path / "site"), "BENCHMARK_HOME": str(tmp_path / "home"), "COLUMNS": "200"}

    def run(*arguments):
        # not the checkout that an editable install points to, but the unpacked wheel
        ours = f"assert benchmark.__file__.startswith({str(tmp_path)!r}), benchmark.__file__"
        code = f"import benchmark; {ours}; from benchmark.cli.main import main; main()"
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=elsewhere,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    listed, tasks, suites = run("zoo", "list"), run("tasks", "list"), run("run", "--suite", "nosuch")

    assert "swav" in listed.stdout, listed.stderr
    assert "DXC14" in tasks.stdout
    assert "demo" in suites.stderr
    phantom = run("data", "phantom", "TXC", "--out", str(tmp_path / "data"), "-n", "12", "--size", "32")
    assert phantom.returncode == 0, phantom.stderr
    planned = run("plan", "--models", "scratch", "--tasks", "TXC", "--data", str(tmp_path / "data"), "--seeds", "2")
    assert "2 cells, 2 pending" in planned.stdout, planned.stderr
    assert not list(elsewhere.iterdir()), "a plan writes nothing"
    published = tmp_path / "site" / "benchmark" / "shipped" / "results" / "published"
    assert published.is_dir()


@pytest.mark.parametrize("arguments", [["--help"], ["zoo", "list"], ["tasks", "list"], ["run", "--help"]])
def test_quick_verbs_do_not_import_torch_or_pandas(arguments):
    """What takes seconds to import is imported inside the verbs that need it."""
    code = (
        "import sys; from benchmark.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as ended: assert not ended.code, ended.code\n"
        "found = {'torch', 'pandas', 'timm', 'cv2', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "assert not found, found"
    )
    ran = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    "module", ["reporting.tables", "reporting.figures", "experiment", "results.store", "scoring.evaluate", "api.report"]
)
def test_judging_planning_and_reporting_work_without_torch(module):
    """The contract that import-linter holds, seen in a real process."""
    ran = in_new_process(f"import benchmark.{module}, sys; assert 'torch' not in sys.modules")

    assert ran.returncode == 0, ran.stderr


def test_importing_the_package_reaches_no_network():
    """Albumentations asks the package index for a newer version unless it is told not to."""
    ran = in_new_process(
        "import socket\n"
        "def refuse(*_): raise AssertionError('a socket was opened')\n"
        "socket.socket.connect = refuse\n"
        "socket.getaddrinfo = refuse\n"
        "import benchmark.runner.runner, benchmark.pretrain, benchmark.cli.main"
    )

    assert ran.returncode == 0, ran.stderr


def test_every_departure_stands_in_the_readme():
    """`Departs:` in the code and one row each in the README's table: neither without the other."""
    sentence = re.compile(r"Departs: (.*?\.)(?=\s|$)", re.DOTALL)
    in_code = set()
    for path in [*(CHECKOUT / "benchmark").rglob("*.py"), *(CHECKOUT / "tasks").rglob("*.yaml")]:
        for found in sentence.findall(path.read_text()):
            in_code.add(" ".join(found.replace("#", " ").split()))
    table = (CHECKOUT / "README.md").read_text().partition("## Departures")[2].partition("\n## ")[0]

    in_readme = {row.split("|")[2].strip() for row in table.splitlines() if row.startswith("|")} - {
        "what departs",
        "---",
    }
    assert in_code == in_readme


def test_the_readmes_commands_exist():
    """Every `benchmark verb` and option that the README shows is one that the command line has."""
    shown = re.findall(r"^benchmark (.+)$", (CHECKOUT / "README.md").read_text(), re.MULTILINE)
    assert len(shown) > 8
    for line in shown:
        words = line.partition("#")[0].split()
        verb = [word for word in words[:2] if re.fullmatch(r"[a-z]+", word)]
        helped = in_new_process(
            f"from benchmark.cli.main import main; main({[*verb, '--help']!r})", COLUMNS="200", NO_COLOR="1"
        )
        assert helped.returncode == 0, line
        for option in (word for word in words if word.startswith("--")):
            assert option in helped.stdout, line


def test_the_allocator_keeps_pages_where_glibc_is():
    code = "from benchmark.torch_setup import keep_pages; import sys; sys.exit(0 if keep_pages() else 3)"

    expected = 0 if "gnu" in (sysconfig.get_config_var("HOST_GNU_TYPE") or "") else 3
    assert in_new_process(code).returncode == expected


def test_the_readmes_own_task_is_a_task(tmp_path):
    """The fact sheet that the README shows, read as the README says."""
    (sheet,) = re.findall(r"```yaml\n(.*?)```", (CHECKOUT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "lesions.yaml").write_text(sheet)

    task = read_task(tmp_path / "lesions.yaml")

    assert (task.name, task.metric) == ("lesions", "accuracy")
    assert task.complete_recipe().image_size == 96


def test_every_shipped_task_stands_in_the_readmes_table(tasks):
    table = (CHECKOUT / "README.md").read_text().partition("## Tasks")[2].partition("\n\n`benchmark tasks show")[0]
    rows = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")]

    assert sorted(rows[1:]) == sorted(tasks)
