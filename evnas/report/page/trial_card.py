"""All that one trial's card shows: its architecture, and each phase with its samples."""

from collections.abc import Sequence
from typing import Any

from evnas.record import Record
from evnas.report.frame.architecture import list_stages
from evnas.report.frame.receptive_fields import ReceptiveField


def describe_trial(
    records: Sequence[Record], fields: Sequence[ReceptiveField] = ()
) -> dict[str, Any]:
    """One trial as plain JSON data. `records` are those of one trial, at least one."""
    first = records[0]
    return {
        "label": first.label,
        "digest": first.digest,
        "origin": first.origin,
        "arch": dict(first.arch),
        "stages": list_stages(first.arch),
        "phases": [_phase(record) for record in records],
        "fields": [field.shown() for field in fields],
    }


def _phase(record: Record) -> dict[str, Any]:
    return {
        "phase": record.phase,
        "status": record.status,
        "seed": record.seed,
        "budget": record.budget,
        "target": record.target,
        "values": dict(record.values),
        "measurements": {
            name: {"samples": list(m.samples), "conditions": dict(m.conditions)}
            for name, m in record.measurements.items()
        },
        "curve": [dict(point) for point in record.curve],
        "error": record.error,
        "details": dict(record.details),
        "started": record.started,
        "seconds": record.seconds,
    }
