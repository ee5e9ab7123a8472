"""The ablation table written out: text, Markdown, CSV, LaTeX (booktabs) and plain data."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from evnas.files import csv_cell
from evnas.report.table.ablation import AblationTable
from evnas.report.table.cells import Cell
from evnas.report.table.latex import tex
from evnas.report.table.rows import TableColumn, TableRow

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
    """A line a row; each quantity with its interval, the printed figure and the verdict."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    parts = ("", "_low", "_high", "_published", "_verdict")
    head = [f"{column.key}{part}" for column in table.columns for part in parts]
    writer.writerow(map(csv_cell, ["row", "note", *head]))
    for line in table.lines:
        cells = [line.cells[column.key] for column in table.columns]
        flat = [x for c in cells for x in (*_numbers(c), c.published, _told(c))]
        writer.writerow(map(csv_cell, [line.label, line.note, *flat]))
    return out.getvalue()


def as_markdown(table: AblationTable) -> str:
    """A table to read on a page: measured, (published), verdict."""
    notes = _Notes()
    head = ["row", *(_as_written(column.head) for column in table.columns)]
    lines = [_pipe(head), _pipe(["---", *(["---:"] * len(table.columns))])]
    for line in table.lines:
        cells = [
            "<br>".join(_cell_lines(column, line.cells[column.key], notes))
            for column in table.columns
        ]
        lines.append(_pipe([_as_written(_row_name(line, notes)), *cells]))
    parts = [f"# {_as_written(table.title)}", _markdown_lines(_legend(table)), "\n".join(lines)]
    parts += [_bullets(notes.texts()), _bullets(map(str, table.ranks))]
    return "\n\n".join(part for part in parts if part) + "\n"


def as_text(table: AblationTable, *, width: int | None = None) -> str:
    """A table for a terminal or a file: two lines per row.

    Args:
        width: signs of a line at most; columns that do not fit go below, rows named again.
    """
    notes = _Notes()
    head = ["row", *(column.head for column in table.columns)]
    body = [
        [
            [_row_name(line, notes)],
            *(_cell_lines(column, line.cells[column.key], notes) for column in table.columns),
        ]
        for line in table.lines
    ]
    widths = [
        max(len(head[i]), *(len(text) for row in body for text in row[i]))
        for i in range(len(head))
    ]
    shown = "\n\n".join(
        _block([head[i] for i in chosen], [[row[i] for i in chosen] for row in body])
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


def _block(head: Sequence[str], body: Sequence[Sequence[Sequence[str]]]) -> str:
    """One table; a cell is its lines."""
    widths = [
        max(len(head[i]), *(len(text) for row in body for text in row[i]))
        for i in range(len(head))
    ]
    lines = [_spaced(head, widths)]
    for row in body:
        for i in range(max(len(cell) for cell in row)):
            lines.append(_spaced([c[i] if i < len(c) else "" for c in row], widths))
    return "\n".join(line for line in lines if line)  # nothing printed: no second line


def as_latex(table: AblationTable) -> str:
    """A booktabs table; wants \\usepackage{booktabs}."""
    columns = [c for c in table.columns if not c.key.startswith("flops_exact")]
    spread = "l" + "rr" * len(columns)
    heads = [f"\\multicolumn{{2}}{{c}}{{{tex(column.head)}}}" for column in columns]
    rules = [f"\\cmidrule(lr){{{2 * i + 2}-{2 * i + 3}}}" for i in range(len(columns))]
    lines = [
        "% measured, published; = matches, ~ same direction, != differs, ? cannot tell, "
        "no mark: not comparable",
        "\\begin{tabular}{" + spread + "}",
        "\\toprule",
        " & ".join(["", *heads]) + r" \\",
        "".join(rules),
        " & ".join(["row", *["ours", "paper"] * len(columns)]) + r" \\",
        "\\midrule",
    ]
    for line in table.lines:
        cells = [text for c in columns for text in _tex_cells(c, line.cells[c.key])]
        lines.append(" & ".join([tex(line.label), *cells]) + r" \\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


class _Notes:
    """Footnotes: a reason that many cells share is given once."""

    def __init__(self) -> None:
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
    if verdict == "not comparable":
        verdict = f"not comparable {notes.mark(cell.verdict.reason)}"
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


def _told(cell: Cell) -> str:
    return str(cell.verdict)


def _legend(table: AblationTable) -> str:
    legend = "each cell: measured [95 % interval], then (published) and the verdict"
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


def _spaced(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0].ljust(widths[0])
    rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return "  ".join([first, *rest]).rstrip()


def _tex_cells(column: TableColumn, cell: Cell) -> tuple[str, str]:
    value = tex(cell.status) if cell.value is None else _number(column, cell.value)
    value = f"${value}$" if column.signed and cell.value is not None else value
    mark = _MARKS[cell.verdict.kind]
    return f"{value} {mark}".strip(), tex(cell.published)
