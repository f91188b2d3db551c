"""Writes the reference pages from the code when the documentation is built, so that they cannot be out of date.

MkDocs calls `on_files` (mkdocs.yml, `hooks`).
"""

import re
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from benchmark.cli.main import app
from benchmark.experiment.suite_file import suite_schema
from benchmark.recipe import Recipe
from benchmark.reporting.export import CELLS, SCORES, documentation

SOURCE = Path(__file__).parent.parent / "benchmark"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are made from the code."""
    pages = {
        "commands": ("Commands", commands()),
        "recipe": ("Recipe fields", fields_of(Recipe, "recipe.py")),
        "suite": ("Suites", suites()),
        "columns": ("Exported columns", documentation(CELLS) + "\n\n" + documentation(SCORES)),
    }
    for name, (title, text) in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=f"# {title}\n\n{text}\n"))
    return files


def commands() -> str:
    """Returns every verb with its help and a table of its options."""
    return "\n\n".join(_command("benchmark", typer.main.get_command(app)))


def _command(name: str, command: Any) -> list[str]:
    if members := getattr(command, "commands", {}):
        return [
            part
            for member in members.values()
            if not member.hidden
            for part in _command(f"{name} {member.name}", member)
        ]
    lines = [f"## {name}", _plain(command.help or "")]
    rows = [_option(parameter) for parameter in command.params if not getattr(parameter, "hidden", False)]
    if rows:
        lines.append("| option | default | meaning |\n|---|---|---|\n" + "\n".join(rows))
    return lines


def _option(parameter: Any) -> str:
    names = f"`{', '.join(parameter.opts)}`" if parameter.param_type_name == "option" else f"`{parameter.name.upper()}`"
    default = (
        parameter.default if isinstance(parameter.default, str | int | float) and parameter.default is not False else ""
    )
    meaning = _plain(str(getattr(parameter, "help", "") or "")).replace("\n", " ")
    return f"| {names} | {default} | {meaning.replace('|', '/')} |"


def _plain(text: str) -> str:
    """Returns a help text without the terminal's markup."""
    return re.sub(r"\[/?(bold|dim|red|green|yellow|cyan)\]", "", text).replace("\\[", "[").strip()


def fields_of(model: Any, module: str) -> str:
    """Returns a table of a model's fields: values, default, and the comment that stands beside it in the source."""
    source = (SOURCE / module).read_text()
    rows = ["| field | values | default | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        comment = re.search(rf"^    {name}: .*?  # (.*)$", source, re.MULTILINE)
        above = re.search(rf"((?:^    # .*\n)+)    {name}:", source, re.MULTILINE)
        meaning = (
            comment.group(1) if comment else " ".join(above.group(1).replace("    #", "").split()) if above else ""
        )
        rows.append(f"| `{name}` | {_values(field.annotation)} | `{field.default}` | {meaning.replace('|', '/')} |")
    return "\n".join(rows)


def _values(annotation: Any) -> str:
    """Returns what a field may hold: the words of a Literal, or the names of its types."""
    if get_origin(annotation) in (Union, UnionType):
        return ", ".join(_values(part) for part in get_args(annotation))
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) is Annotated:
        return _values(get_args(annotation)[0])
    return "`none`" if annotation is type(None) else {int: "integer", float: "number", str: "text"}.get(annotation, "")


def suites() -> str:
    """Returns what a suite's file may hold."""
    rows = ["| field | default | meaning |", "|---|---|---|"]
    for name, prop in suite_schema()["properties"].items():
        default = f"`{prop['default']}`" if "default" in prop else "required" if "$ref" not in prop else "`{}`"
        rows.append(f"| `{name}` | {default} | {prop.get('description', '')} |")
    about = (
        "A suite is a YAML file; [Write a suite](../suites.md) explains it. The shipped ones are in `tasks/suites/`."
    )
    return about + "\n\n" + "\n".join(rows)
