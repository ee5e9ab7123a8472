"""How papers and peers time a forward, to be set beside our protocol on the same call.

Each is a warm-up and a loop, by count or by time, and a mean: one stretch of time, nothing said of
its spread, nothing taken again.
"""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from evnas.errors import MeasurementError, nearest
from evnas.measure.stopwatch import Call, Stopwatch
from evnas.measure.timing.protocol import guarded
from evnas.stats.interval import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedProtocol:
    """A warm-up, a loop, and what the mean is of; a count of 0 goes by seconds."""

    source: str
    """Where it is written, and what was taken as it stands there."""
    warmup_calls: int = 0
    warmup_s: float = 0.0
    timed_calls: int = 0
    timed_s: float = 0.0
    waits_each: bool
    """Whether the device is waited for after each call; else once, after the last."""

    @property
    def in_words(self) -> str:
        """`10 calls to warm up, then the mean of 40`."""
        warm = f"{self.warmup_calls} calls" if self.warmup_calls else f"{self.warmup_s:g} s"
        if not self.timed_calls:
            return f"{warm} to warm up, then the mean of the calls of {self.timed_s:g} s"
        how = "" if self.waits_each else " in one go"
        return f"{warm} to warm up, then the mean of {self.timed_calls} calls{how}"


PROTOCOLS: Mapping[str, NamedProtocol] = {
    "paper/efficientvim": NamedProtocol(
        source="EfficientViM (arXiv 2411.15241) released no script for speed; this is that of "
        "SHViT, speed_test.py, whose batches (256 on a GPU, 16 on a CPU) it prints",
        warmup_s=10.0,
        timed_s=60.0,
        waits_each=True,
    ),
    "paper/vmamba": NamedProtocol(
        source="VMamba (arXiv 2401.10166), its `throughput`, which is Swin's",
        warmup_calls=50,
        timed_calls=30,
        waits_each=False,
    ),
    "timm": NamedProtocol(
        source="pytorch-image-models, benchmark.py, at its defaults",
        warmup_calls=10,
        timed_calls=40,
        waits_each=True,
    ),
}
"""Name -> protocol. Precision, form and batch are the target's, not theirs."""


@dataclass(frozen=True, slots=True)
class TheirFigure:
    """What a named protocol says of a call."""

    name: str
    throughput_img_s: float
    calls: int
    seconds: float
    median_call_s: float | None
    """None where calls are not timed one by one."""


def protocol_named(name: str) -> NamedProtocol:
    """Raises MeasurementError where there is none of that name."""
    if name not in PROTOCOLS:
        known = ", ".join(PROTOCOLS)
        raise MeasurementError(
            f"--protocol must be one of {known}, got {name!r}{nearest(name, PROTOCOLS)}"
        )
    return PROTOCOLS[name]


def time_as(name: str, call: Call, *, images: int, stopwatch: Stopwatch) -> TheirFigure:
    """Time a call as a paper or peer does.

    Args:
        call: one forward of a batch of `images`.

    Raises:
        OutOfMemory: the forward does not fit.
        MeasurementError: no protocol has that name.
    """
    protocol = protocol_named(name)
    begin = stopwatch.now()
    done = 0
    while done < protocol.warmup_calls or stopwatch.now() - begin < protocol.warmup_s:
        guarded(lambda: stopwatch.time(call, 1))
        done += 1
    start = stopwatch.now()
    if not protocol.waits_each:
        took = guarded(lambda: stopwatch.time(call, protocol.timed_calls))
        mean, calls, median = took / protocol.timed_calls, protocol.timed_calls, None
    else:
        times: list[float] = []
        while len(times) < protocol.timed_calls or sum(times) < protocol.timed_s:
            times.append(guarded(lambda: stopwatch.time(call, 1)))
        mean, calls, median = statistics.mean(times), len(times), statistics.median(times)
    return TheirFigure(name, images / mean, calls, stopwatch.now() - start, median)


def how_far(
    theirs: TheirFigure, ours: Interval, *, images: int, before_others: bool = False
) -> list[str]:
    """Sentences: how far a figure is from our interval of the throughput, and why.

    Args:
        ours: images a second.
        images: of a batch.
        before_others: rounds of ours ran before other processes; theirs never do.
    """
    protocol = PROTOCOLS[theirs.name]
    apart = theirs.throughput_img_s / ours.mid - 1
    within = "within" if ours.holds(theirs.throughput_img_s) else "outside"
    found = [
        f"{theirs.name}: {theirs.throughput_img_s:.4g} images/s ({protocol.in_words}), "
        f"{apart:+.1%} of ours, {within} our interval [{ours.low:.4g}, {ours.high:.4g}]"
    ]
    if theirs.median_call_s is None:
        found.append(
            "  its calls are timed in one go, so slow ones among them cannot be distinguished: "
            "the difference holds its mean, its warm-up and the moment that it took"
        )
    else:
        by_median = images / theirs.median_call_s
        mean, rest = theirs.throughput_img_s / by_median - 1, by_median / ours.mid - 1
        found.append(
            f"  {mean:+.1%} by its mean in place of the median, {rest:+.1%} by its warm-up and by "
            "one stretch of time in place of rounds, none of which is taken again"
        )
    if before_others:
        found.append(
            "  ours ran before other processes (SCHED_RR), theirs beside them: most of the "
            "difference may be what these took"
        )
    return [*found, f"  after {protocol.source}"]
