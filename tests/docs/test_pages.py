"""The documentation builds without a warning, and every command on its pages runs as it stands there, on phantoms."""

import os
import re
import shlex
import subprocess
import sys
import textwrap

import pytest
import timm
import torch
from conftest import CHECKOUT

import benchmark as bm

PAGES = sorted((CHECKOUT / "docs").glob("*.md"))


def commands_of(text: str) -> list[str]:
    """Returns the lines of a page's `sh` blocks, continued lines joined."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Precision loss:RuntimeWarning")  # runs so short may end with equal scores
@pytest.mark.parametrize(
    "page", [page for page in PAGES if "benchmark " in str(commands_of(page.read_text()))], ids=lambda p: p.stem
)
def test_every_command_of_a_page_runs_as_it_stands_there(page, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = page.read_text()
    for sheet in re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if name := re.search(r"^name: (\w+)", sheet, re.MULTILINE):
            (tmp_path / f"{name[1]}.yaml").write_text(sheet)
    if "my_encoder.pth" in text:
        torch.save(timm.create_model("mobilenetv2_100", num_classes=0).state_dict(), "my_encoder.pth")

    for line in commands_of(text):
        words = shlex.split(line, comments=True)
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            monkeypatch.setenv(name, value.replace("$PWD", str(tmp_path)))
        elif words[0] == "benchmark":
            ran = cli(*words[1:])
            assert ran.code == 0, f"{line}\n{ran.text}"


@pytest.mark.slow
def test_the_python_page_runs_from_top_to_bottom_and_shows_every_function(workspace, tmp_path):
    text = (CHECKOUT / "docs" / "python.md").read_text()
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    shown = set(re.findall(r"\bbm\.(\w+)", text))
    torch.save(timm.create_model("mobilenetv2_100", num_classes=0).state_dict(), tmp_path / "my_encoder.pth")
    # cells run in processes that import the script, as they do of any script
    (tmp_path / "page.py").write_text(
        f"def page():\n{textwrap.indent(code, '    ')}\n\nif __name__ == '__main__':\n    page()"
    )

    ran = subprocess.run(
        [sys.executable, "page.py"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "BENCHMARK_HOME": str(workspace.home), "BENCHMARK_RESULTS": str(workspace.results),
             "BENCHMARK_DATA": str(workspace.data), "BENCHMARK_PROJECT": str(workspace.project), "MPLBACKEND": "agg"},
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert "did you mean imagenet" in ran.stdout
    functions = {name for name in bm.__all__ if name[0].islower()}
    assert functions <= shown


def test_the_documentation_is_built_without_a_warning(tmp_path):
    pytest.importorskip("material")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=CHECKOUT, capture_output=True, text=True, check=False, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip

    assert built.returncode == 0, built.stderr
    commands = (tmp_path / "reference" / "commands.html").read_text()
    assert "benchmark zoo add" in commands
    assert "learning_rate" in (tmp_path / "reference" / "recipe.html").read_text()


def test_every_link_of_the_pages_names_a_page():
    """MkDocs checks them too; this says it where it is not installed."""
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).is_file() or target.startswith("reference/"), f"{page.name}: {target}"
