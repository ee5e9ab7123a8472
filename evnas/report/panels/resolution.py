"""Latency of an image against its resolution, a curve a model: the Resolution panel."""

import re
from collections.abc import Iterator
from typing import Any

from evnas.errors import EvnasError
from evnas.record import Record
from evnas.report.frame.study_reader import StudyReader
from evnas.report.table.row_records import RowRecords, batch_timed
from evnas.sweep.candidate import Candidate
from evnas.sweep.sweep import sweep_of

_SIDE = re.compile(r"@\d+$")
"""What a row's name has behind the model's, where rows differ by their resolution alone."""


class ResolutionPanel:
    """The Resolution panel."""

    name = "resolution"
    script = ""

    def data(self, reader: StudyReader) -> list[dict[str, Any]] | None:
        """A figure a target: `name`, and `curves` of a `name` and `points` with `resolution`,
        `batch`, `ms` an image between `low` and `high`, and how one `ended` that has none of
        these. None of a study without rows, or of an earlier kind."""
        try:
            sweep = sweep_of(reader.sweep)
        except EvnasError:
            return None
        if not sweep.candidates:
            return None
        with reader.lock:
            results = RowRecords(sweep, [record for _, record in reader.store.records()])
        figures = []
        for target, spec in enumerate(sweep.spec.targets):
            curves: dict[str, dict[str, Any]] = {}
            places = set()
            for row in sweep.candidates:
                record = results.speed(row, target)
                if record is not None and spec.mode == "inference":
                    places |= {_place(record)}
                    name = _SIDE.sub("", row.label)
                    curve = curves.setdefault(row.digest, {"name": name, "points": []})
                    curve["points"] += _points(results, row, record, spec.side(row.resolution))
            for curve in curves.values():
                curve["points"].sort(key=lambda point: point["resolution"])
            if curves:
                figures.append({"name": " and ".join(places), "curves": list(curves.values())})
        return figures or None


def _points(
    results: RowRecords, row: Candidate, record: Record, side: int
) -> Iterator[dict[str, Any]]:
    if record.status != "complete":
        yield {"row": row.label, "resolution": side, "ended": record.status}
        return
    rate = results.throughput(row, record).interval()
    yield {
        "row": row.label,
        "resolution": side,
        "batch": batch_timed(record),
        "ms": 1e3 / rate.mid,
        "low": 1e3 / rate.high,
        "high": 1e3 / rate.low,
    }


def _place(record: Record) -> str:
    """What it ran on, without what differs from row to row."""
    on = record.on
    assert on is not None  # of every speed
    form = [on.form] if on.form != "plain" else []
    return ", ".join([on.device, on.runtime, on.precision, *form])


PANEL = ResolutionPanel()
