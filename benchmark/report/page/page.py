"""The HTML report: one file that opens without a network, drawn from records alone.

All text of records is escaped, in the page (jinja2's autoescape) and in its embedded data; a content security policy
lets the page's own script run and nothing else.
"""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from benchmark.report.format import OVERLAP
from benchmark.report.page import board, cells, overview, pairs
from benchmark.report.page import published as beside
from benchmark.report.page.contents import Contents, Figure
from benchmark.report.tables import TESTS

__all__ = ["Contents", "Figure", "page"]
HERE = Path(__file__).parent
SCRIPTS = ("draw.js", "cell.js", "matrix.js", "report.js")


def page(contents: Contents) -> bytes:
    """The page as UTF-8. Raises ValueError for a frame without rows."""
    if contents.frame.empty:
        raise ValueError("a report needs at least one done cell")
    lines, in_order = board.board(contents), board.in_zoo_order(contents.frame["model"], contents)
    told = TESTS[contents.rows["test"].iloc[0]].words if lines else ""
    data = {
        **cells.cells(contents),
        "test": told,
        "overlap_mark": OVERLAP,
        "pairs": pairs.pairs(contents.frame, in_order),
    }
    script = "(() => {\n'use strict';\n" + "\n".join(_part(name) for name in SCRIPTS) + "\n})();"
    phantom, all_phantom = overview.phantom_tasks(contents)
    html = _environment().get_template("report.html.j2")
    return html.render(
        contents=contents,
        lines=lines,
        grid=board.grid(contents),
        on_what=overview.tasks_run(contents),
        notes=overview.notes(contents),
        seeds=overview.spans(contents.frame),
        phantom=phantom,
        all_phantom=all_phantom,
        environments=overview.environments(contents),
        beside=beside.beside(contents),
        has_official=beside.has_official(contents),
        models_cited=overview.models_cited(contents),
        tasks_cited=overview.tasks_cited(contents),
        families=list(dict.fromkeys(line.family for line in lines)),
        tasks_shown=list(dict.fromkeys(line.task for line in lines)),
        protocols=list(dict.fromkeys(line.protocol for line in lines)),
        blocks=contents.rows.drop_duplicates("block").to_dict("records"),
        seen=OVERLAP,
        test=told,
        image_of=_image,
        style=Markup(_part("report.css")),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own files
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=_embedded(data),
    ).encode()


def _embedded(data: dict[str, Any]) -> Markup:
    """JSON that stands in a <script> of HTML: no text in it can end that element or begin another."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704 - escaped here, for where it stands


def _image(figure: Figure) -> str:
    """As an image, in which no script runs and no style reaches the page."""
    return f"data:image/svg+xml;base64,{base64.b64encode(figure.svg).decode()}"


def _part(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
