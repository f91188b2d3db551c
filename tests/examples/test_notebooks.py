"""The notebooks run from the first cell to the last, and are stored without outputs."""

import json

import pytest
from conftest import CHECKOUT, in_new_process

NOTEBOOKS = sorted((CHECKOUT / "examples").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_of_a_notebook_runs(path, tmp_path):
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    code = "\n".join("".join(cell["source"]) for cell in cells)

    ran = in_new_process(
        f"import os; os.chdir({str(path.parent)!r})\n{code}\nassert outcome.num_done == 6, outcome\nassert len(table) == 2",
        BENCHMARK_HOME=str(tmp_path / "home"),
        BENCHMARK_PROJECT=str(CHECKOUT),
        MPLBACKEND="agg",
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)
