"""When a measurement ends: simulated samples with known medians, and a made-up clock."""

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evnas.measure.stopwatch import CpuStopwatch
from evnas.measure.timing.ending import (
    LOOKS,
    STOPPING_ERROR,
    EndRule,
    Limit,
    is_narrow,
    is_surely_beyond,
)
from evnas.measure.timing.protocol import Protocol, time_alternating, time_forward
from evnas.stats.bootstrap import median_intervals
from evnas.store import Store

TWO_PERCENT = EndRule(uncertainty_fraction=0.02)
REPEATS = 250
(RECORDED,) = Path(__file__).parents[2].glob("results/reference/table_c_cpu_*/study.db")
SCALES = (0.01, 0.02, 0.03, 0.04)
SLOW = Limit(quantity="latency_ms", beyond="above", value=100.0, why="breaks latency_ms <= 100")


class Quiet:
    """A machine that nothing disturbs."""

    def read(self) -> dict[str, float]:
        return {}

    def spoiled(self, before: object, after: object) -> str:
        return ""


class NoisyClock:
    """A clock that only moves when a forward runs, by a median time and some noise."""

    def __init__(self, seed: int = 0) -> None:
        self.now = 0.0
        self.random = random.Random(seed)

    def __call__(self) -> float:
        return self.now

    def forward(self, seconds: float, noise: float = 0.0) -> Callable[[], None]:
        def call() -> None:
            self.now += seconds * (1 + noise * self.random.gauss())

        return call


def measured(clock: NoisyClock, calls: Sequence[Callable[[], None]], protocol: Protocol):
    on: dict[str, Any] = {"stopwatch": CpuStopwatch(clock), "watch": Quiet(), "protocol": protocol}
    time = time_forward if len(calls) == 1 else time_alternating
    return time(*calls, images=1, **on)


def normal(rng: np.random.Generator, scale: float) -> Iterator[float]:
    while True:
        yield 1 + scale * rng.standard_normal()


def skewed(rng: np.random.Generator, scale: float) -> Iterator[float]:
    """Mostly quick, now and then slow, with a median of 1."""
    while True:
        yield 1 + scale * (rng.exponential() - np.log(2))


def heavy(rng: np.random.Generator, scale: float) -> Iterator[float]:
    while True:
        yield 1 + scale * rng.standard_t(2)


@pytest.mark.parametrize("noise", [normal, skewed, heavy])
def test_the_interval_of_what_ended_early_holds_the_median_in_nine_of_ten(noise):
    rng = np.random.default_rng(3)
    held = 0
    rounds: dict[float, list[int]] = {}
    for scale in SCALES:
        for _ in range(REPEATS):
            source = noise(rng, scale)
            samples: list[float] = []
            while len(samples) < 30 and not TWO_PERCENT.enough({"latency_ms": samples}):
                samples.append(next(source))
            (interval,) = median_intervals(np.asarray([samples]))
            held += interval.holds(1.0)
            rounds.setdefault(scale, []).append(len(samples))
    assert held >= 0.9 * REPEATS * len(SCALES)
    assert {n for many in rounds.values() for n in many} <= {*LOOKS, 30}
    assert np.mean(rounds[0.01]) < 10  # where it is quiet, a third of the rounds is enough


@pytest.mark.parametrize("limits", [1, 3])
@pytest.mark.parametrize("noise", [normal, heavy])
def test_a_candidate_that_just_keeps_its_limits_is_hardly_ever_given_up(noise, limits):
    """The worst case: the median is the limit itself, and it is asked 60 times."""
    rule = EndRule(
        limits=tuple(
            Limit(quantity=f"q{i}", beyond="above", value=1.0, why="") for i in range(limits)
        )
    )
    rng, repeats = np.random.default_rng(5), 300
    stopped = 0
    for _ in range(repeats):
        sources = [noise(rng, 0.05) for _ in range(limits)]
        series: dict[str, list[float]] = {f"q{i}": [] for i in range(limits)}
        for _ in range(60):
            for samples, source in zip(series.values(), sources, strict=True):
                samples.append(next(source))
            if rule.beyond(series):
                stopped += 1
                break
    assert stopped <= 1.5 * STOPPING_ERROR * repeats  # what chance allows


def test_one_that_is_clearly_beyond_a_limit_is_given_up_soon():
    error = STOPPING_ERROR
    assert not is_surely_beyond([101.0] * 6, SLOW, error=error)
    assert is_surely_beyond([101.0] * 7, SLOW, error=error)
    assert not is_surely_beyond([100.0] * 50, SLOW, error=error)  # it meets it exactly
    assert not is_surely_beyond([101.0] * 7 + [99.0], SLOW, error=error)


def test_the_interval_lies_between_order_statistics():
    """Of 17 samples, Hettmansperger and Sheather's lies between the 5th and the 6th: at 8 apart
    from the median on a grid of ones it is a little over 3."""
    grid = [100.0 + i for i in range(17)]
    assert not is_narrow(grid, 3.5 / 108)
    assert is_narrow(grid, 4.01 / 108)
    assert not is_narrow([100, 100, 100, 100, 100, 110], 0.02)  # of six, all count


def test_rounds_end_when_the_interval_is_narrow_and_the_record_says_so():
    clock = NoisyClock()
    calls = [clock.forward(0.1, 0.002) for _ in range(2)]
    found = measured(clock, calls, Protocol(budget_s=60.0, end=TWO_PERCENT))
    ratio = found["throughput_ratio"]
    assert len(ratio.samples) == LOOKS[0]
    assert ratio.conditions["ended"] == "throughput_ratio within 2 %"
    assert not ratio.conditions["beyond_a_limit"]
    assert clock.now < 5

    wide = measured(clock, [clock.forward(0.1, 0.1)], Protocol(budget_s=6.0, end=TWO_PERCENT))
    assert wide["latency_ms"].conditions["ended"] in ("the budget of 6 s", "30 rounds")
    assert len(wide["latency_ms"].samples) > LOOKS[0]


def test_what_is_asked_of_several_quantities_holds_for_each():
    ratio = [1.0] * 6
    shaky = [1.0, 1.5] * 6
    rule = EndRule(uncertainty_fraction=0.02, narrow=("latency_ms", "throughput_ratio"))
    assert not rule.enough({"throughput_ratio": ratio, "latency_ms": shaky})
    assert rule.enough({"throughput_ratio": ratio, "latency_ms": [1.0] * 12})
    alone = EndRule(uncertainty_fraction=0.02, narrow=("throughput_ratio",))
    assert alone.enough({"latency_ms": ratio}) == "latency_ms within 2 %"  # the base has no ratio
    assert not alone.enough({"latency_ms": [1.0] * 5})
    assert not EndRule().enough({"latency_ms": ratio})


def test_without_a_wish_the_whole_budget_is_used():
    clock = NoisyClock()
    found = measured(clock, [clock.forward(0.5)], Protocol(budget_s=10.0))
    assert found["latency_ms"].conditions["ended"] == "the budget of 10 s"
    clock = NoisyClock()
    found = measured(clock, [clock.forward(0.1)], Protocol(budget_s=100.0))
    assert found["latency_ms"].conditions["ended"] == "30 rounds"


def test_a_candidate_that_is_too_slow_costs_four_rounds():
    clock = NoisyClock()
    calls = [clock.forward(0.1), clock.forward(0.15, 0.01)]
    end = EndRule(uncertainty_fraction=1e-9, limits=(SLOW,))
    found = measured(clock, calls, Protocol(budget_s=100.0, end=end))
    conditions = found["latency_ms"].conditions
    assert conditions["rounds"] == 4
    assert conditions["beyond_a_limit"]
    assert conditions["ended"] == ("latency_ms is surely above 100: breaks latency_ms <= 100")
    assert found["latency_ms"].median > 100


@pytest.mark.parametrize(("budget_s", "whole_s"), [(8.0, 9.0), (2.5, 2.8125)])
def test_spoiled_rounds_lengthen_a_measurement_by_an_eighth_at_most(budget_s, whole_s):
    class Busy(Quiet):
        def spoiled(self, before: object, after: object) -> str:
            return "foreign load"

    clock = NoisyClock()
    found = time_forward(
        clock.forward(0.1),
        images=1,
        stopwatch=CpuStopwatch(clock),
        watch=Busy(),
        protocol=Protocol(budget_s=budget_s, most_rounds=999),
    )
    assert clock.now == pytest.approx(whole_s, abs=0.21)
    retaken = found["latency_ms"].conditions["retaken"]
    assert len(retaken) == pytest.approx(budget_s / 2 / 0.1, abs=1)


@pytest.mark.parametrize("percent", [2, 3, 5])
def test_with_the_noise_of_a_recorded_study_too(percent: int):
    """Rounds drawn from those of Table C's rows, measured on a shared machine of two cores."""
    rule, random_ = EndRule(uncertainty_fraction=percent / 100), random.Random(0)
    held = rounds = repeats = 0
    with Store.read(RECORDED) as store:
        speeds = [r.measurements.get("throughput_ratio") for _, r in store.records()]
    for recorded in (ratio for ratio in speeds if ratio is not None):
        for _ in range(40):
            drawn = random_.choices(recorded.samples, k=30)
            enough = (n for n in LOOKS if rule.enough({"throughput_ratio": drawn[:n]}))
            n = next(enough, 30)
            (interval,) = median_intervals(np.asarray([drawn[:n]]))
            held += interval.holds(recorded.median)
            rounds, repeats = rounds + n, repeats + 1
    assert repeats >= 400
    assert held >= 0.9 * repeats
    assert rounds / repeats < {2: 27, 3: 21, 5: 12}[percent]
