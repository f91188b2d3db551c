"""The HTML report: one file that opens without a network, made from records alone.

All text of records is escaped, in the page (jinja2's autoescape) and in its embedded data; a content security policy
lets the page's own script run and nothing else.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from benchmark import __version__
from benchmark.reporting import format as formats
from benchmark.reporting.against_paper import compare_with_papers
from benchmark.reporting.answers import block_answers
from benchmark.reporting.data import ReportData
from benchmark.reporting.figures.style import FigureFiles
from benchmark.reporting.metric_facts import metric_title
from benchmark.reporting.page import overview
from benchmark.reporting.page.cells import cells
from benchmark.reporting.page.inline_svg import inline_svg
from benchmark.reporting.page.leaderboard import address, in_zoo_order, leaderboard
from benchmark.reporting.page.pairs import pairs
from benchmark.reporting.page.results_matrix import results_matrix
from benchmark.reporting.table_writers import PrintedTable
from benchmark.reporting.tables import TESTS

HERE = Path(__file__).parent
SCRIPTS = ("draw.js", "cell.js", "matrix.js", "report.js")


def page(
    data: ReportData,
    rows: pd.DataFrame,
    *,
    figures: Mapping[str, FigureFiles],
    commands: Sequence[str],
    matrix_table: PrintedTable,
    sweeps: Sequence[PrintedTable] = (),
    recipes: Sequence[str] = (),
    num_runs: int | None = None,
    bibtex: str = "",
    latex: str = "",
) -> bytes:
    """Returns the page as UTF-8. `rows`: of `summary`; `figures`: by name; `commands`: make the results again;
    `matrix_table`: of `results_table`; `sweeps`: their tables; `recipes`: a line for each named recipe; `num_runs`:
    of the report, where the sweeps in `data` have lost some; `bibtex`: the
    citations of what was run; `latex`: the tables, to be copied.

    Raises ValueError for a frame without rows.
    """
    if data.frame.empty:
        raise ValueError("a report needs at least one done cell")
    lines = leaderboard(data, rows)
    test = TESTS[rows["test"].iloc[0]].words if lines else ""
    models = in_zoo_order(data.frame["model"], data)
    embedded = {**cells(data, rows), "test": test, "overlap_mark": formats.OVERLAP}
    embedded["pairs"] = pairs(data.frame, models)
    script = "(() => {\n'use strict';\n" + "\n".join(map(_file, SCRIPTS)) + "\n})();"
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            data=data,
            version=__version__,
            time=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            answers=block_answers(rows),
            lines=lines,
            matrix=results_matrix(data, rows),
            task_facts=overview.task_facts(data),
            notes=overview.notes(data),
            seeds=overview.seeds_text(data.frame),
            phantom_tasks=overview.phantom_tasks(data.frame),
            environments=overview.environments(data),
            comparisons=compare_with_papers(rows, data),
            model_sources=overview.model_sources(models, data),
            task_sources=overview.task_sources(data),
            families=list(dict.fromkeys(line["family_name"] for line in lines)),
            protocols=list(dict.fromkeys(line["protocol"] for line in lines)),
            blocks=rows.drop_duplicates("block").to_dict("records"),
            test=test,
            figures=figures,
            commands=commands,
            matrix_table=matrix_table,
            sweeps=sweeps,
            recipes=recipes,
            num_runs=len(data.frame) if num_runs is None else num_runs,
            bibtex=bibtex,
            latex=latex,
            style=Markup(_file("report.css")),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own files
            script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            embedded=_json(embedded),
        )
        .encode()
    )


def _json(data: dict[str, Any]) -> Markup:
    """Returns JSON that may stand in a <script> of HTML: no text in it can end that element or begin another."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704 - escaped here, for where it stands


def _file(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(format=formats, address=address, inline_svg=inline_svg, metric_title=metric_title)
    return environment
