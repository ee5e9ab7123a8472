"""Printing a command's result: JSON when asked for, else text."""

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def as_json(data: object) -> str:
    """One line of strict JSON: a number that is not finite becomes null."""
    spelt = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return json.dumps(_finite(data), ensure_ascii=not spelt, allow_nan=False)


def emit(data: object, text: str, json_wanted: bool) -> None:
    """Print `data` as JSON or `text` to stdout."""
    typer.echo(as_json(data) if json_wanted else text)


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
    """A plain table: the first column to the left, numbers to the right."""
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    right = [
        all(_is_number(row[i]) or not row[i] for row in cells[1:]) and i > 0
        for i in range(len(head))
    ]
    lines = [
        "  ".join(
            cell.rjust(w) if r else cell.ljust(w)
            for cell, w, r in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    ]
    return "\n".join(lines)


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
