"""An interval in digits: bounds tell as much as the value between them."""

import math

import pytest

from evnas.stats.interval import Interval


@pytest.mark.parametrize(
    ("low", "mid", "high", "said"),
    [
        (0.634, 0.87678, 0.9246, "0.877 [0.634, 0.925]"),
        (6.1, 21.8, 37.5, "22 [6, 38]"),
        (0.1, 0.4, 40.0, "0.4 [0.1, 40.0]"),  # a long side does not swallow the value
        (1.2345, 1.2345, 1.5, "1.234 [1.234, 1.500]"),
        (43561.0, 43720.4, 43880.0, "43720 [43561, 43880]"),
        (2.0, 2.0, 2.0, "2"),
        (math.nan, 1.23456, math.nan, "1.235 (one sample: no interval)"),
        (1.0, 2.0, math.inf, "2 [1, inf]"),
    ],
)
def test_bounds_have_as_many_decimals_as_their_value(
    low: float, mid: float, high: float, said: str
) -> None:
    assert Interval(low, mid, high).spelt() == said


def test_a_difference_has_its_sign() -> None:
    assert Interval(-0.5, 0.25, 1.0).spelt("+") == "+0.25 [-0.50, +1.00]"
    assert Interval(3.0, 3.0, 3.0).spelt("+") == "+3"
