"""The package as a user gets it: the wheel, its shipped files, quick answers, and documents that agree with the code."""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile

import pytest
from conftest import CHECKOUT, in_new_process
from typer.main import get_command

from benchmark.cli.main import app


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """The wheel and the sdist, built without the network."""
    folder = tmp_path_factory.mktemp("dist")
    build_distributions(CHECKOUT, folder)
    return folder


def build_distributions(sources, folder, *options):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder), *options],
        cwd=sources,
        check=True,
        capture_output=True,
    )


def read_wheel(folder):
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.slow
def test_the_sdist_builds_the_same_wheel(distributions, tmp_path):
    (sdist,) = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (sources,) = tmp_path.iterdir()

    build_distributions(sources, tmp_path / "dist", "-t", "wheel")

    assert read_wheel(tmp_path / "dist") == read_wheel(distributions)


@pytest.mark.slow
def test_the_main_job_runs_from_the_installed_wheel(distributions, tmp_path):
    """Installed without the network into a folder of its own, run from another, which is no checkout."""
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (wheel,) = distributions.glob("*.whl")
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site), str(wheel)]
    subprocess.run([sys.executable, *install], check=True, capture_output=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BENCHMARK_")}
    environment |= {"PYTHONPATH": str(site), "BENCHMARK_HOME": str(tmp_path / "home"), "COLUMNS": "200"}

    def run(*arguments):
        # not the checkout that an editable install points to, but the installed wheel
        ours = f"assert benchmark.__file__.startswith({str(site)!r}), benchmark.__file__"
        code = f"import benchmark; {ours}; from benchmark.cli.main import main; main()"
        ran = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=elsewhere,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    request = ("--models", "scratch:resnet18", "--tasks", "TXC", "--seeds", "2", "--data", "phantoms")
    quick = ("--set", "image_size=32", "--set", "train_resolution=32", "--set", "max_epochs=1", "--set", "test_crops=1")

    assert wheel.name.split("-")[1] == run("--version").strip()
    assert "swav" in run("zoo", "list")
    assert "DXC14" in run("tasks", "list")
    assert "3 models" in run("suite", "check", "demo")
    assert "table 2" in run("report", "--suite", "taher2021", "--table", "list")
    run("data", "phantom", "TXC", "--out", "phantoms", "-n", "24", "--size", "32")
    assert "2 cells, 2 pending" in run("plan", *request, *quick)
    assert "2 of 2 cells done" in run("run", *request, *quick)
    run("report", "--tasks", "TXC")
    assert {path.name for path in elsewhere.iterdir()} == {"phantoms", "results"}
    assert (elsewhere / "results" / "reports" / "TXC" / "report.html").is_file()


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


def test_every_departure_stands_in_the_documentation():
    """`Departs:` in the code and one row each in docs/departures.md: neither without the other."""
    sentence = re.compile(r"Departs: (.*?\.)(?=\s|$)", re.DOTALL)
    in_code = set()
    for path in [*(CHECKOUT / "benchmark").rglob("*.py"), *(CHECKOUT / "tasks").rglob("*.yaml")]:
        for found in sentence.findall(path.read_text()):
            in_code.add(" ".join(found.replace("#", " ").split()))
    table = (CHECKOUT / "docs" / "departures.md").read_text()

    in_table = {row.split("|")[2].strip() for row in table.splitlines() if row.startswith("|")} - {
        "what departs",
        "---",
    }
    assert in_code == in_table


def all_verbs(command, path=()):
    """Yields each verb's words with its command, and each group's."""
    if path:
        yield path, command
    for name, member in getattr(command, "commands", {}).items():
        yield from all_verbs(member, (*path, name))


def test_commands_that_the_documents_mention_exist():
    """Every verb and option in a line or between backticks is one that the command line has."""
    documents = [CHECKOUT / "README.md", *(CHECKOUT / "docs").glob("*.md")]
    mentioned = {
        tuple(line.partition("#")[0].split())
        for path in documents
        for line in re.findall(r"(?:^|`)benchmark ([^`\n]+)", path.read_text(), re.MULTILINE)
    }
    assert len(mentioned) > 50
    verbs = dict(all_verbs(get_command(app)))
    for words in mentioned:
        verb = next((words[:length] for length in (2, 1) if words[:length] in verbs), None)
        assert verb is not None, f"benchmark {' '.join(words)}"
        options = {option for parameter in verbs[verb].params for option in parameter.opts + parameter.secondary_opts}
        for option in (word for word in words if word.startswith("-") and word != "-"):
            assert option in options, f"benchmark {' '.join(words)}"


def test_the_allocator_keeps_pages_where_glibc_is():
    code = "from benchmark.torch_setup import keep_pages; import sys; sys.exit(0 if keep_pages() else 3)"

    expected = 0 if "gnu" in (sysconfig.get_config_var("HOST_GNU_TYPE") or "") else 3
    assert in_new_process(code).returncode == expected


def test_every_shipped_task_stands_in_the_documents_table(tasks):
    table = (CHECKOUT / "docs" / "tasks-shipped.md").read_text().partition("\n\n```sh")[0]
    rows = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")]

    assert sorted(rows[1:]) == sorted(tasks)


def test_no_message_names_a_command_that_installs_and_every_extra_exists():
    sources = [path.read_text() for path in (CHECKOUT / "benchmark").rglob("*.py")]
    extras = {extra for text in sources for extra in re.findall(r"install_extra\(['\"](\w+)['\"]\)", text)}
    declared = (CHECKOUT / "pyproject.toml").read_text().partition("[project.optional-dependencies]")[2]

    assert not [text for text in sources if "pip install" in text]
    assert extras >= {"parquet", "tensorflow", "track"}
    assert all(re.search(rf"^{extra} = ", declared, re.MULTILINE) for extra in extras)
