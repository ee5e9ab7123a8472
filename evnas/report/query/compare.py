"""Studies set side by side: rows of one architecture, how far their figures lie apart, and which
rows change their order."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evnas.errors import SpecError
from evnas.report.query.rank_flips import orders_of
from evnas.report.query.row_figures import Compared, Row, differences_of, read_study


def compare(folders: Sequence[Path]) -> dict[str, Any]:
    """Set studies side by side; the first is what the others are compared with.

    Returns:
        Plain data: `studies` (name, folder, rows, complete), `rows` (digest, label by study,
        status by study, values by study, differences by study, the first left out), `orders` (by
        study, the first left out: how each quantity orders the rows that both have).

    Raises:
        SpecError: fewer than two studies, or one twice.
        StoreError: a study cannot be read.
    """
    if len(folders) < 2 or len({f.resolve() for f in folders}) < len(folders):
        raise SpecError("compare takes two studies or more, each once")
    studies = [read_study(folder) for folder in folders]
    names = _names(studies)
    beside = _beside(studies)
    lines = [_line(row, names) for row in beside]
    return {
        "studies": [
            {
                "name": name,
                "folder": study.folder,
                "rows": len(study.rows),
                "complete": sum(row.status == "complete" for row in study.rows),
            }
            for name, study in zip(names, studies, strict=True)
        ],
        "rows": lines,
        "orders": {
            name: [asdict(order) for order in orders_of([(row[0], row[place]) for row in beside])]
            for place, name in enumerate(names)
            if place
        },
    }


def _names(studies: Sequence[Compared]) -> list[str]:
    """Folders' names; whole paths where two are called the same."""
    names = [study.name for study in studies]
    return [s.folder if names.count(s.name) > 1 else s.name for s in studies]


def _beside(studies: Sequence[Compared]) -> list[list[Row | None]]:
    """A line per architecture, a place per study. Where a study has one several times, such as at
    two resolutions, rows go by their label too."""
    digests = dict.fromkeys(row.digest for study in studies for row in study.rows)
    by_digest: list[dict[str, list[Row]]] = []
    for study in studies:
        mine: dict[str, list[Row]] = {}
        for row in study.rows:
            mine.setdefault(row.digest, []).append(row)
        by_digest.append(mine)
    lines: list[list[Row | None]] = []
    for digest in digests:
        found = [mine.get(digest, []) for mine in by_digest]
        if max(map(len, found)) == 1:
            lines.append([rows[0] if rows else None for rows in found])
            continue
        for label in dict.fromkeys(row.label for rows in found for row in rows):
            lines.append([next((r for r in rows if r.label == label), None) for rows in found])
    return lines


def _line(rows: Sequence[Row | None], names: Sequence[str]) -> dict[str, Any]:
    there = {name: row for name, row in zip(names, rows, strict=True) if row is not None}
    first = rows[0]
    apart = {
        name: [asdict(d) for d in differences_of(first, row)]
        for name, row in list(there.items())
        if first is not None and row is not first
    }
    return {
        "digest": next(iter(there.values())).digest,
        "label": {name: row.label for name, row in there.items()},
        "status": {name: row.status for name, row in there.items()},
        "values": {
            name: {key: figure.value for key, figure in row.figures.items()}
            for name, row in there.items()
        },
        "differences": apart,
    }
