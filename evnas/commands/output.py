"""Printing a command's result: JSON when asked for, else text."""

import json
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer

ABOUT_FLOPS = "FLOPs are multiply-adds, as papers print them; files and JSON call them macs."
"""Said below tables that show both words' worth."""
GAP = "  "
"""Between two columns."""
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def as_json(data: object) -> str:
    """One line of strict JSON: a number that is not finite becomes null."""
    spelt = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return json.dumps(_finite(data), ensure_ascii=not spelt, allow_nan=False)


def emit(data: object, text: str, json_wanted: bool) -> None:
    """Print `data` as JSON or `text` to stdout, on a terminal no wider than that."""
    typer.echo(as_json(data) if json_wanted else fitted_text(text, terminal_width()))


def fitted_text(text: str, width: int | None) -> str:
    """Text whose lines have at most `width` signs where words allow it; None leaves them whole.

    What a line goes on with stands two signs further in than its beginning.
    """
    if width is None:
        return text
    return "\n".join(part for line in text.split("\n") for part in _folded(line, width))


def _folded(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    inside = line.lstrip(" ")
    begin = " " * (len(line) - len(inside))
    return textwrap.wrap(
        inside,
        max(1, width),
        initial_indent=begin,
        subsequent_indent=f"{begin}  ",
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )


def talk(text: str) -> None:
    """A line for the person who watches, on stderr."""
    typer.echo(text, err=True)


def warn_of_random_weights(names: Sequence[str]) -> None:
    """Say loudly, on stderr, that models were not trained."""
    if names:
        talk(
            f"WARNING: {', '.join(names)} has RANDOM weights: what it computes means nothing; "
            "give --weights FILE"
        )


def columns(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A plain table: the first column to the left, numbers to the right.

    On a terminal it is as wide as that at most: cells and heads are wrapped, and where even that
    is too wide, each row becomes a paragraph. Piped, lines stay whole.
    """
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    right = [
        all(_is_number(row[i]) or not row[i] for row in cells[1:]) and i > 0
        for i in range(len(head))
    ]
    widths = _widths(cells, terminal_width())
    if widths is None:
        return _paragraphs(cells, terminal_width() or 80)
    return "\n".join(line for row in cells for line in _lines(row, widths, right))


def terminal_width() -> int | None:
    """Signs that a line may have: of the terminal or as COLUMNS says; None where stdout is
    neither, so that pipes and files get whole lines."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit():
        return shutil.get_terminal_size().columns
    return None


def _widths(cells: Sequence[Sequence[str]], room: int | None) -> list[int] | None:
    """A width a column that fits; None where not even the longest words do."""
    of_column = list(zip(*cells, strict=True))
    widths = [max(map(len, column)) for column in of_column]
    if room is None:
        return widths
    least = [max(_longest_word(cell) for cell in column) for column in of_column]
    room -= len(GAP) * (len(widths) - 1)
    if sum(least) > room:
        return None
    while sum(widths) > room:
        shrinking = [i for i, width in enumerate(widths) if width > least[i]]
        widths[max(shrinking, key=lambda i: widths[i])] -= 1
    return widths


def _longest_word(text: str) -> int:
    return max((len(word) for word in text.split(" ")), default=0)


def _lines(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> list[str]:
    """One row, each cell within its width, over as many lines as the tallest needs."""
    wrapped = [wrapped_text(cell, width) for cell, width in zip(row, widths, strict=True)]
    lines = []
    for i in range(max(map(len, wrapped))):
        parts = [cell[i] if i < len(cell) else "" for cell in wrapped]
        placed = [
            part.rjust(w) if r else part.ljust(w)
            for part, w, r in zip(parts, widths, right, strict=True)
        ]
        lines.append(GAP.join(placed).rstrip())
    return lines


def wrapped_text(text: str, width: int) -> list[str]:
    """The text in lines of at most `width` signs, broken behind `; ` where it has any."""
    lines: list[str] = []
    if len(text) <= width:
        return [text]
    for piece in text.replace("; ", ";\n").split("\n"):
        if lines and len(lines[-1]) + 1 + len(piece) <= width:
            lines[-1] += f" {piece}"
        else:
            lines += textwrap.wrap(piece, width, break_on_hyphens=False) or [""]
    return lines


def _paragraphs(cells: Sequence[Sequence[str]], width: int) -> str:
    """A row as lines of `head: cell`; what is empty is left out."""
    head, *rows = cells
    said = [
        [f"{name}: {cell}" for name, cell in zip(head, row, strict=True) if cell] for row in rows
    ]
    return "\n\n".join(
        "\n".join("\n  ".join(wrapped_text(line, max(1, width - 2))) for line in lines)
        for lines in said
    )


def _is_number(text: str) -> bool:
    return bool(text) and text[0] in "-+0123456789"


def _finite(data: object) -> Any:
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, Mapping):
        return {str(key): _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return data
