"""Records as the trial view needs them: read in batches, without what only a trial's card shows.

A study is nearly all JSON that no table shows (curves, conditions, details). pydantic passes over
that without making objects of it, and intervals are drawn for a whole batch at once.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from evnas.record import Status, TargetFields
from evnas.stats.bootstrap import median_intervals
from evnas.stats.interval import Interval
from evnas.store import Store

BATCH = 100
"""Records decoded together. Of 500 so many objects live at once that Python's collector, which
then looks through the whole process, takes a quarter of the time."""


@dataclass(slots=True)
class _Conditions:
    batch_size: float = math.nan


@dataclass(slots=True)
class Timing:
    """Samples of one quantity."""

    samples: list[float]
    conditions: _Conditions


@dataclass(slots=True)
class _Payload:
    """What is looked at in a record's JSON; all else is passed over."""

    values: dict[str, float]
    measurements: dict[str, Timing]
    error: str
    origin: str


@dataclass(slots=True)
class _Curve:
    curve: list[dict[str, Any]]


@dataclass(slots=True)
class _Place:
    target: dict[str, Any] | None = None


@dataclass(slots=True)
class _Details:
    details: _Place


_DETAILS = TypeAdapter(_Details)
_CURVE = TypeAdapter(_Curve)
_PAYLOADS = TypeAdapter(list[_Payload])
_ARCH = TypeAdapter(dict[str, Any])


@dataclass(slots=True)
class SlimRecord:
    """A record without what no table shows, and with its measurements' intervals."""

    id: int
    label: str
    digest: str
    phase: str
    status: Status
    seed: int
    budget: float
    target: str
    started: float
    seconds: float
    values: dict[str, float]
    timings: dict[str, Timing]
    intervals: dict[str, Interval]
    """Of each timing: the median of its samples between its bounds."""
    error: str
    origin: str
    payload_json: str
    arch_json: str

    @property
    def on(self) -> TargetFields | None:
        """The target of a speed: decoded when asked for, once per target."""
        held = _DETAILS.validate_json(self.payload_json).details.target
        return TargetFields.of_old(self.target) if held is None else TargetFields(**held)

    @property
    def arch(self) -> Mapping[str, Any]:
        """The architecture as plain data: decoded when asked for, once per trial."""
        return _ARCH.validate_json(self.arch_json)


def read_slim_records(store: Store, after: int = 0) -> Iterator[list[SlimRecord]]:
    """Batches of up to `BATCH` records with an id over `after`, as they were appended.

    Raises:
        StoreError: the file or a record in it is damaged.
    """
    kept = store.rows(after)
    while rows := list(itertools.islice(kept, BATCH)):
        payloads = _decoded(store, rows)
        found = _intervals([p.measurements for p in payloads])
        yield list(map(_slim_record, rows, payloads, found))


def read_curve_points(store: Store, *, phase: str | None = None) -> Iterator[dict[str, Any]]:
    """Every point of every learning curve, with its record's `label`, `seed` and `budget`.

    Args:
        phase: only of its trainings; None of all.
    """
    for identity, label, _, of_phase, _, seed, budget, *_, payload, _ in store.rows():
        if phase not in (None, of_phase):
            continue
        try:
            points = _CURVE.validate_json(payload).curve
        except ValidationError as e:
            raise store.damaged(f"in record {identity}, whose curve cannot be read") from e
        for point in points:
            yield {"label": label, "seed": seed, "budget": budget, **point}


def _slim_record(
    row: tuple[Any, ...], payload: _Payload, found: dict[str, Interval]
) -> SlimRecord:
    identity, label, digest, phase, status, seed, budget, target, started, seconds, raw, arch = row
    return SlimRecord(
        identity, label, digest, phase, status, seed, budget, target, started, seconds,
        payload.values, payload.measurements, found, payload.error, payload.origin, raw, arch,
    )  # fmt: skip


def _decoded(store: Store, rows: Sequence[tuple[Any, ...]]) -> list[_Payload]:
    """One decoding for all: half of the time would go into calls."""
    try:
        return _PAYLOADS.validate_json(f"[{','.join(row[-2] for row in rows)}]")
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        span = f"{rows[0][0]} to {rows[-1][0]}" if len(rows) > 1 else str(rows[0][0])
        raise store.damaged(f"in records {span} ({first['msg']})") from e


def _intervals(timed: Sequence[Mapping[str, Timing]]) -> list[dict[str, Interval]]:
    """Of every timing of every record; those of as many samples are drawn together."""
    alike: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for i, timings in enumerate(timed):
        for name, timing in timings.items():
            alike[len(timing.samples)].append((i, name))
    found: list[dict[str, Interval]] = [{} for _ in timed]
    for places in alike.values():
        samples = np.array([timed[i][name].samples for i, name in places])
        for (i, name), interval in zip(places, median_intervals(samples), strict=True):
            found[i][name] = interval
    return found
