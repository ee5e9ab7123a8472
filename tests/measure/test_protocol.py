"""The protocol on a made-up clock: what it warms up, keeps, takes again and gives up on."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from evnas.errors import MeasurementError
from evnas.measure.stopwatch import CpuStopwatch
from evnas.measure.timing.protocol import (
    OutOfMemory,
    Protocol,
    guarded,
    is_out_of_memory,
    time_alternating,
    time_forward,
    warm_up,
)


class Clock:
    """A clock that only moves when a forward runs."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def forward(self, seconds: Iterable[float]) -> Callable[[], None]:
        """A forward that takes the next of `seconds` each time."""
        left = iter(seconds)

        def call() -> None:
            self.now += next(left)

        return call


class Verdicts:
    """A watch that gives the next of some verdicts for each round, then quiet ones."""

    def __init__(self, *verdicts: str) -> None:
        self.left = list(verdicts)

    def read(self) -> dict[str, float]:
        return {}

    def spoiled(self, before: object, after: object) -> str:
        return self.left.pop(0) if self.left else ""


def forever(seconds: float) -> Iterator[float]:
    while True:
        yield seconds


def falling(*first: float, then: float) -> Iterator[float]:
    yield from first
    yield from forever(then)


def test_warm_up_ends_when_the_rate_settles_not_after_a_count():
    clock = Clock()
    slow_start = falling(9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, then=1.0)
    protocol = Protocol(budget_s=1000.0)
    warm = warm_up(clock.forward(slow_start), CpuStopwatch(clock), protocol)
    assert warm.settled
    assert warm.call_s == 1.0
    assert warm.calls == 13  # two windows of three, whose medians are both at the settled rate

    quick = warm_up(clock.forward(forever(1.0)), CpuStopwatch(clock), protocol)
    assert quick.calls == 7


def test_first_calls_that_compile_leave_the_rounds_their_budget():
    clock = Clock()
    calls = [clock.forward(falling(20.0, then=0.125)) for _ in range(2)]
    watched: dict[str, Any] = {"stopwatch": CpuStopwatch(clock), "watch": Verdicts()}
    found = time_alternating(*calls, images=1, protocol=Protocol(budget_s=4.0), **watched)
    assert len(found["throughput_ratio"].samples) == 7  # of 0.5 s, after 0.5 s and compiling
    call = clock.forward(falling(20.0, then=0.125))
    found = time_forward(call, images=1, protocol=Protocol(budget_s=2.0), **watched)
    assert len(found["latency_ms"].samples) == 14


def test_a_base_that_is_warm_leaves_the_rounds_its_time():
    clock = Clock()
    calls = [clock.forward(forever(0.125)) for _ in range(2)]
    watched: dict[str, Any] = {"stopwatch": CpuStopwatch(clock), "watch": Verdicts()}
    protocol = Protocol(budget_s=8.0, most_rounds=99)
    cold = time_alternating(*calls, images=1, protocol=protocol, **watched)["throughput_ratio"]
    warm = time_alternating(*calls, images=1, protocol=protocol, base_is_warm=True, **watched)
    conditions = warm["throughput_ratio"].conditions
    assert conditions["warmup_settled"]
    assert conditions["rounds"] == cold.conditions["rounds"] + 1  # four calls of the seven fewer


def test_warm_up_is_bounded_and_says_so():
    clock = Clock()
    getting_slower = (1.5**i for i in range(1000))
    call = clock.forward(getting_slower)
    protocol = Protocol(budget_s=100.0)
    warm = warm_up(call, CpuStopwatch(clock), protocol)
    assert not warm.settled
    assert 25.0 <= warm.seconds < 25.0 * 2.5

    found = time_forward(
        clock.forward(getting_slower),
        images=1,
        stopwatch=CpuStopwatch(clock),
        watch=Verdicts(),
        protocol=protocol,
    )
    assert (
        "the warm-up did not settle within its time" in found["latency_ms"].conditions["warnings"]
    )


def test_every_sample_is_kept_and_the_budget_is_met():
    clock = Clock()
    found = time_forward(
        clock.forward(forever(0.5)),
        images=16,
        stopwatch=CpuStopwatch(clock),
        watch=Verdicts(),
        protocol=Protocol(budget_s=10.0),
    )
    assert found["latency_ms"].samples == (500.0,) * 15  # ten seconds less five warm-up calls
    assert found["throughput_img_s"].samples == (32.0,) * 15
    assert clock.now == pytest.approx(10.0)


def test_a_short_call_is_timed_several_in_a_row():
    clock = Clock()
    found = time_forward(
        clock.forward(forever(0.001)),
        images=1,
        stopwatch=CpuStopwatch(clock),
        watch=Verdicts(),
        protocol=Protocol(budget_s=10.0, most_rounds=4),
    )
    assert found["latency_ms"].samples == pytest.approx((1.0,) * 4)
    assert clock.now == pytest.approx(0.007 + 4 * 0.020, rel=0.1)


def test_one_round_is_taken_even_where_a_call_outlasts_the_budget():
    clock = Clock()
    found = time_forward(
        clock.forward(forever(60.0)),
        images=1,
        stopwatch=CpuStopwatch(clock),
        watch=Verdicts(),
        protocol=Protocol(budget_s=1.0),
    )
    assert found["latency_ms"].samples == (60_000.0,)


def test_the_ratio_survives_a_drifting_machine():
    """Both forwards slow down by 10 % a round; the ratio of their throughputs stays 2."""
    clock = Clock()

    def drifting(share: float) -> Callable[[], None]:
        def call() -> None:
            clock.now += share * (1.0 + 0.002 * clock.now)

        return call

    found = time_alternating(
        drifting(1.0),
        drifting(0.5),
        images=8,
        stopwatch=CpuStopwatch(clock),
        watch=Verdicts(),
        protocol=Protocol(budget_s=100.0),
    )
    latencies = found["base_latency_ms"].samples
    assert latencies[-1] > 1.05 * latencies[0]
    ratio = found["throughput_ratio"]
    assert len(latencies) == 2 * len(ratio.samples) == len(found["latency_ms"].samples)
    assert ratio.interval().holds(2.0) or abs(ratio.median - 2.0) < 0.002
    assert max(ratio.samples) - min(ratio.samples) < 0.01


def test_a_spoiled_round_is_taken_again_and_noted():
    clock = Clock()
    seconds = falling(*[1.0] * 7, 5.0, then=1.0)  # the round after the warm-up is disturbed
    found = time_forward(
        clock.forward(seconds),
        images=1,
        stopwatch=CpuStopwatch(clock),
        watch=Verdicts("foreign load of 50% of the CPU"),
        protocol=Protocol(budget_s=40.0),
    )
    latency = found["latency_ms"]
    assert set(latency.samples) == {1000.0}
    assert latency.conditions["retaken"] == [
        {"why": "foreign load of 50% of the CPU", "samples_ms": [5000.0]}
    ]
    assert latency.conditions["warnings"] == []


def test_samples_that_lie_apart_in_one_round_spoil_it():
    clock = Clock()
    base = falling(*[1.0] * 7, 1.0, 2.0, then=1.0)
    found = time_alternating(
        clock.forward(base),
        clock.forward(forever(1.0)),
        images=1,
        stopwatch=CpuStopwatch(clock),
        watch=Verdicts(),
        protocol=Protocol(budget_s=100.0),
    )
    (retaken,) = found["throughput_ratio"].conditions["retaken"]
    assert retaken["why"] == "samples of one forward 100% apart in one round"
    assert set(found["throughput_ratio"].samples) == {1.0}


def test_a_machine_that_is_never_quiet_still_gives_a_figure_with_a_warning():
    clock = Clock()
    found = time_forward(
        clock.forward(forever(1.0)),
        images=1,
        stopwatch=CpuStopwatch(clock),
        watch=Verdicts(*["foreign load"] * 1000),
        protocol=Protocol(budget_s=20.0),
    )
    conditions = found["latency_ms"].conditions
    assert len(conditions["retaken"]) == 10  # half the budget
    assert conditions["rounds"] == len(found["latency_ms"].samples) > 0
    assert "rounds kept although spoiled: foreign load" in conditions["warnings"][-1]
    assert clock.now <= 31.0


class TakenCore:
    """A forward that takes three times as long while others have a core, its watch, and a
    priority that gets the core back, where it is permitted."""

    def __init__(
        self, clock: Clock, seconds: float, *, since_s: float = 0.0, refused: str = ""
    ) -> None:
        self.clock, self.seconds, self.since_s, self.refused = clock, seconds, since_s, refused
        self.before_others = False
        self.asked = 0

    def call(self) -> None:
        self.clock.now += self.seconds * (3.0 if self._disturbed(self.clock.now) else 1.0)

    def _disturbed(self, at_s: float) -> bool:
        return at_s >= self.since_s and not self.before_others

    def read(self) -> dict[str, float]:
        return {"now": self.clock.now}

    def spoiled(self, before: Mapping[str, float], after: object) -> str:
        disturbed = self._disturbed(before["now"])
        return "threads waited for a core for 67% of the round" if disturbed else ""

    def why_not(self) -> str:
        self.asked += 1
        return self.refused

    @contextmanager
    def raised(self) -> Iterator[None]:
        self.before_others = True
        yield
        self.before_others = False


@pytest.mark.parametrize(("since_s", "retaken"), [(20.0, [[3000.0]]), (0.0, [])])
def test_a_core_that_others_took_is_taken_back_and_the_record_says_so(
    since_s: float, retaken: list[list[float]]
) -> None:
    """From the next round on, or where it is seen in the warm-up, from the first."""
    clock = Clock()
    one = TakenCore(clock, 1.0, since_s=since_s)
    found = time_forward(
        one.call,
        images=1,
        stopwatch=CpuStopwatch(clock),
        watch=one,
        protocol=Protocol(budget_s=100.0),
        priority=one,
    )["latency_ms"]
    assert set(found.samples) == {1000.0}
    conditions = found.conditions
    assert conditions["quiet_rounds"] == len(found.samples)
    assert 0 < conditions["raised_rounds"] <= len(found.samples)
    assert [again["samples_ms"] for again in conditions["retaken"]] == retaken
    assert "ran before other processes" in conditions["precedence"]
    assert conditions["warnings"] == []
    assert not one.before_others


def test_what_a_taken_core_cost_before_it_was_seen_leaves_the_rounds_their_time() -> None:
    clock = Clock()

    class Starved(TakenCore):
        def call(self) -> None:
            self.clock.now += 1.0 if self.before_others else 40.0

    base, candidate = Starved(clock, 1.0), Starved(clock, 1.0)
    base.before_others = candidate.before_others = False

    @contextmanager
    def raised() -> Iterator[None]:
        base.before_others = candidate.before_others = True
        yield
        base.before_others = candidate.before_others = False

    base.raised = raised  # type: ignore[method-assign]
    for warm in (False, True):
        found = time_alternating(
            base.call,
            candidate.call,
            images=1,
            stopwatch=CpuStopwatch(clock),
            watch=base,
            protocol=Protocol(budget_s=60.0),
            base_is_warm=warm,
            priority=base,
        )["throughput_ratio"]
        assert set(found.samples) == {1.0} and len(found.samples) > 10
        assert found.conditions["warmup_settled"]


def test_where_that_is_not_permitted_it_is_said_once_and_nothing_else_changes():
    clock = Clock()
    one = TakenCore(clock, 1.0, refused="not permitted")
    found = time_forward(
        one.call,
        images=1,
        stopwatch=CpuStopwatch(clock),
        watch=one,
        protocol=Protocol(budget_s=100.0),
        priority=one,
    )["latency_ms"]
    assert set(found.samples) == {3000.0}
    assert found.conditions["raised_rounds"] == found.conditions["quiet_rounds"] == 0
    said = "rounds could not run before other processes: not permitted"
    assert found.conditions["precedence"] == said
    assert one.asked == 1


def test_on_a_quiet_machine_nobody_is_put_behind():
    clock = Clock()
    one = TakenCore(clock, 1.0, since_s=1e9)
    found = time_forward(
        one.call,
        images=1,
        stopwatch=CpuStopwatch(clock),
        watch=one,
        protocol=Protocol(budget_s=100.0),
        priority=one,
    )["latency_ms"]
    assert found.conditions["raised_rounds"] == one.asked == 0
    assert found.conditions["precedence"] == ""


def test_spoiled_rounds_count_no_longer_once_enough_are_quiet():
    """Every other round is disturbed, for longer than rounds may be taken again."""
    clock = Clock()

    class EveryOther(Verdicts):
        rounds = 0

        def spoiled(self, before: object, after: object) -> str:
            self.rounds += 1
            return "foreign load" if self.rounds % 2 else ""

    watch = EveryOther()

    def call() -> None:
        clock.now += 1.0 if watch.rounds % 2 else 2.0

    found = time_forward(
        call,
        images=1,
        stopwatch=CpuStopwatch(clock),
        watch=watch,
        protocol=Protocol(budget_s=60.0),
    )["latency_ms"]
    conditions = found.conditions
    assert set(found.samples) == {1000.0}
    assert len(found.samples) == conditions["rounds"] == conditions["quiet_rounds"] >= 6
    assert {tuple(again["samples_ms"]) for again in conditions["retaken"]} == {(2000.0,)}
    assert len(conditions["retaken"]) > 15  # more than half the budget holds: some were kept
    assert conditions["warnings"] == []


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
    ids=["python", "torch's CPU allocator"],
)
def test_out_of_memory_is_a_result_of_its_own(error: Exception):
    assert is_out_of_memory(error)

    def call() -> None:
        raise error

    clock = Clock()
    with pytest.raises(OutOfMemory):
        time_forward(call, images=1, stopwatch=CpuStopwatch(clock), watch=Verdicts())


def test_another_failure_keeps_its_own_type():
    with pytest.raises(RuntimeError, match="shapes") as caught:
        guarded(lambda: (_ for _ in ()).throw(RuntimeError("shapes differ")))
    assert not isinstance(caught.value, OutOfMemory)


def test_an_allocation_beyond_any_memory_is_recognised():
    torch = pytest.importorskip("torch")
    with pytest.raises(OutOfMemory):
        guarded(lambda: torch.empty(2**60))


def test_a_budget_of_nothing_is_refused():
    with pytest.raises(MeasurementError, match="budget_s must be above 0, got 0"):
        Protocol(budget_s=0)


class Spinning:
    """Two forwards on one clock: the threads of either go on for a while behind its last call,
    and until then the other runs at half its speed."""

    def __init__(self, clock: Clock, spin_s: float) -> None:
        self.clock, self.spin_s = clock, spin_s
        self.left_at = [-1.0, -1.0]

    def call(self, who: int, seconds: float) -> Callable[[], None]:
        def run() -> None:
            disturbed_s = max(0.0, self.left_at[1 - who] + self.spin_s - self.clock.now)
            self.clock.now += seconds + min(seconds, disturbed_s / 2)
            self.left_at[who] = self.clock.now

        return run


@pytest.mark.parametrize(("settle_s", "right"), [(0.05, True), (0.0, False)])
def test_a_forward_is_not_timed_while_the_others_threads_still_run(
    settle_s: float, right: bool
) -> None:
    clock = Clock()
    both = Spinning(clock, 0.02)
    found = time_alternating(
        both.call(0, 0.004),
        both.call(1, 0.006),
        images=1,
        stopwatch=CpuStopwatch(clock),
        watch=Verdicts(),
        protocol=Protocol(budget_s=20.0, settle_s=settle_s),
    )
    assert (found["latency_ms"].median == pytest.approx(6.0)) is right
    assert (found["base_latency_ms"].median == pytest.approx(4.0)) is right


def test_long_calls_are_not_made_for_nothing() -> None:
    clock = Clock()
    both = Spinning(clock, 0.02)
    calls = 0

    def long() -> None:
        nonlocal calls
        calls += 1
        both.call(1, 0.2)()

    protocol = Protocol(budget_s=20.0, most_rounds=5)
    time_alternating(
        both.call(0, 0.004), long, images=1, stopwatch=CpuStopwatch(clock), watch=Verdicts(),
        protocol=protocol,
    )  # fmt: skip
    assert calls == 7 + 5 * 2, "its warm-up, and two samples a round"
