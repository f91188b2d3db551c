r"""A printed table -> Markdown and LaTeX: heads in levels, rows in lines, marks that each form can show.

LaTeX is booktabs' (Fear 2005, rules above, between and below, none upright); a file compiles by itself and can be read
into a paper with \input, which then needs the packages booktabs and graphicx.
"""

import itertools
import re
import unicodedata
from dataclasses import dataclass

import pandas as pd

from benchmark.text import printable


@dataclass(frozen=True)
class Span:
    """A piece of a cell with one style."""

    text: str
    bold: bool = False
    underlined: bool = False


Content = tuple[Span, ...]  # of a cell


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a table: its heads, one for each column of heads, and its cells; `opens`: a group of lines begins here."""

    heads: tuple[str, ...]
    cells: tuple[Content, ...]
    opens: bool = False


@dataclass(frozen=True, kw_only=True)
class PrintedTable:
    """A table to print. `stub` names the columns of heads; `columns` has a path of heads for each column of cells, the
    outermost first, of equal length; `title` is above the table, `notes` are below it.
    """

    title: str
    stub: tuple[str, ...]
    columns: tuple[tuple[str, ...], ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()


def frame_csv(frame: pd.DataFrame) -> str:
    """Returns a table as CSV. Its texts may come from someone else's results, and spreadsheets compute what begins as a
    formula does, so an apostrophe stands before such a text; numbers are as they are.
    """
    texts = [str(name) for name in frame if frame[name].dtype.kind not in "iufb"]
    return frame.assign(**{name: frame[name].map(_inert) for name in texts}).to_csv(index=False)


def _inert(value: object) -> object:
    if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def markdown_of(*tables: PrintedTable) -> str:
    """Returns tables as GitHub's Markdown, each as its title, the table and its notes. A head that spans several columns
    is written in each of them.
    """
    return "\n".join(map(_markdown, tables))


def _markdown(table: PrintedTable) -> str:
    heads = [*table.stub, *(" · ".join(dict.fromkeys(filter(None, path))) for path in table.columns)]
    lines = [f"| {' | '.join(_plain(head) for head in heads)} |", f"|{'---|' * len(heads)}"]
    for line in table.lines:
        cells = [*(_plain(head) for head in line.heads), *("".join(map(_marked, cell)) for cell in line.cells)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n\n".join([_plain(table.title), "\n".join(lines), *map(_plain, table.notes)]) + "\n"


def _plain(text: str) -> str:
    """Returns text without what Markdown would take for its own: dividers of columns, stars that touch a word, tags."""
    return re.sub(r"(\||\*(?=\S)|(?<=\S)\*|<(?=[A-Za-z/!]))", r"\\\1", printable(text).replace("\n", " "))


def _marked(span: Span) -> str:
    text = _plain(span.text)
    text = f"<u>{text}</u>" if span.underlined else text
    return f"**{text}**" if span.bold else text


# inside a paper, \documentclass is an error by then, so that nothing but the table is read
_ALONE = r"""% compiles by itself; read into a paper with \input it needs \usepackage{booktabs,graphicx}
\expandafter\ifx\csname @twoclasseserror\endcsname\documentclass\else
  \documentclass[a4paper]{article}
  \usepackage[margin=12mm]{geometry}
  \usepackage{booktabs,graphicx}
  \begin{document}
  \def\endalone{\end{document}}
\fi
"""
_END_ALONE = "\\ifdefined\\endalone\\expandafter\\endalone\\fi\n"


def latex_of(*tables: PrintedTable) -> str:
    """Returns tables as LaTeX: a `table` float for each, at most as wide as the text."""
    return _ALONE + "\n".join(_float(table) for table in tables) + _END_ALONE


def _float(table: PrintedTable) -> str:
    num_stub, num = len(table.stub), len(table.stub) + len(table.columns)
    body = _head_lines(table)
    for place, line in enumerate(table.lines):
        if line.opens and place:
            body.append(r"\addlinespace")
        cells = [*map(escaped, line.heads), *("".join(map(_set, cell)) for cell in line.cells)]
        # a line that begins with [ would be taken for the \\'s own option
        body.append(("{}" if cells[0].startswith("[") else "") + " & ".join(cells) + r" \\")
    notes = [rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize {escaped(note)}}}" for note in table.notes]
    return "\n".join(
        [
            r"\begin{table}[p]",
            r"\centering\footnotesize",
            rf"\caption{{{escaped(table.title)}}}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{'l' * num_stub}{'c' * (num - num_stub)}}}",
            r"\toprule",
            *body,
            r"\bottomrule",
            r"\end{tabular}}",
            *notes,
            r"\end{table}",
            "",
        ]
    )


def _head_lines(table: PrintedTable) -> list[str]:
    """Returns one line per level of heads: a head that neighbors share is set once over all of them, with a rule below."""
    depth, num_stub = max((len(path) for path in table.columns), default=1), len(table.stub)
    lines: list[str] = []
    for level in range(depth):
        last = level == depth - 1
        cells, rules, at = [escaped(head) if last else "" for head in table.stub], [], num_stub + 1
        for path, spanned in itertools.groupby(path[: level + 1] for path in table.columns):
            width, head = len(list(spanned)), escaped(path[level])
            if last or not head:
                cells += [head] * width
            else:
                cells.append(rf"\multicolumn{{{width}}}{{c}}{{{head}}}")
                rules.append(rf"\cmidrule(lr){{{at}-{at + width - 1}}}")
            at += width
        lines.append(" & ".join(cells) + r" \\" + "".join(rules))
    return [*lines, r"\midrule"]


def _set(span: Span) -> str:
    text = escaped(span.text)
    text = rf"\underline{{{text}}}" if span.underlined else text
    return rf"\textbf{{{text}}}" if span.bold else text


_SIGNS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "±": r"$\pm$",
    "×": r"$\times$",
    "→": r"$\rightarrow$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "−": r"$-$",
    "·": r"$\cdot$",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "§": r"\S{}",
    "µ": r"$\mu$",
    "α": r"$\alpha$",
    "Δ": r"$\Delta$",
    "\n": " ",
    **{chr(0x2080 + digit): f"$_{{{digit}}}$" for digit in range(10)},
}
_ACCENTS = {"\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0308": '"', "\u0327": "c", "\u030c": "v"}


def escaped(text: str) -> str:
    """Returns text as LaTeX sets it in any font encoding; a sign that has no command is written as its number."""
    apart = text.replace("--", "-\0-")  # two hyphens would become a dash
    return "".join(_SIGNS.get(sign) or _letter(sign) for sign in apart).replace("\0", "{}")


def _letter(sign: str) -> str:
    if sign == "\0" or (sign.isascii() and sign.isprintable()):
        return sign
    parts = unicodedata.normalize("NFD", sign)
    if len(parts) == 2 and parts[0].isascii() and parts[1] in _ACCENTS:
        return rf"\{_ACCENTS[parts[1]]}{{{parts[0]}}}"
    return f"[U+{ord(sign):04X}]"
