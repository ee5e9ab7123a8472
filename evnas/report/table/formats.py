"""The ablation table written out: text, Markdown, CSV, LaTeX (booktabs) and plain data."""

import csv
import io
import itertools
import re
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from evnas.files import csv_cell
from evnas.report.table.ablation import AblationTable
from evnas.report.table.cells import Cell
from evnas.report.table.latex import tex
from evnas.report.table.rows import TableColumn, TableRow

_CHANGED_WIDTH = 24
"""Signs of a line of what a row changes, in text."""
_TEX_MARKS = (
    "% measured, published; = matches, ~ same direction, != differs, ? cannot tell, "
    "no mark: not comparable"
)
_MARKS: Mapping[str, str] = {
    "matches": "$=$",
    "same direction": "$\\sim$",
    "differs": "$\\neq$",
    "cannot tell": "?",
    "not comparable": "",
    "": "",
}


def as_data(table: AblationTable) -> dict[str, Any]:
    """Everything in the table as JSON data."""
    return asdict(table)


def as_csv(table: AblationTable) -> str:
    """A line a row; each quantity with its interval, and where anything is printed at all the
    printed figure and the verdict."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    beside = ("_published", "_verdict") if _prints(table) else ()
    head = [f"{c.key}{part}" for c in table.columns for part in ("", "_low", "_high", *beside)]
    writer.writerow(map(csv_cell, ["row", "note", *head, "changed"]))
    for line in table.lines:
        cells = [line.cells[column.key] for column in table.columns]
        printed = [(c.published, _verdict_text(c)) if beside else () for c in cells]
        flat = [x for c, p in zip(cells, printed, strict=True) for x in (*_numbers(c), *p)]
        writer.writerow(map(csv_cell, [line.label, line.note, *flat, line.changed]))
    return out.getvalue()


def _prints(table: AblationTable) -> bool:
    """Whether anything stands beside print."""
    return any(table.prints(column.key) for column in table.columns)


def as_markdown(table: AblationTable) -> str:
    """A table to read on a page: measured, (published), verdict."""
    notes = _Notes(table.footnotes())
    head = ["row", "changed", *(_as_written(column.head) for column in table.columns)]
    lines = [_pipe(head), _pipe(["---", "---", *(["---:"] * len(table.columns))])]
    for line in table.lines:
        cells = [
            "<br>".join(filter(None, _cell_lines(column, line.cells[column.key], notes)))
            for column in table.columns
        ]
        about = (_row_name(line, notes), line.changed)
        lines.append(_pipe([*map(_as_written, about), *cells]))
    parts = [f"# {_as_written(table.title)}", _markdown_lines(_legend(table)), "\n".join(lines)]
    parts += [_bullets(notes.texts()), _bullets(map(str, table.ranks))]
    return "\n\n".join(part for part in parts if part) + "\n"


def as_text(table: AblationTable, *, width: int | None = None) -> str:
    """A table for a terminal or a file: two lines per row, or as many as what it changes takes.

    Args:
        width: signs of a line at most; columns that do not fit go below, rows named again.
    """
    notes = _Notes(table.footnotes())
    head = ["row", "changed", *(column.head for column in table.columns)]
    body = [
        [
            [_row_name(line, notes)],
            textwrap.wrap(line.changed, _CHANGED_WIDTH) or [""],
            *(_cell_lines(column, line.cells[column.key], notes) for column in table.columns),
        ]
        for line in table.lines
    ]
    widths = [
        max(len(head[i]), *(len(text) for row in body for text in row[i]))
        for i in range(len(head))
    ]
    shown = "\n\n".join(
        _block(
            [head[i] for i in chosen],
            [[row[i] for i in chosen] for row in body],
            texts=sum(i < 2 for i in chosen),
        )
        for chosen in _that_fit(widths, width)
    )
    parts = [table.title, _legend(table), shown, "\n".join(notes.texts())]
    parts.append("\n".join(["Kendall's tau over the rows:", *map(str, table.ranks)]))
    return "\n\n".join(part for part in (*parts[:-1], parts[-1] if table.ranks else "") if part)


def _that_fit(widths: Sequence[int], room: int | None) -> list[list[int]]:
    """Columns side by side, the first one in each group, as many as there is room for."""
    if room is None:
        return [list(range(len(widths)))]
    groups: list[list[int]] = [[0]]
    left = room - widths[0]
    for i, width in enumerate(widths[1:], start=1):
        if left < width + 2 and len(groups[-1]) > 1:
            groups.append([0])
            left = room - widths[0]
        groups[-1].append(i)
        left -= width + 2
    return groups


def _block(head: Sequence[str], body: Sequence[Sequence[Sequence[str]]], *, texts: int) -> str:
    """One table; a cell is its lines, and the first `texts` columns begin at their left."""
    widths = [
        max(len(head[i]), *(len(text) for row in body for text in row[i]))
        for i in range(len(head))
    ]
    lines = [_spaced(head, widths, texts)]
    for row in body:
        for i in range(max(len(cell) for cell in row)):
            cells = [cell[i] if i < len(cell) else "" for cell in row]
            lines.append(_spaced(cells, widths, texts))
    return "\n".join(line for line in lines if line)  # nothing printed: no second line


def as_latex(table: AblationTable) -> str:
    """A booktabs table; wants \\usepackage{booktabs}."""
    columns = [c for c in table.columns if not c.key.startswith("flops_exact")]
    wide = [2 if table.prints(column.key) else 1 for column in columns]
    lines = [
        *([_TEX_MARKS] if _prints(table) else []),
        "\\begin{tabular}{ll" + "r" * sum(wide) + "}",
        "\\toprule",
        *_tex_heads([column.head for column in columns], wide),
        "\\midrule",
    ]
    for line in table.lines:
        cells = [
            text
            for c, n in zip(columns, wide, strict=True)
            for text in _tex_cells(c, line.cells[c.key])[:n]
        ]
        lines.append(" & ".join([tex(line.label), tex(line.changed), *cells]) + r" \\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


def _tex_heads(heads: Sequence[str], wide: Sequence[int]) -> list[str]:
    """Headings; a second line of `ours` and `paper` where any column has both."""
    names = [
        f"\\multicolumn{{{n}}}{{c}}{{{tex(head)}}}" for head, n in zip(heads, wide, strict=True)
    ]
    if max(wide, default=1) == 1:
        return [" & ".join(["row", "changed", *names]) + r" \\"]
    ends = list(itertools.accumulate(wide, initial=2))
    rules = [
        f"\\cmidrule(lr){{{end - n + 1}-{end}}}" for end, n in zip(ends[1:], wide, strict=True)
    ]
    below = [text for n in wide for text in ("ours", "paper")[:n]]
    return [
        " & ".join(["", "", *names]) + r" \\",
        "".join(rules),
        " & ".join(["row", "changed", *below]) + r" \\",
    ]


class _Notes:
    """Footnotes: a reason that many cells share is given once."""

    def __init__(self, reasons: Collection[str]) -> None:
        self.reasons = reasons
        """Of verdicts that stand below."""
        self._numbers: dict[str, int] = {}

    def mark(self, text: str) -> str:
        return f"[{self._numbers.setdefault(text, len(self._numbers) + 1)}]"

    def texts(self) -> list[str]:
        return [f"[{number}] {text}" for text, number in self._numbers.items()]


def _row_name(line: TableRow, notes: _Notes) -> str:
    return f"{line.label} {notes.mark(line.note)}" if line.note else line.label


def _cell_lines(column: TableColumn, cell: Cell, notes: _Notes) -> list[str]:
    """ "0.97 [0.95, 0.99]" and "(0.96) matches"."""
    verdict: str = cell.verdict.kind
    if cell.verdict.reason in notes.reasons:
        verdict = f"{verdict} {notes.mark(cell.verdict.reason)}"
    elif verdict:
        verdict = str(cell.verdict)
    published = f"({cell.published})" if cell.published else ""
    return [_measured(column, cell), f"{published} {verdict}".strip()]


def _measured(column: TableColumn, cell: Cell) -> str:
    if cell.value is None:
        return cell.status
    text = _number(column, cell.value)
    if cell.low is None or cell.high is None or cell.low == cell.high:
        return text
    return f"{text} [{_number(column, cell.low)}, {_number(column, cell.high)}]"


def _number(column: TableColumn, value: float) -> str:
    return f"{value:+.{column.digits}f}" if column.signed else f"{value:.{column.digits}f}"


def _numbers(cell: Cell) -> list[float | str]:
    shown = cell.status if cell.value is None else cell.value
    return [shown, *("" if v is None else v for v in (cell.low, cell.high))]


def _verdict_text(cell: Cell) -> str:
    return str(cell.verdict)


def _legend(table: AblationTable) -> str:
    legend = "each cell: measured [95 % interval]"
    if _prints(table):
        legend += ", then (published) and the verdict"
    return "\n".join([*table.conditions, legend])


def _pipe(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _as_written(text: str) -> str:
    """A text in Markdown, where some signs would be formatting, a link or HTML."""
    spelt = re.sub(r"([\\`*<~]|(?<!\w)_|_(?!\w)|\](?=[(\[:])|&(?=#?\w+;))", r"\\\1", text)
    return " ".join(spelt.split())


def _markdown_lines(text: str) -> str:
    return "\n".join(map(_as_written, text.splitlines()))


def _bullets(texts: Iterable[str]) -> str:
    return "\n".join(f"- {_as_written(text)}" for text in texts)


def _spaced(cells: Sequence[str], widths: Sequence[int], texts: int) -> str:
    placed = enumerate(zip(cells, widths, strict=True))
    spaced = (c.ljust(width) if i < texts else c.rjust(width) for i, (c, width) in placed)
    return "  ".join(spaced).rstrip()


def _tex_cells(column: TableColumn, cell: Cell) -> tuple[str, str]:
    value = tex(cell.status) if cell.value is None else _number(column, cell.value)
    value = f"${value}$" if column.signed and cell.value is not None else value
    mark = _MARKS[cell.verdict.kind]
    return f"{value} {mark}".strip(), tex(cell.published)
