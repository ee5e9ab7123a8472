"""What `evolution` chooses children by: a model of the trials, and what a child may gain."""

import math
import random

import numpy as np
import pytest

from evnas.arch.catalog import entry
from evnas.search.strategies.acquisition import Acquisition
from evnas.search.strategies.features import ALIKE, Features
from evnas.search.strategies.surrogate import Array, fit, scaled, sign_of
from evnas.space.domains import Domain, Value
from evnas.space.space import Point, SearchSpace
from evnas.space.spec import SpaceSpec

SPACE = SearchSpace.from_spec(
    SpaceSpec.model_validate(
        {
            "axes": {
                "stages[*].dim": {"each": {"int": {"low": 64, "high": 1024, "step": 8}}},
                "stages[*].depth": {"each": [1, 2, 3, 4, 5, 6]},
                "stages[*].mixer": {"each": {"choice": {"hsm_ssd": {}, "nc_ssd": {}, "ss2d": {}}}},
            }
        }
    ),
    entry("m1").arch,
)


def together(count: int, seed: int) -> tuple[list[Point], Array]:
    """Points, and values that hang on whether stages that follow each other have other mixers."""
    rng = random.Random(seed)
    points = [SPACE.draw(rng) for _ in range(count)]
    y = []
    for point in points:
        a, b, c = (point[f"stages[{i}].mixer"] for i in range(3))
        y.append(5.0 + (a != b) + 2.0 * (b != c))
    return points, np.asarray(y)


def error(*, pairs: bool) -> float:
    """Of a model of 200 points, over 200 others, in units of their spread."""
    features = Features(SPACE)
    see = features.with_axes if pairs else features
    (few, y), (many, right) = together(200, 0), together(200, 1)
    x, other = (np.stack([see(p, SPACE.plain(p)) for p in points]) for points in (few, many))
    (model,) = fit(x, [y], signs=[0.0], pairs=features.pairs() if pairs else None)
    found, _ = model.predict(model.gaps(other))
    return float(np.sqrt(np.mean((found - right) ** 2)) / right.std())


def test_a_model_of_pairs_finds_what_two_axes_say_together_in_fewer_points() -> None:
    assert error(pairs=True) < 0.9 * error(pairs=False)


def test_likeness_of_pairs_is_their_sum_over_two_axes() -> None:
    features = Features(SPACE)
    (points, _) = together(6, 2)
    x = np.stack([features.with_axes(p, SPACE.plain(p)) for p in points])
    pairs = features.pairs()
    one = x[:, pairs.axes] @ x[:, pairs.axes].T
    squares = x[:, pairs.squares] @ x[:, pairs.squares].T
    assert one.diagonal() == pytest.approx([9] * 6) == squares.diagonal()
    by_axis = [
        [[_likeness(axis.domain, p[axis.key], q[axis.key]) for axis in SPACE.axes] for q in points]
        for p in points
    ]
    assert one == pytest.approx(np.sum(by_axis, axis=2), abs=0.1)  # a long range in 32 places
    assert squares == pytest.approx(np.sum(np.square(by_axis), axis=2), abs=0.1)


def _likeness(domain: Domain, a: Value, b: Value) -> float:
    if not domain.ordered:
        return float(a == b)
    apart = (domain.index(a) - domain.index(b)) / (len(domain) - 1)
    return math.exp(-(apart**2) / (2 * ALIKE**2))


@pytest.mark.parametrize("y", [np.asarray([0.5, 3.0, 90.0]), -np.asarray([81.0, 72.0, 0.1])])
def test_logarithms_ascend_as_values_do_and_come_back(y: Array) -> None:
    sign = sign_of(y)
    found = scaled(y, sign)
    assert (np.diff(found) > 0).all() and sign != 0
    (model,) = fit(np.eye(3), [y], signs=[sign])
    assert model.back(found) == pytest.approx(y)


def test_values_of_both_signs_stay_as_they_are() -> None:
    y = np.asarray([-1.0, 0.0, 2.0])
    assert sign_of(y) == 0.0 and scaled(y, 0.0) is y


def gains(*, ratios: bool) -> tuple[float, float]:
    """Of two children that are a tenth faster than the front, at its fast end and its slow end."""
    front = np.asarray([[1.0, -70.0], [10.0, -75.0], [100.0, -80.0]])
    x = np.eye(5)
    times, tops = np.asarray([1.0, 10.0, 100.0, 9.0, 90.0]), -np.asarray([70.0, 75, 80, 75, 80])
    models = fit(x, [times, tops], signs=[1.0, -1.0])
    fast, slow = Acquisition(models, front, 0, ratios=ratios)(x[3:])
    return float(fast), float(slow)


def test_what_is_a_tenth_faster_counts_alike_at_both_ends_in_ratios_alone() -> None:
    fast, slow = gains(ratios=False)
    assert slow > 3 * fast > 0
    fast, slow = gains(ratios=True)
    assert 0.3 < slow / fast < 3
