"""Dominance on distributions with known answers; fronts and hypervolumes by definition."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evnas.stats import pareto
from evnas.stats.pareto import Estimate, Front, exact

POINTS = arrays(
    np.float64, st.tuples(st.integers(1, 12), st.integers(2, 3)), elements=st.integers(0, 5)
)
COLUMN = arrays(np.float64, st.tuples(st.integers(0, 12), st.just(1)), elements=st.integers(0, 5))


def normal(mean: float, sd: float, seed: int) -> Estimate:
    return Estimate(mean, tuple(np.random.default_rng(seed).normal(mean, sd, 4000).tolist()))


@settings(deadline=None)
@given(POINTS)
def test_front_is_what_nothing_dominates(points: np.ndarray) -> None:
    mask = pareto.front_mask(points)
    for i, row in enumerate(points):
        assert mask[i] == (not any(pareto.dominates(other, row) for other in points.tolist()))


@settings(deadline=None)
@given(st.one_of(POINTS, COLUMN))
def test_a_front_grown_point_by_point_is_the_front(points: np.ndarray) -> None:
    front = Front(points.shape[1])
    for i, row in enumerate(points):
        front.add(str(i), row.tolist())
    at_once = Front.of([str(i) for i in range(len(points))], points)
    assert at_once.labels == front.labels
    assert np.array_equal(at_once.points, front.points)


@settings(deadline=None)
@given(POINTS)
def test_curve_ends_at_the_hypervolume(points: np.ndarray) -> None:
    reference = [6.0] * points.shape[1]
    curve = pareto.hypervolume_curve(points, reference)
    assert curve[-1] == pytest.approx(pareto.hypervolume(points, reference))
    assert (np.diff(curve) >= 0).all()


def test_hypervolume_by_hand() -> None:
    points = np.array([[1.0, 3.0], [2.0, 1.0], [9.0, 0.0]])
    assert pareto.hypervolume(points, [4.0, 4.0]) == 3 * 1 + 2 * 2  # (4-1)(4-3) + (4-2)(3-1)
    assert pareto.hypervolume(np.empty((0, 2)), [1.0, 1.0]) == 0.0


def test_ranks_and_crowding_by_hand() -> None:
    points = np.array([[0.0, 4.0], [1.0, 2.0], [4.0, 0.0], [2.0, 3.0], [5.0, 5.0]])
    assert pareto.ranks(points).tolist() == [0, 0, 0, 1, 2]
    assert pareto.crowding(points[:3]).tolist() == [math.inf, 2.0, math.inf]


@pytest.mark.parametrize("gap", [0.0, 0.5, 1.0, 3.0])
def test_probability_of_normals_is_the_known_one(gap: float) -> None:
    better, equal = pareto.probability_better(normal(0, 1, 1), normal(gap, 1, 2))
    assert better == pytest.approx(0.5 * (1 + math.erf(gap / 2)), abs=0.02)  # Phi(gap / sqrt 2)
    assert equal == pytest.approx(0.0, abs=1e-9)


def test_dominance_multiplies_over_independent_objectives() -> None:
    a, b = (normal(0, 1, 1), normal(0, 1, 2)), (normal(1, 1, 3), normal(1, 1, 4))
    known = (0.5 * (1 + math.erf(0.5))) ** 2
    assert pareto.probability_dominates(a, b) == pytest.approx(known, abs=0.03)
    same = (exact(1.0), exact(2.0))
    assert pareto.probability_dominates(same, same) == 0.0
    assert pareto.probability_dominates((exact(1.0), exact(1.0)), same) == 1.0
    assert pareto.probability_dominates(same, (exact(1.0), exact(1.0))) == 0.0


def test_ties_are_what_no_objective_tells_apart() -> None:
    near, far = normal(0.5, 1, 1), normal(5, 1, 2)
    here = (normal(0, 1, 3), exact(1.0))
    assert pareto.tied(here, (near, exact(1.0)))
    assert not pareto.tied(here, (far, exact(1.0)))
    assert not pareto.tied(here, (near, exact(1.1)))


def test_bootstrap_and_seeds_have_the_known_spread() -> None:
    samples = np.random.default_rng(0).normal(10, 1, 400)
    low, high = pareto.from_samples(samples.tolist()).interval
    assert high - low == pytest.approx(2 * 1.96 * 1.2533 / 20, rel=0.35)  # sd of a median
    assert pareto.from_seeds([3.0]).draws == (3.0,)
    low, high = pareto.from_seeds([3.0, 3.0, 3.0, 3.0], spread=1.0).interval
    assert (low, high) == pytest.approx((3 - 0.98, 3 + 0.98), abs=0.15)
    low, high = pareto.from_seeds([1.0, 2.0, 3.0]).interval
    assert high - low == pytest.approx(2 * 4.303 / math.sqrt(3), rel=0.35)  # t, 2 degrees


def test_front_probability_splits_between_equals() -> None:
    twins = [(normal(0, 1, 1), exact(0.0)), (normal(0, 1, 2), exact(0.0))]
    beaten = (normal(9, 1, 3), exact(1.0))
    chances = pareto.front_probability([*twins, beaten])
    assert chances[0] == pytest.approx(0.5, abs=0.05)
    assert chances[0] + chances[1] == pytest.approx(1.0, abs=1e-9)
    assert chances[2] == 0.0


def test_why_not_names_who_and_by_how_much() -> None:
    best, worst = (exact(1.0), exact(1.0)), (exact(2.0), exact(4.0))
    (reason,) = pareto.why_not(worst, [("7", best), ("8", (exact(0.0), exact(9.0)))])
    assert (reason.label, reason.probability, reason.margins) == ("7", 1.0, (1.0, 3.0))
    assert pareto.why_not(best, [("9", worst)]) == []


def test_trials_without_a_number_are_on_no_front() -> None:
    points = np.array([[math.nan, 0.0], [1.0, 1.0]])
    assert pareto.front_mask(points).tolist() == [False, True]
    assert not Front(2).add("0", [math.nan, 0.0])
