"""Architectures from a CSV: a header of paths (`stages[0].dim`), each row a change to the base."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evnas.arch.paths import edit
from evnas.arch.spec import ArchSpec
from evnas.errors import SpecError
from evnas.sweep.yaml_lines import parse_yaml

_OTHER_SEPARATORS = {";": "';'", "\t": "a tab", "|": "'|'"}


def rows_of_csv(path: Path, base: ArchSpec) -> Iterator[tuple[str, ArchSpec]]:
    """(origin, architecture) of each row; an empty cell changes nothing, an empty line is none.

    Raises:
        SpecError: with file and line, for what is no such table.
        OSError: the file cannot be read.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, strict=True)
        columns: list[str] = []
        rows = 0
        while True:
            try:
                row = next(reader, None)
                if row is None:
                    break
                if not row:
                    continue
                if not columns:
                    columns = _header(row)
                    continue
                arch = edit(base, _changes(columns, row))
            except (SpecError, csv.Error) as e:
                raise SpecError(f"{path}:{max(1, reader.line_num)}: {e}") from None
            except UnicodeDecodeError as e:
                raise SpecError(f"{path}: must be UTF-8, got other bytes ({e.reason})") from None
            rows += 1
            yield f"{path.name}:{reader.line_num}", arch
    if not rows:
        raise SpecError(f"{path}: must hold a header of paths such as stages[0].dim, and a row")


def _header(row: Sequence[str]) -> list[str]:
    columns = [name.strip() for name in row]
    for sign, name in _OTHER_SEPARATORS.items():
        if len(columns) == 1 and sign in columns[0]:
            raise SpecError(f"columns must be separated by commas, got {name}")
    if "" in columns:
        which = "the first column" if not columns[0] else f"column {columns.index('') + 1}"
        raise SpecError(
            f"every column must be a path such as stages[0].dim, {which} has no name; of pandas, "
            "write with index=False"
        )
    for name in columns:
        if columns.count(name) > 1:
            raise SpecError(f"every column must appear once, {name!r} appears several times")
    return columns


def _changes(columns: Sequence[str], row: Sequence[str]) -> dict[str, Any]:
    """Path -> value of the cells that hold something."""
    if row[0].lstrip().startswith("#"):
        raise SpecError(f"a row must hold values, CSV knows no comments: {row[0]!r:.40}")
    if len(row) != len(columns):
        raise SpecError(f"a row must have a value per column, got {len(row)} for {len(columns)}")
    cells = zip(columns, row, strict=True)
    return {path: _value(path, text) for path, text in cells if text.strip()}


def _value(path: str, text: str) -> Any:
    try:
        return parse_yaml(f"value: {text.strip()}", source=path).data["value"]
    except SpecError as e:
        raise SpecError(f"{e.reason}, in {text!r}", path) from None
