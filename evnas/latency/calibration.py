"""Measures what a design asks for, as far as there is time, and gathers what a predictor needs."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evnas.arch.spec import ArchSpec
from evnas.errors import MeasurementError
from evnas.latency.design import Design
from evnas.latency.measuring import Measurer, what_network, what_part
from evnas.latency.parts import Part, part_of_dict
from evnas.latency.predictor import LatencyPredictor, NetworkTime, PartTime
from evnas.latency.table import LatencyTable, Timed
from evnas.measure.target import Target

SAY_EVERY_S = 10.0
DIGITS = 12
"""Of a calibration's id."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """All that a predictor of one target is made from, as plain data; a study keeps it."""

    target: str
    """Its id."""
    resolution: int
    batch_size: int
    of: Mapping[str, Any]
    """What it was measured on, see `evnas.latency.table.conditions_of`."""
    parts: tuple[Mapping[str, Any], ...]
    """`part` and `latency_ms` of each."""
    networks: tuple[Mapping[str, Any], ...]
    """`network`, `latency_ms` and `macs` of each, the base of the space first."""

    @property
    def id(self) -> str:
        """Names it: what it was measured on, and all that was found."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "target": self.target,
            "resolution": self.resolution,
            "batch_size": self.batch_size,
            "of": dict(self.of),
            "parts": [dict(row) for row in self.parts],
            "networks": [dict(row) for row in self.networks],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Calibration":
        """The inverse of `to_dict`."""
        rows = {name: tuple(data[name]) for name in ("parts", "networks")}
        return cls(**{**data, **rows})

    @property
    def part_times(self) -> list[PartTime]:
        """Its parts."""
        return [
            PartTime(part=part_of_dict(row["part"]), latency_ms=row["latency_ms"])
            for row in self.parts
        ]

    @property
    def network_times(self) -> list[NetworkTime]:
        """Its networks."""
        return [
            NetworkTime(
                arch=ArchSpec.from_dict(row["network"]),
                latency_ms=row["latency_ms"],
                macs=row["macs"],
            )
            for row in self.networks
        ]

    def predictor(self) -> LatencyPredictor:
        """Fitted to it; the same every time.

        Raises:
            MeasurementError: too little was measured.
        """
        return LatencyPredictor(self.part_times, self.network_times, resolution=self.resolution)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationProgress:
    """How far a calibration is."""

    measured: int
    """In this run."""
    known: int
    """Found in the table."""
    left: int
    """Of the design, for want of time."""
    refused: tuple[str, ...]
    """Of all that the runtime could not run, each reason once."""
    seconds: float


def calibrate(
    design: Design,
    table: LatencyTable,
    measurer: Measurer,
    target: Target,
    *,
    minutes: float | None = None,
    say: Callable[[str], None] = lambda text: None,
    clock: Callable[[], float] = time.monotonic,
) -> CalibrationProgress:
    """Measure what the design asks for and the table lacks, keeping each at once.

    Args:
        target: settled.
        minutes: after which nothing more is begun; None goes on to the end.
        say: hears how far it is.

    Raises:
        MeasurementError: the runtime runs nothing at all here, or the table cannot be written.
    """
    start = said = clock()
    wanted = list(design.in_turn())
    refused: dict[str, None] = {}
    measured = known = left = 0
    for i, one in enumerate(wanted):
        found = table.get(what_of(one, target), _batch(target))
        if found is not None:
            known += 1
        elif minutes is not None and clock() - start >= 60 * minutes:
            left += 1
            continue
        else:
            found = measurer.part(one) if isinstance(one, Part) else measurer.network(one)
            table.add(found)
            measured += 1
        if found.refused:
            refused[found.refused] = None
        if clock() - said >= SAY_EVERY_S:
            said = clock()
            say(_how_far(i + 1, len(wanted), found, said - start, measured))
    return CalibrationProgress(
        measured=measured,
        known=known,
        left=left,
        refused=tuple(refused),
        seconds=clock() - start,
    )


def calibration_in(
    table: LatencyTable, networks: Sequence[ArchSpec], target: Target
) -> Calibration:
    """What a table holds for a target: all parts of its batch, and of these networks those that
    were measured.

    Args:
        networks: of a design; the predictor's intervals are those of their space.
        target: settled.
    """
    steady, batch = table.steady(), _batch(target)
    found = [(arch, table.get(what_network(arch, target.resolution), batch)) for arch in networks]
    return Calibration(
        target=target.id,
        resolution=target.resolution,
        batch_size=batch,
        of=table.of,
        parts=tuple(_parts_in(table.entries.values(), steady, batch)),
        networks=tuple(
            {
                "network": arch.to_dict(),
                "latency_ms": round(steady[timed.key], 5),
                "macs": timed.macs,
            }
            for arch, timed in found
            if timed is not None and timed.key in steady
        ),
    )


def must_be_calibrated(calibration: Calibration, command: str) -> LatencyPredictor:
    """Its predictor.

    Args:
        command: that would measure what is lacking.

    Raises:
        MeasurementError: too little of it was measured; with the command.
    """
    try:
        return calibration.predictor()
    except MeasurementError as e:
        raise MeasurementError(f"target {calibration.target}: {e} ({command})") from None


def _parts_in(
    entries: Iterable[Timed], steady: Mapping[str, float], batch: int
) -> list[dict[str, Any]]:
    """In the order of their keys, whatever order they were measured in."""
    chosen = [
        entry
        for entry in entries
        if "part" in entry.what and entry.batch_size == batch and entry.key in steady
    ]
    return [
        {"part": dict(entry.what["part"]), "latency_ms": round(steady[entry.key], 5)}
        for entry in sorted(chosen, key=lambda entry: entry.key)
    ]


def what_of(one: Part | ArchSpec, target: Target) -> dict[str, Any]:
    """A part or network as a table names it."""
    return what_part(one) if isinstance(one, Part) else what_network(one, target.resolution)


def _how_far(done: int, total: int, timed: Timed, seconds: float, measured: int) -> str:
    took = "refused" if timed.latency_ms is None else f"{timed.latency_ms:.3g} ms"
    name = str(part_of_dict(timed.what["part"])) if "part" in timed.what else "a whole network"
    left_s = seconds / max(1, measured) * (total - done)
    return (
        f"{done} of {total} after {seconds / 60:.1f} min, about {left_s / 60:.1f} to go; "
        f"last {name}: {took}"
    )


def _batch(target: Target) -> int:
    assert target.batch_size != "auto"  # settled
    return target.batch_size
