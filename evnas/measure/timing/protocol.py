"""The measuring protocol: warm up until settled, then rounds, every sample kept.

A *call* is one forward of a batch, or one training step on it: forward, loss, backward. A
*sample* is the mean time of as many calls in a row as make it longer than `least_sample_s`. A
*round* is one sample alone, or four in the order base, candidate, candidate, base, so that a
drift of the machine cancels out of the ratio. Where one forward follows the other, calls that are
not timed come first: the other's threads may spin on for a while, and its weights fill the
caches, which nobody meets who runs one model. A spoiled round is taken again, and what it found
is kept in the conditions; once others were seen to disturb, rounds run before other processes,
where the system allows it.

Rounds end when the `EndRule` has seen enough, else with the budget or their largest number.
"""

import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from evnas.errors import MeasurementError
from evnas.measure.stopwatch import Call, Stopwatch
from evnas.measure.timing.ending import LOOKS, EndRule
from evnas.measure.timing.noise_monitor import NoiseMonitor
from evnas.measure.timing.priority import Precedence, Priority
from evnas.record import Measurement
from evnas.words import counted

T = TypeVar("T")
CALLS_OF_THE_KNOWN = 3
QUIET_ENOUGH = LOOKS[0]
"""Quiet rounds with which the spoiled ones no longer count."""
MOST_SETTLING_CALLS = 100
OUT_OF_MEMORY = re.compile(
    r"can't allocate memory|std::bad_alloc|bad allocation|"
    r"Failed to allocate (\d+ bytes of )?memory|"
    r"could not create a (primitive$|memory object)|Resource temporarily unavailable",
    re.MULTILINE,
)
"""What the messages of plain RuntimeErrors hold that mean it: of torch's CPU allocator, of C++, of
ONNX Runtime and OpenVINO, of oneDNN, which says `primitive descriptor` of what it cannot compute,
and of a thread for whose stack there was no room."""


class OutOfMemory(MeasurementError):
    """The forward does not fit into the device's memory: a result (`oom`), not a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How long and how often. The defaults give a row of an ablation about ten seconds."""

    budget_s: float = 8.0
    """Wall time of warm-up and rounds together, without what a very first call takes longer than
    the later ones, since it may compile, and what is called before others are put behind; one
    round is taken even where it exceeds it."""
    warmup_fraction: float = 0.25
    """Of the budget, that the warm-up may take at most."""
    least_warmup_calls: int = 2
    """One where what is called warms up by itself; else two, since the first may compile."""
    settled_fraction: float = 0.03
    """The warm-up ends when the medians of two windows in a row differ by no more."""
    window: int = 3
    """Samples a window of the warm-up."""
    least_sample_s: float = 0.02
    """Shorter calls are timed several in a row."""
    settle_s: float = 0.05
    """Of untimed calls behind another forward; none where one call takes as long, since what it
    then loses (a millisecond or so, on two cores) is little of it."""
    most_rounds: int = 30
    retakes_fraction: float = 0.5
    """Of the budget, that spoiled rounds may take; after that they are kept, with a warning."""
    overtime_fraction: float = 0.125
    """Of the budget, that is added to it at most for what spoiled rounds took."""
    spread_fraction: float = 0.30
    """Two samples of one forward in one round that differ by more spoil it."""
    end: EndRule = EndRule()  # noqa: RUF009, frozen
    """What ends it earlier."""

    def __post_init__(self) -> None:
        if self.budget_s <= 0:
            raise MeasurementError(f"budget_s must be above 0, got {self.budget_s}")
        if self.most_rounds < 1 or self.window < 1:
            raise MeasurementError(
                "most_rounds and window must be at least 1, "
                f"got {self.most_rounds} and {self.window}"
            )


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How a warm-up went."""

    calls: int
    seconds: float
    settled: bool
    call_s: float
    """The last window's median time of one call."""
    uncounted_s: float = 0.0
    """Of `seconds`, what the very first call took beyond `call_s`, and what was called before
    others were put behind."""


@dataclass(frozen=True, slots=True)
class Round:
    """Its samples, in seconds a call, and what spoiled it."""

    samples: tuple[float, ...]
    spoiled: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As conditions hold one that does not count."""
        return {"why": self.spoiled, "samples_ms": [round(1e3 * s, 4) for s in self.samples]}


@dataclass(slots=True)
class Rounds:
    """What was taken so far."""

    retaken: list[Round] = field(default_factory=list)
    """Spoiled ones that others replace."""
    kept: list[Round] = field(default_factory=list)
    ended: str = ""
    """Why there were no more."""
    beyond: bool = False
    """Whether that was for a limit."""

    @property
    def counted(self) -> list[Round]:
        """Those that the figures are of: the quiet ones, or all where too few are."""
        quiet = [one for one in self.kept if not one.spoiled]
        return quiet if len(quiet) >= QUIET_ENOUGH else self.kept

    @property
    def samples(self) -> list[tuple[float, ...]]:
        """Of the rounds that count, a tuple each."""
        return [one.samples for one in self.counted]

    @property
    def spoiled(self) -> list[str]:
        """What spoiled rounds that count all the same."""
        return [one.spoiled for one in self.counted if one.spoiled]

    @property
    def set_aside(self) -> list[Round]:
        """Spoiled ones that do not count."""
        counted = self.counted
        return [*self.retaken, *(one for one in self.kept if one not in counted)]


def time_forward(
    call: Call,
    *,
    images: int,
    stopwatch: Stopwatch,
    watch: NoiseMonitor,
    protocol: Protocol | None = None,
    priority: Priority | None = None,
) -> dict[str, Measurement]:
    """Time one forward alone.

    Args:
        call: one forward of a batch of `images`.
        images: the batch size.
        stopwatch: times calls on the forward's device.
        watch: tells whether a round was quiet.
        priority: lets rounds run before other processes once one was spoiled; None never does.

    Returns:
        `latency_ms` (of the batch) and `throughput_img_s`, a sample a round.

    Raises:
        OutOfMemory: the forward does not fit.
    """
    protocol = protocol or Protocol()
    start = stopwatch.now()
    precedence = Precedence(priority)
    warm = warm_up(call, stopwatch, protocol, watched=(precedence, watch))
    timed = [(call, _repeats(warm, protocol))]
    plan = _Plan(timed, (0,), lambda samples: _alone(samples, images), settle=(False,))
    since = start + warm.uncounted_s
    taken = _take_rounds(plan, stopwatch, watch, protocol, start=since, precedence=precedence)
    seconds = stopwatch.now() - start
    conditions = _conditions([warm], taken, precedence, images=images, seconds=seconds)
    return _measured(plan.series(taken.samples), conditions)


def time_alternating(
    base: Call,
    candidate: Call,
    *,
    images: int,
    stopwatch: Stopwatch,
    watch: NoiseMonitor,
    protocol: Protocol | None = None,
    base_is_warm: bool = False,
    priority: Priority | None = None,
) -> dict[str, Measurement]:
    """Time a candidate in alternation with the base: base, candidate, candidate, base.

    Args:
        base: one forward of the base, a batch of `images`.
        candidate: one forward of the candidate, the same batch.
        base_is_warm: it was timed before in this process, so a few calls fill its caches again.
        priority: as in `time_forward`.

    Returns:
        `latency_ms` and `throughput_img_s` of the candidate (two samples a round),
        `base_latency_ms` of the base, and `throughput_ratio`, one sample a round: the
        candidate's throughput over the base's in that round. Its bootstrap interval resamples
        rounds, so both sides of a ratio always come from the same moment.

    Raises:
        OutOfMemory: a forward does not fit.
    """
    protocol = protocol or Protocol()
    start = stopwatch.now()
    precedence = Precedence(priority)
    watched = precedence, watch
    known = _known(base, stopwatch, watched) if base_is_warm else None
    warms = [
        known or warm_up(base, stopwatch, protocol, share=0.5, watched=watched),
        warm_up(candidate, stopwatch, protocol, share=0.5, watched=watched),
    ]
    timed = [
        (call, _repeats(warm, protocol))
        for call, warm in zip((base, candidate), warms, strict=True)
    ]
    since = start + sum(warm.uncounted_s for warm in warms)
    plan = _Plan(
        timed,
        (0, 1, 1, 0),
        lambda samples: _beside_base(samples, images),
        settle=[warm.call_s < protocol.settle_s for warm in warms],
    )
    taken = _take_rounds(plan, stopwatch, watch, protocol, start=since, precedence=precedence)
    seconds = stopwatch.now() - start
    conditions = _conditions(warms[1:], taken, precedence, images=images, seconds=seconds)
    return _measured(plan.series(taken.samples), conditions)


Watched = tuple[Precedence, NoiseMonitor]
"""What runs calls before other processes, and what tells that they disturb."""


def warm_up(
    call: Call,
    stopwatch: Stopwatch,
    protocol: Protocol,
    *,
    share: float = 1.0,
    watched: Watched | None = None,
) -> WarmUp:
    """Call until two windows in a row agree, or `share` of the warm-up's time is over."""
    limit = share * protocol.warmup_fraction * protocol.budget_s
    calls = _WarmUpCalls(call, stopwatch, watched)
    while True:
        calls.make()
        times = calls.times
        settled = _settled(times, protocol)
        in_vain = calls.spent_s - calls.disturbed_s >= limit
        if len(times) >= protocol.least_warmup_calls and (settled or in_vain):
            last = statistics.median((times[1:] or times)[-protocol.window :])
            return calls.over(settled=settled, call_s=last, compile_s=max(0.0, times[0] - last))


def _known(call: Call, stopwatch: Stopwatch, watched: Watched) -> WarmUp:
    """The warm-up of what has settled before."""
    calls = _WarmUpCalls(call, stopwatch, watched)
    while len(calls.times) < CALLS_OF_THE_KNOWN:
        calls.make()
    return calls.over(settled=True, call_s=statistics.median(calls.times[1:]))


@dataclass(slots=True)
class _WarmUpCalls:
    """Calls of one forward, begun anew where others are seen to disturb them and can be put
    behind."""

    call: Call
    stopwatch: Stopwatch
    watched: Watched | None
    times: list[float] = field(default_factory=list)
    """In seconds, since the beginning that counts."""
    made: int = 0
    spent_s: float = 0.0
    disturbed_s: float = 0.0
    """Of these, before that beginning."""

    def make(self) -> None:
        """One more."""
        began = self.stopwatch.now()
        raised = self._raises
        # a first call may compile, in processes that look like others'
        watched = self.watched if self.made or raised else None
        self.times.append(_watched_call(self.call, self.stopwatch, watched))
        self.made += 1
        self.spent_s += self.stopwatch.now() - began
        if self._raises and not raised:
            self.times.clear()
            self.disturbed_s = self.spent_s

    def over(self, *, settled: bool, call_s: float, compile_s: float = 0.0) -> WarmUp:
        """What it came to."""
        uncounted = self.disturbed_s + compile_s
        return WarmUp(self.made, self.spent_s, settled, call_s, uncounted_s=uncounted)

    @property
    def _raises(self) -> bool:
        return self.watched is not None and self.watched[0].raises


def _watched_call(call: Call, stopwatch: Stopwatch, watched: Watched | None) -> float:
    """Seconds of a call; the next ones run before others where these are seen to disturb it."""
    if watched is None or watched[0].priority is None:
        return guarded(lambda: stopwatch.time(call, 1))
    precedence, watch = watched
    with precedence.taken():
        before = watch.read()
        seconds = guarded(lambda: stopwatch.time(call, 1))
        precedence.heard(watch.spoiled(before, watch.read()))
    return seconds


def guarded(run: Callable[[], T]) -> T:
    """Run, with torch's out-of-memory errors turned into `OutOfMemory`."""
    try:
        return run()
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            reason = (str(error) or "the allocation failed").splitlines()[0]
            raise OutOfMemory(f"out of memory: {reason}") from error
        raise


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on a GPU or on the CPU."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or OUT_OF_MEMORY.search(str(error)) is not None
    )


def _settled(times: Sequence[float], protocol: Protocol) -> bool:
    window = protocol.window
    if len(times) < 2 * window + 1:  # the very first call builds and caches: never counted
        return False
    last = statistics.median(times[-window:])
    before = statistics.median(times[-2 * window : -window])
    return abs(last - before) <= protocol.settled_fraction * before


def _repeats(warm: WarmUp, protocol: Protocol) -> int:
    if warm.call_s <= 0:
        return 1
    return max(1, round(protocol.least_sample_s / warm.call_s + 0.5))


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a round is, and what its samples mean."""

    timed: Sequence[tuple[Call, int]]
    """Forwards, each with the number of calls in a row that make a sample."""
    order: Sequence[int]
    """Which of them a round times, one after the other."""
    series: Callable[[Sequence[tuple[float, ...]]], dict[str, tuple[float, ...]]]
    """Samples in seconds, a tuple a round -> quantity -> its samples."""
    settle: Sequence[bool]
    """Which of them need untimed calls where they follow another."""


def _take_rounds(
    plan: _Plan,
    stopwatch: Stopwatch,
    watch: NoiseMonitor,
    protocol: Protocol,
    *,
    start: float,
    precedence: Precedence,
) -> Rounds:
    """Rounds until they are enough, or the budget or their number is used up; one at least."""
    taken = Rounds()
    lost = 0.0
    overtime = protocol.overtime_fraction * protocol.budget_s
    last: int | None = None
    while not taken.ended:
        began = stopwatch.now()
        with precedence.taken():
            # others have had the caches since
            last = None if precedence.raises else last
            samples, why = _one_round(plan, stopwatch, watch, protocol, last=last)
        precedence.rounds += precedence.raises
        precedence.heard(why)
        last = plan.order[-1]
        now = stopwatch.now()
        seconds = now - began
        if why and lost + seconds <= protocol.retakes_fraction * protocol.budget_s:
            lost += seconds
            taken.retaken.append(Round(samples, why))
        else:
            taken.kept.append(Round(samples, why))
            series = plan.series(taken.samples)
            taken.ended = protocol.end.beyond(series)
            taken.beyond = bool(taken.ended)
            taken.ended = taken.ended or protocol.end.enough(series)
        if not taken.ended and taken.kept:
            taken.ended = _used_up(taken, protocol, now - start - min(lost, overtime))
    return taken


def _used_up(taken: Rounds, protocol: Protocol, spent_s: float) -> str:
    if len(taken.samples) >= protocol.most_rounds:
        return counted(protocol.most_rounds, "round")
    return f"the budget of {protocol.budget_s:g} s" if spent_s >= protocol.budget_s else ""


def _one_round(
    plan: _Plan,
    stopwatch: Stopwatch,
    watch: NoiseMonitor,
    protocol: Protocol,
    *,
    last: int | None,
) -> tuple[tuple[float, ...], str]:
    before = watch.read()
    samples = []
    for who in plan.order:
        if who != last and plan.settle[who]:
            settle(plan.timed[who][0], stopwatch, protocol.settle_s)
        samples.append(_sample(plan.timed[who], stopwatch))
        last = who
    why = watch.spoiled(before, watch.read())
    return tuple(samples), why or _spread(samples, plan.order, protocol.spread_fraction)


def settle(call: Call, stopwatch: Stopwatch, seconds: float) -> None:
    """Calls that nobody counts, for at least so long, since another forward ran before."""
    spent, calls = 0.0, 0
    while spent < seconds and calls < MOST_SETTLING_CALLS:
        spent += guarded(partial(stopwatch.time, call, 1))
        calls += 1


def _sample(timed: tuple[Call, int], stopwatch: Stopwatch) -> float:
    call, repeats = timed
    return guarded(lambda: stopwatch.time(call, repeats)) / repeats


def _spread(samples: Sequence[float], order: Sequence[int], limit: float) -> str:
    for who in set(order):
        same = [sample for sample, index in zip(samples, order, strict=True) if index == who]
        spread = (max(same) - min(same)) / min(same) if min(same) > 0 else 0.0
        if spread > limit:
            return f"samples of one forward {spread:.0%} apart in one round"
    return ""


def _conditions(
    warms: Sequence[WarmUp], taken: Rounds, precedence: Precedence, *, images: int, seconds: float
) -> dict[str, Any]:
    settled = all(warm.settled for warm in warms)
    warnings = [] if settled else ["the warm-up did not settle within its time"]
    if taken.spoiled:
        reasons = sorted(set(taken.spoiled))
        all_of_them = counted(len(taken.samples), "round")
        warnings.append(
            f"{len(taken.spoiled)} of {all_of_them} kept although spoiled: " + "; ".join(reasons)
        )
    return {
        "batch_size": images,
        "rounds": len(taken.samples),
        "quiet_rounds": len(taken.samples) - len(taken.spoiled),
        "raised_rounds": precedence.rounds,
        "precedence": str(precedence),
        "ended": taken.ended,
        "beyond_a_limit": taken.beyond,
        "retaken": [one.to_dict() for one in taken.set_aside],
        "warmup_calls": sum(warm.calls for warm in warms),
        "warmup_settled": settled,
        "seconds": round(seconds, 3),
        "warnings": warnings,
    }


def _alone(rounds: Sequence[tuple[float, ...]], images: int) -> dict[str, tuple[float, ...]]:
    return _speed([seconds for (seconds,) in rounds], images)


def _beside_base(rounds: Sequence[tuple[float, ...]], images: int) -> dict[str, tuple[float, ...]]:
    bases = [seconds for a1, _, _, a2 in rounds for seconds in (a1, a2)]
    return {
        **_speed([seconds for _, c1, c2, _ in rounds for seconds in (c1, c2)], images),
        "base_latency_ms": _ms(bases),
        "throughput_ratio": tuple((a1 + a2) / (c1 + c2) for a1, c1, c2, a2 in rounds),
    }


def _speed(samples_s: Sequence[float], images: int) -> dict[str, tuple[float, ...]]:
    rates = tuple(images / sample for sample in samples_s)
    return {"latency_ms": _ms(samples_s), "throughput_img_s": rates}


def _measured(
    series: dict[str, tuple[float, ...]], conditions: dict[str, Any]
) -> dict[str, Measurement]:
    return {name: Measurement(name, of, conditions) for name, of in series.items()}


def _ms(samples_s: Sequence[float]) -> tuple[float, ...]:
    return tuple(1e3 * sample for sample in samples_s)
