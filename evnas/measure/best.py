"""`runtime: best`: the fastest runtime of this machine for each candidate.

All that are here are measured once a device, shape and family of architectures, which is kept in
the user's cache. For a candidate those are tried that came within `TOLERANCE` of the fastest
there, and the fastest of them is taken.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from evnas.errors import MeasurementError
from evnas.measure.ranking import Place, Prepare, considered, made_ready, must_run, ranked
from evnas.measure.stopwatch import Stopwatch, stopwatch_for
from evnas.measure.target import Target
from evnas.measure.timing.device_lock import DeviceLock, device_lock_for
from evnas.measure.timing.machine import machine_here
from evnas.measure.timing.noise_monitor import NoiseMonitor, noise_monitor_for
from evnas.measure.timing.speed import TimedModel
from evnas.tables import RUNTIMES

TOLERANCE = 0.1
"""A runtime that was slower than the fastest by more than this share is not tried again: what is
taken may be slower than the best by so much where a candidate is unlike its family."""
ALWAYS = ("evnas", "torch")
"""Packages whose versions decide who is fastest, beside those that a runtime needs."""


@dataclass(frozen=True, slots=True)
class Survey:
    """Times of all runtimes for one family, on one device and shape."""

    places: tuple[Mapping[str, Any], ...]
    """`Place.to_dict` of each, fastest first."""
    disturbed: str = ""
    """What else ran meanwhile; such a survey is not kept in the cache."""

    @property
    def order(self) -> tuple[str, ...]:
        """Those that ran, fastest first."""
        return tuple(place["runtime"] for place in self.places if "latency_ms" in place)

    @property
    def shortlist(self) -> tuple[str, ...]:
        """Those within `TOLERANCE` of the fastest, fastest first."""
        times = {p["runtime"]: p["latency_ms"] for p in self.places if "latency_ms" in p}
        most = (1 + TOLERANCE) * min(times.values())
        return tuple(name for name in self.order if times[name] <= most)

    def to_dict(self) -> dict[str, Any]:
        """Runtime -> milliseconds of a batch, or why it was refused."""
        return {p["runtime"]: p.get("latency_ms", p.get("refused")) for p in self.places}


def family_of(arch: Mapping[str, Any]) -> str:
    """What architectures must share to share a survey: the kinds of their mixers, or the model
    where it is timm's.

    Args:
        arch: `ArchSpec.to_dict()`, or `{"timm": NAME}`.
    """
    if "timm" in arch:
        return f"timm:{arch['timm']}"
    mixers = (stage.get("mixer") for stage in arch["stages"])
    return "+".join(sorted({str(mixer["kind"]) for mixer in mixers if mixer})) or "no mixer"


def surveyed(
    family: str,
    target: Target,
    prepare: Prepare,
    *,
    among: Sequence[str] = (),
    folder: Path | None = None,
    device_lock: DeviceLock | None = None,
    stopwatch: Stopwatch | None = None,
    watch: NoiseMonitor | None = None,
) -> Survey:
    """The survey of a family, taken from the cache or, the first time, with the device held.

    Args:
        family: of `family_of`.
        target: of runtime `best`, settled.
        prepare: makes a model of the family ready.
        among: the runtimes that may be taken, as far as the device has them; all where none is
            named.
        folder: of the cache; the user's own unless given.

    Raises:
        MeasurementError: no runtime runs the model.
    """
    here = considered(target.device)
    names = tuple(n for n in here if n in among) if among else here
    key = _key(family, target, names)
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:20]
    file = (cache_folder() if folder is None else folder) / f"{digest}.json"
    with suppress(OSError, ValueError, KeyError):
        return Survey(tuple(json.loads(file.read_text())["places"]))
    watch = watch or noise_monitor_for(target.device)
    with (device_lock or device_lock_for(target.device)).measuring(float("inf")):
        before = watch.read()
        places = ranked(
            [replace(target, runtime=name) for name in names],
            prepare,
            stopwatch=stopwatch or stopwatch_for(target.device),
        )
        disturbed = watch.spoiled(before, watch.read())
    must_run(places)
    survey = Survey(tuple(place.to_dict() for place in places), disturbed)
    if not disturbed:
        with suppress(OSError):  # measured again next time
            _write(file, {"of": key, "places": survey.places})
    return survey


def taken(
    survey: Survey,
    target: Target,
    prepare: Prepare,
    *,
    device_lock: DeviceLock | None = None,
    stopwatch: Stopwatch | None = None,
) -> TimedModel:
    """The candidate ready in the runtime that is fastest for it, with what was chosen among.

    Of a shortlist of one nothing is timed. Where no runtime of the shortlist runs the candidate,
    the next ones of the survey are asked, one by one.

    Args:
        survey: of its family.
        target: of runtime `best`, settled.
        prepare: makes the candidate ready.

    Raises:
        MeasurementError: no runtime runs it.
    """
    shortlist = survey.shortlist
    places: list[Place] = []
    if len(shortlist) > 1:
        with (device_lock or device_lock_for(target.device)).measuring(float("inf")):
            places = ranked(
                [replace(target, runtime=name) for name in shortlist],
                prepare,
                stopwatch=stopwatch or stopwatch_for(target.device),
                rounds=3,
                most_s=0.5,
            )
    for name in survey.order:
        if any(place.timed for place in places):
            break
        if name not in {place.runtime for place in places}:
            places.append(made_ready(replace(target, runtime=name), prepare))
    must_run(places)
    return _as_best(places, survey, target)


def runs_nothing(model: object, images: object, target: Target) -> Any:
    """What is in a runtime's place: `best` is a choice among others.

    Raises:
        MeasurementError: always.
    """
    raise MeasurementError(
        "runtime 'best' chooses another for each model, and runs none itself: prepare a model for "
        f"one of {', '.join(considered(target.device))}"
    )


def cache_folder() -> Path:
    """Where surveys are kept: `evnas/runtimes` in the user's cache."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(root) if root else Path.home() / ".cache") / "evnas" / "runtimes"


def _as_best(places: Sequence[Place], survey: Survey, target: Target) -> TimedModel:
    """The fastest of those that ran, with what was chosen among."""
    first = min((p for p in places if p.timed is not None), key=lambda place: place.latency_ms)
    assert first.timed is not None
    chosen = {
        "tolerance": TOLERANCE,
        "survey_ms": survey.to_dict(),
        "survey_disturbed": survey.disturbed,
        "tried_ms": {p.runtime: round(p.latency_ms, 4) for p in places if p.samples_ms},
        "refused": {p.runtime: str(p.error) for p in places if p.error is not None},
    }
    facts = {**first.timed.facts, "best": {key: value for key, value in chosen.items() if value}}
    return replace(first.timed, target=target, taken=first.runtime, facts=facts)


def _key(family: str, target: Target, names: Sequence[str]) -> dict[str, Any]:
    """What a survey holds for."""
    return {
        "family": family,
        "protocol": 2,  # 1 let the threads of one runtime disturb the next one's
        "target": target.id,
        "processor": machine_here(target.device).processor,
        "threads": torch.get_num_threads(),
        "runtimes": sorted(names),
        "versions": versions(names),
    }


def versions(runtimes: Sequence[str]) -> dict[str, str]:
    """Versions of what decides who of these is fastest, as far as it is installed."""
    needed = {package for name in runtimes for package in RUNTIMES.get(name).packages}
    found = {}
    for name in sorted({*ALWAYS, *needed}):
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _write(file: Path, content: Mapping[str, Any]) -> None:
    """Whole or not at all: several processes may survey at once."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(content, indent=1))
    draft.replace(file)
