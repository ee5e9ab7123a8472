"""Writes what `evnas report` writes: the page as one file, the front as data, pictures."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from evnas.report.about import about
from evnas.report.analysis import analysis
from evnas.report.cards import card
from evnas.report.front import front, points
from evnas.report.html import one_file
from evnas.report.objectives import objectives
from evnas.report.pack import pack
from evnas.report.pictures import write_pictures
from evnas.report.reading import StudyReader
from evnas.report.strict_json import dumps


def write_report(study_dir: Path, out_dir: Path | None = None) -> list[Path]:
    """Write report.html, front.json and, where a browser is installed, PNG and SVG figures.

    Args:
        study_dir: a study's folder, with its study.db.
        out_dir: where to write; the study's own folder when None.

    Returns:
        The files written.

    Raises:
        StoreError: no study there, or one that cannot be read.
    """
    reader = StudyReader(study_dir.resolve())
    try:
        reader.read_all()
        out = out_dir or study_dir
        out.mkdir(parents=True, exist_ok=True)
        page, data = out / "report.html", out / "front.json"
        page.write_text(page_of(reader), encoding="utf-8")
        data.write_text(dumps(front_data(reader)) + "\n", encoding="utf-8")
    finally:
        reader.close()
    return [page, data, *write_pictures(page, out)]


def page_of(reader: StudyReader) -> str:
    """The one-file page of a study that is read to its end."""
    told = about(reader) | {"running": False}
    columns = reader.columns()
    cards = [card(reader.records_of(row)) for row in range(len(reader.frame))]
    blocks = {
        "about": dumps(told).encode(),
        "pack": pack(columns, np.arange(len(columns))),
        "cards": dumps(cards).encode(),
        "analysis": dumps(analysis(reader)).encode(),
    }
    return one_file(f"{told['title']} · evnas", blocks)


def front_data(reader: StudyReader) -> dict[str, Any]:
    """The front by the study's objectives: its trials, best first by the first objective."""
    aims = objectives(reader.sweep, reader.frame)
    rows, values = points(reader.frame, aims)
    kept = front(values)
    members = sorted(zip(values[kept].tolist(), rows[kept].tolist(), strict=True))
    return {
        "study": reader.folder.name,
        "objectives": [asdict(aim) for aim in aims],
        "trials": len(reader.frame),
        "front": [_member(reader, row) for _, row in members],
    }


def _member(reader: StudyReader, row: int) -> dict[str, Any]:
    found = {k: v for k, v in reader.frame.as_row(row).items() if v not in (None, "")}
    return found | {"arch": card(reader.records_of(row))["arch"]}
