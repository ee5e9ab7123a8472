"""Runtimes side by side on one model: made ready one after another, then timed in turn."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evnas.errors import EvnasError, MeasurementError
from evnas.measure.stopwatch import Stopwatch
from evnas.measure.target import Target
from evnas.measure.timing.protocol import OutOfMemory, settle
from evnas.measure.timing.speed import TimedModel
from evnas.tables import RUNTIMES

LEAST_SAMPLE_S = 0.01
"""Calls are repeated until a sample takes this long."""
SETTLE_S = 0.05
"""Calls that are not timed, behind those of another runtime, take this long."""
Prepare = Callable[[Target], TimedModel]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One runtime's place among others."""

    runtime: str
    form: str
    prepare_s: float
    """Until its first call could be timed, or it was refused."""
    timed: TimedModel | None = None
    """None where it was refused."""
    samples_ms: tuple[float, ...] = ()
    """Of a batch, one a round."""
    error: EvnasError | None = None
    """Why it has no speed here."""

    @property
    def latency_ms(self) -> float:
        """The least of its rounds, infinite where it was refused: what is sought is who is faster
        undisturbed, and what disturbs makes some runtimes many times slower and others not."""
        return min(self.samples_ms, default=float("inf"))

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for records and for JSON."""
        about = {"runtime": self.runtime, "form": self.form}
        if self.timed is None:
            return {**about, "refused": str(self.error)}
        figures = {"latency_ms": round(self.latency_ms, 4), "prepare_s": round(self.prepare_s, 2)}
        return {**about, **figures, "samples": len(self.samples_ms), **self.timed.facts}


def considered(device: str) -> tuple[str, ...]:
    """Runtimes that `best` looks at on a device, as far as their packages are here.

    Args:
        device: `cpu` or `cuda:N`.
    """
    return tuple(
        name
        for name, runtime in RUNTIMES.usable().items()
        if runtime.considered
        and not runtime.why_not
        and (device != "cpu" or not runtime.needs_cuda)
    )


def ranked(
    targets: Sequence[Target],
    prepare: Prepare,
    *,
    stopwatch: Stopwatch,
    rounds: int = 7,
    most_s: float = 4.0,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Place]:
    """Every runtime's time for one model, fastest first, those that were refused last.

    They take turns, so that what slows the machine for a while slows them all.

    Args:
        targets: one a runtime, alike in all else but its form.
        prepare: makes a target's model ready.
        stopwatch: of the targets' device, which the caller holds.
        rounds: samples of each, fewer where `most_s` is over before, and one at least.
        most_s: seconds of timing.
    """
    places = [made_ready(target, prepare, clock) for target in targets]
    ready = [place.timed for place in places if place.timed is not None]
    samples = iter(in_turn(ready, stopwatch, rounds, most_s))
    found = [
        replace(place, samples_ms=() if place.timed is None else next(samples)) for place in places
    ]
    return sorted(found, key=lambda place: place.latency_ms)


def made_ready(
    target: Target, prepare: Prepare, clock: Callable[[], float] = time.perf_counter
) -> Place:
    """A place that is not timed yet: of a runtime that is ready, or that was refused."""
    start, timed, error = clock(), None, None
    try:
        timed = prepare(target)
    except EvnasError as e:  # it cannot run here, or not this model
        error = e
    return Place(
        runtime=target.runtime,
        form=target.form,
        prepare_s=clock() - start,
        timed=timed,
        error=error,
    )


def in_turn(
    ready: Sequence[TimedModel], stopwatch: Stopwatch, rounds: int, most_s: float
) -> list[tuple[float, ...]]:
    """Milliseconds of a batch of each, one a round, taken in turn.

    Args:
        ready: on one device, which the caller holds.
        rounds: samples of each, fewer where `most_s` is over before, and one at least.
        most_s: seconds of timing.
    """
    repeats = [_repeats(timed, stopwatch) for timed in ready]
    samples: list[list[float]] = [[] for _ in ready]
    end = stopwatch.now() + most_s
    for _ in range(rounds):
        for timed, times, mine in zip(ready, repeats, samples, strict=True):
            settle(timed.call, stopwatch, SETTLE_S)
            mine.append(1e3 * stopwatch.time(timed.call, times) / times)
        if stopwatch.now() >= end:
            break
    return [tuple(mine) for mine in samples]


def _repeats(timed: TimedModel, stopwatch: Stopwatch) -> int:
    """Calls of a sample; the first call may compile or allocate, and tells nothing."""
    timed.call()
    once = stopwatch.time(timed.call, 1)
    return max(1, min(100, round(LEAST_SAMPLE_S / max(once, 1e-6))))


def must_run(places: Sequence[Place]) -> None:
    """Some runtime ran the model.

    Raises:
        OutOfMemory: none did, since it did not fit.
        MeasurementError: none did; with each one's reason.
    """
    errors = [place.error for place in places if place.error is not None]
    if len(errors) < len(places):
        return
    reasons = "; ".join(f"{place.runtime}: {place.error}" for place in places)
    kind = OutOfMemory if any(isinstance(e, OutOfMemory) for e in errors) else MeasurementError
    raise kind(f"no runtime of this machine runs the model: {reasons}")
