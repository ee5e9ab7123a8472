"""Effective receptive fields that a study keeps of its trials, as notes beside its records.

A field is drawn after the fact, often with weights from elsewhere. As a note it adds nothing to
what the trial found, to its device time or to the budget of a search.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from evnas.record import Record
from evnas.store import Store

_NOTE = "receptive_field"
_OLD_TARGET = re.compile(r"erf-(\d+)-")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceptiveField:
    """One field of one trial, with what it was taken of."""

    label: str
    digest: str
    resolution: int
    """Side of the images in pixels; 0 where an old record does not say."""
    weights: str
    """The name of the file of weights, or `random`."""
    area_fraction: float | None
    """Share of the pixels at or above 5 % of the peak; None where an old record does not say."""
    map: list[list[float]]
    """Rows from the top, 0 to 1, at most 56 x 56 means."""
    images: int | None = None
    """How many were averaged; None of old records."""
    data: str = ""
    """Which they were: a named set, or a folder."""
    seed: int | None = None
    """Of random weights."""
    taken: float = 0.0
    """Seconds since the epoch."""
    seconds: float = 0.0

    def shown(self) -> dict[str, Any]:
        """As a trial's card has it."""
        return {k: v for k, v in asdict(self).items() if k not in ("label", "digest")}


def keep_field(store: Store, field: ReceptiveField) -> None:
    """Note a field; it takes the place of one of the same trial, resolution and weights.

    Raises:
        StoreError: the study cannot be written.
    """
    about = [field.label, field.digest, field.resolution, field.weights]
    store.note(f"{_NOTE} {json.dumps(about)}", asdict(field))


def fields_of(store: Store, records: Iterable[Record]) -> list[ReceptiveField]:
    """The fields of the trial that these records are of: those noted, and of studies from before
    there were notes those that stand in a record of phase `score`."""
    found = list(records)
    first = found[0]
    trial = json.dumps([first.label, first.digest])[:-1]  # an open list: any field of this trial
    noted = store.notes(f"{_NOTE} {trial},").values()
    old = (_old_field(r) for r in found if r.phase == "score" and "erf" in r.details)
    return [*(ReceptiveField(**raw) for raw in noted), *old]


def _old_field(record: Record) -> ReceptiveField:
    side = _OLD_TARGET.match(record.target)
    return ReceptiveField(
        label=record.label,
        digest=record.digest,
        resolution=int(side[1]) if side else 0,
        weights=str(record.details.get("weights", "")),
        area_fraction=record.values.get("erf_area_fraction"),
        map=[list(line) for line in record.details["erf"]],
        taken=record.started,
        seconds=record.seconds,
    )
