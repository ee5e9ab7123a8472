"""How a sweep is getting on, as the Run panel shows it beside what its driver notes."""

from collections import Counter
from typing import Any

import numpy as np

from evnas.report.frame.snapshot import Snapshot
from evnas.report.frame.study_reader import StudyReader

RECENT = 20
"""Trials that a rate is taken over."""
MOST_KINDS = 12
"""Kinds of failures that are listed, the most frequent first."""


class RunPanel:
    """The Run panel."""

    name = "run"
    script = ""

    def data(self, reader: StudyReader) -> dict[str, Any]:
        """`trials_per_hour` over the last trials, None before two ended; `failures` by kind, each
        with `status`, `reason` and `trials`; `conditions` of the newest speed."""
        columns = reader.columns()
        return {
            "trials_per_hour": trials_per_hour(columns),
            "failures": _failures(columns),
            "conditions": _conditions(reader, columns),
        }


PANEL = RunPanel()


def trials_per_hour(columns: Snapshot) -> float | None:
    """How fast the last trials ended, by their last records."""
    ended = columns.numbers.get("ended", np.empty(0))
    ended = np.sort(ended[np.isfinite(ended)])[-RECENT:]
    if len(ended) < 2 or ended[-1] <= ended[0]:
        return None
    return float(3600 * (len(ended) - 1) / (ended[-1] - ended[0]))


def _failures(columns: Snapshot) -> list[dict[str, Any]]:
    if not len(columns):
        return []
    status, error = columns.text["status"], columns.text["error"]
    bad = np.flatnonzero(~status.is_one("complete"))
    kinds = Counter((int(status.codes[row]), int(error.codes[row])) for row in bad)
    return [
        {"status": status.distinct[s], "reason": error.distinct[e], "trials": n}
        for (s, e), n in kinds.most_common(MOST_KINDS)
    ]


def _conditions(reader: StudyReader, columns: Snapshot) -> dict[str, Any]:
    """What the newest speed was taken under, plain values only."""
    if not len(columns):
        return {}
    phases = columns.text["phases"]
    timed = phases.where(["speed" in text.split() for text in phases.distinct])
    if not timed.any():
        return {}
    row = int(np.where(timed, columns.touched, -1).argmax())
    speeds = [record for record in reader.records_of(row) if record.measurements]
    if not speeds:
        return {}
    measured = next(iter(speeds[-1].measurements.values()))
    plain = {k: v for k, v in measured.conditions.items() if isinstance(v, str | int | float)}
    warnings = [str(each) for each in measured.conditions.get("warnings") or ()]
    return {"target": speeds[-1].target, **plain, "warnings": warnings}
