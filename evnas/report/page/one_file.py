"""Writes what `evnas report` writes: the page as one file, the front as data, pictures."""

import importlib.util
from collections.abc import Set
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from evnas.files import write_whole
from evnas.report.frame.objectives import find_objectives
from evnas.report.frame.study_reader import StudyReader
from evnas.report.page.about import describe_study
from evnas.report.page.html import one_file
from evnas.report.page.pack import pack
from evnas.report.page.pictures import write_pictures
from evnas.report.page.strict_json import dumps
from evnas.report.page.trial_card import describe_trial
from evnas.report.panels.table import PANELS, added_scripts, compute_panel
from evnas.report.query.front import collect_points, find_front
from evnas.store.export import export

MOST_CARDS = 2000
"""Of a large study."""
RECORDS = "records.parquet"


def write_report(study_dir: Path, out_dir: Path | None = None) -> list[Path]:
    """Write report.html, front.json and, where a browser is installed, PNG and SVG figures.

    The page of a large study has the cards of its front and of its newest trials; with pyarrow
    all records lie beside it, as records.parquet.

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
        write_whole(page, render_page(reader))
        write_whole(data, dumps(collect_front(reader)) + "\n")
        records = _write_records(reader, out)
    finally:
        reader.close()
    return [page, data, *records, *write_pictures(page, out)]


def render_page(reader: StudyReader) -> str:
    """The one-file page of a study that is read to its end."""
    about = describe_study(reader) | {"running": False}
    columns = reader.columns()
    shown = _rows_with_cards(reader)
    cards = [_card(reader, row) if row in shown else None for row in range(len(reader.frame))]
    blocks = {
        "about": dumps(about).encode(),
        "pack": pack(columns, np.arange(len(columns))),
        "cards": dumps(cards).encode(),
    } | {f"panel-{name}": dumps(compute_panel(name, reader)).encode() for name in PANELS.usable()}
    return one_file(f"{about['title']} · evnas", blocks, added_scripts())


def _rows_with_cards(reader: StudyReader) -> Set[int]:
    """All trials, but of a large study: cards are most of a page's bytes."""
    count = len(reader.frame)
    if not reader.is_large():
        return set(range(count))
    rows, values = collect_points(reader.frame, find_objectives(reader.sweep, reader.frame))
    front = set(rows[find_front(values)].tolist())
    return front | set(range(max(0, count - MOST_CARDS + len(front)), count))


def _card(reader: StudyReader, row: int) -> dict[str, Any]:
    records = reader.records_of(row)
    return describe_trial(records, reader.fields_of(records))


def _write_records(reader: StudyReader, out: Path) -> list[Path]:
    """Of a large study everything beside its page, where Parquet can be written."""
    if not reader.is_large() or importlib.util.find_spec("pyarrow") is None:
        return []
    export(reader.store, out / RECORDS)
    return [out / RECORDS]


def collect_front(reader: StudyReader) -> dict[str, Any]:
    """The front by the study's objectives: its trials, best first by the first objective."""
    aims = find_objectives(reader.sweep, reader.frame)
    rows, values = collect_points(reader.frame, aims)
    kept = find_front(values)
    members = sorted(zip(values[kept].tolist(), rows[kept].tolist(), strict=True))
    return {
        "study": reader.folder.name,
        "objectives": [asdict(aim) for aim in aims],
        "trials": len(reader.frame),
        "front": [_member(reader, row) for _, row in members],
    }


def _member(reader: StudyReader, row: int) -> dict[str, Any]:
    found = {k: v for k, v in reader.frame.as_row(row).items() if v not in (None, "")}
    return found | {"arch": describe_trial(reader.records_of(row))["arch"]}
