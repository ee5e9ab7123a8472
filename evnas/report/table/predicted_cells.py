"""Cells of the predicted top-1, and of its difference to the reference row."""

import numpy as np

from evnas.papers.published import PublishedRow
from evnas.record import Record
from evnas.report.table.cells import Cell, interval_cell, parse_number
from evnas.report.table.row_records import RowRecords, ending_status
from evnas.report.table.verdicts import Verdict, against_difference, not_comparable
from evnas.stats.interval import Interval
from evnas.sweep.candidate import Candidate

PREDICTED, DIFFERENCE = "predicted_top1_percent", "predicted_top1_difference"


def predicted_cells(
    results: RowRecords,
    candidate: Candidate,
    *,
    row: PublishedRow | None,
    base: PublishedRow | None,
) -> dict[str, Cell]:
    """`predicted_top1_percent` and its difference; `base` is the reference as printed."""
    record = _latest(results, candidate)
    status = ending_status(results.of(candidate, "predict"), candidate)
    text = row.printed.get("top1", "") if row else ""
    level = None if record is None else _interval(record)
    reference = _latest(results, results.sweep.reference)
    apart, verdict = None, Verdict()
    mine, theirs = (r.number("top1") if r else None for r in (row, base))
    printed = f"{mine - theirs:+.1f}" if mine is not None and theirs is not None else ""
    if record is not None and reference is not None and candidate != results.sweep.reference:
        if record.details["held_out"] != reference.details["held_out"]:
            verdict = not_comparable("predicted by fits that know different papers")
        else:
            apart = _difference(record, reference)
            verdict = against_difference(apart, float(printed)) if printed else Verdict()
    return {
        PREDICTED: interval_cell(level, text, _beside(level, text), status),
        DIFFERENCE: interval_cell(apart, printed, verdict, status),
    }


def _latest(results: RowRecords, candidate: Candidate) -> Record | None:
    found = [r for r in results.of(candidate, "predict") if r.status == "complete"]
    return found[-1] if found else None


def _interval(record: Record) -> Interval:
    low, high = (record.values[f"predicted_top1_{end}_percent"] for end in ("low", "high"))
    return Interval(low, record.values[PREDICTED], high)


def _difference(record: Record, reference: Record) -> Interval:
    """Between its 95 % bounds, from joint draws: what both have in common cancels."""
    mine, base = (np.asarray(r.details["draws"][PREDICTED]) for r in (record, reference))
    low, high = np.percentile(mine - base, [2.5, 97.5])
    mid = record.values[PREDICTED] - reference.values[PREDICTED]
    return Interval(float(low), mid, float(high))


def _beside(level: Interval | None, text: str) -> Verdict:
    """A level holds its printed one, or does not; both are of ImageNet."""
    printed = parse_number(text)
    if level is None or printed is None:
        return Verdict()
    if level.holds(printed):
        return Verdict("matches")
    return Verdict("differs", f"by {level.mid - printed:+.1f}")
