"""Dominance between estimates that have something in common."""

import numpy as np
import pytest

from evnas.stats.pareto import (
    Estimate,
    exact,
    front_probability,
    probability_better,
    probability_dominates,
    tied,
)


def of_one_recipe(*mids, level=3.0, noise=0.1):
    """Estimates whose unknown level is shared, and whose own noise is small."""
    rng = np.random.default_rng(0)
    shared = level * rng.standard_normal(512)
    return [
        Estimate(m, tuple((m + shared + noise * rng.standard_normal(512)).tolist()), joint=True)
        for m in mids
    ]


def test_what_is_shared_cancels():
    a, b = of_one_recipe(75.0, 76.0)
    assert probability_better(a, b) == (1.0, 0.0)
    apart = [Estimate(e.mid, e.draws) for e in (a, b)]  # the same draws, taken for independent
    assert probability_better(*apart)[0] == pytest.approx(0.59, abs=0.05)
    assert tied([apart[0]], [apart[1]])
    assert not tied([a], [b])


def test_a_joint_estimate_meets_an_independent_one():
    (a,) = of_one_recipe(75.0)
    below, equal = probability_better(exact(75.0), a)
    assert below == pytest.approx(0.5, abs=0.1)
    assert equal == 0.0


def test_the_front_is_drawn_in_one_world():
    a, b = of_one_recipe(-75.0, -76.0)  # to be minimised: b is better
    chances = front_probability([[a, exact(1.0)], [b, exact(1.0)]])
    assert chances.tolist() == [0.0, 1.0]
    apart = front_probability([[Estimate(e.mid, e.draws), exact(1.0)] for e in (a, b)])
    assert 0.3 < apart[0] < 0.5
    assert probability_dominates([b, exact(1.0)], [a, exact(1.0)]) == 1.0
