"""What was measured of parts and networks on one device: a file that several searches share.

It lies in the user's cache, one file for a device, processor, runtime, precision, form, number of
threads and the versions of what decides speed. It is replaced whole after every measurement, so a
calibration that is broken off has lost one.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from evnas.errors import MeasurementError
from evnas.measure.best import cache_folder, versions
from evnas.measure.target import Target
from evnas.measure.timing.machine import machine_here

NEIGHBOURS = 4
"""Measurements before and after one whose anchors say how fast the machine was then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One part or network as it was measured, or why it could not be."""

    what: Mapping[str, Any]
    """`{"part": Part.to_dict()}`, or `{"network": ArchSpec.to_dict(), "resolution": S}`."""
    batch_size: int
    latency_ms: float | None = None
    """The least of `samples` of a batch: what disturbs a machine only ever slows it."""
    anchor_ms: float | None = None
    """The same of a fixed network, timed in turn with it: how fast the machine was then."""
    samples: int = 0
    macs: float | None = None
    """Of a network: exact multiply-adds of one image."""
    refused: str = ""
    """Why it has no latency here."""
    at: float = 0.0
    """Seconds since the epoch."""
    seconds: float = 0.0
    """That making it ready and timing it took."""

    @property
    def key(self) -> str:
        """Names it in the table."""
        text = json.dumps([self.what, self.batch_size], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:20]


@dataclass(slots=True)
class LatencyTable:
    """The measurements of one `of`, in the file where they are kept."""

    file: Path
    of: Mapping[str, Any]
    """What all of them were measured on, see `conditions_of`."""
    entries: dict[str, Timed] = field(default_factory=dict)
    """By `Timed.key`."""
    _seen: tuple[int, ...] = ()
    """Which version of the file `entries` has in it."""

    @classmethod
    def of_target(cls, target: Target, *, folder: Path | None = None) -> "LatencyTable":
        """The table of a target on this machine, empty where nothing was measured yet.

        Args:
            target: settled; its batch and resolution do not matter.
            folder: of tables; that of the user's cache unless given.

        Raises:
            MeasurementError: the file is damaged.
        """
        of = conditions_of(target)
        digest = hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:20]
        file = (tables_folder() if folder is None else folder) / f"{digest}.json"
        seen = _version(file)
        return cls(file, of, read_entries(file), seen)

    def get(self, what: Mapping[str, Any], batch_size: int) -> Timed | None:
        """What is known of a part or network."""
        return self.entries.get(Timed(what=what, batch_size=batch_size).key)

    def add(self, timed: Timed) -> None:
        """Keep a measurement, beside what another process has added meanwhile.

        Raises:
            MeasurementError: the file was damaged meanwhile, or cannot be written.
        """
        if _version(self.file) != self._seen:
            self.entries = {**read_entries(self.file), **self.entries}
        self.entries[timed.key] = timed
        entries = {key: _plain(one) for key, one in self.entries.items()}
        content = {"of": self.of, "entries": entries}
        try:
            _replace(self.file, json.dumps(content))
            self._seen = _version(self.file)
        except OSError as e:
            raise MeasurementError(
                f"{self.file}: must be writable, got: {e.strerror}; XDG_CACHE_HOME names another "
                "folder for caches"
            ) from e

    def steady(self) -> dict[str, float]:
        """Key -> latency in ms as if the machine had always been as fast as it mostly was.

        The anchors around each measurement say how fast it was then; their median is taken, so
        that the noise of one does not come in.
        """
        timed = sorted(
            (e for e in self.entries.values() if e.latency_ms is not None), key=lambda e: e.at
        )
        anchors = [e.anchor_ms for e in timed if e.anchor_ms]
        usual = _median(anchors) if anchors else 1.0
        found = {}
        for i, entry in enumerate(timed):
            near = timed[max(0, i - NEIGHBOURS) : i + NEIGHBOURS + 1]
            then = [e.anchor_ms for e in near if e.anchor_ms]
            assert entry.latency_ms is not None
            found[entry.key] = entry.latency_ms * (usual / _median(then) if then else 1.0)
        return found


def conditions_of(target: Target) -> dict[str, Any]:
    """What must be the same for two measurements to stand in one table."""
    return {
        "device": target.device,
        "processor": machine_here(target.device).processor,
        "runtime": target.runtime,
        "precision": target.precision,
        "form": target.form,
        "threads": torch.get_num_threads(),
        "versions": versions([target.runtime]),
    }


def tables_folder() -> Path:
    """Where tables are kept: `evnas/latency` in the user's cache."""
    return cache_folder().parent / "latency"


def read_entries(file: Path) -> dict[str, Timed]:
    """The measurements in a table's file; none where there is no file.

    Raises:
        MeasurementError: it is damaged.
    """
    if not file.exists():
        return {}
    try:
        entries = json.loads(file.read_text())["entries"]
        return {key: Timed(**raw) for key, raw in entries.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise MeasurementError(
            f"{file}: must be a table of latencies in JSON as `evnas calibrate` writes it, got "
            f"{type(e).__name__}: {e}; remove the file to measure again"
        ) from None


def _plain(timed: Timed) -> dict[str, Any]:
    return {each.name: getattr(timed, each.name) for each in fields(timed)}


def _version(file: Path) -> tuple[int, ...]:
    """Tells two versions of a file apart; () where there is none."""
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size


def _replace(file: Path, text: str, clock: Callable[[], int] = time.time_ns) -> None:
    """Whole or not at all: several processes may calibrate at once."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(f".{os.getpid()}-{clock()}")
    try:
        draft.write_text(text)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    n = len(ordered)
    return (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
