"""Rank agreement: against scipy, by hand, and where it is undefined."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from evnas.stats import rank_correlation
from evnas.stats.rank_correlation import kendall, kendall_gain, paired_difference_percent

small = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=25)


def test_by_hand():
    # pairs: (1,2) (1,3) (2,3) of y = 1, 3, 2 agree, agree, disagree
    found = kendall([1.0, 2.0, 3.0], [1.0, 3.0, 2.0])
    assert found is not None
    assert found.tau == pytest.approx(1 / 3) and found.n == 3
    assert found.low <= found.tau <= found.high


def test_ties_by_hand():
    # x has one tied pair of six: tau-b = (5 - 0) / sqrt(5 * 6)
    found = kendall([1.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0])
    assert found is not None
    assert found.tau == pytest.approx(5 / math.sqrt(30))


def test_perfect_order_has_no_spread():
    found = kendall([1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, 40.0])
    assert found == rank_correlation.Agreement(1.0, 1.0, 1.0, 4)
    upside_down = kendall([1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0])
    assert upside_down == rank_correlation.Agreement(-1.0, -1.0, -1.0, 4)


@settings(deadline=None)  # the machine may be busy
@given(small)
def test_the_quadratic_form_is_scipys_tau_b(pairs):
    x, y = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    weights = np.random.default_rng(1).multinomial(len(x), np.full(len(x), 1 / len(x)), size=3)
    for drawn, got in zip(
        weights, rank_correlation._tau_b(weights.astype(float), x, y), strict=True
    ):
        picks = np.repeat(np.arange(len(x)), drawn)
        want = stats.kendalltau(x[picks], y[picks]).statistic
        assert got == pytest.approx(want, nan_ok=True)


@settings(deadline=None)  # the machine may be busy
@given(small)
def test_it_is_symmetric_and_lies_within_its_bounds(pairs):
    x, y = (list(map(float, column)) for column in zip(*pairs, strict=True))
    found, swapped = kendall(x, y), kendall(y, x)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert found is None
        return
    assert found is not None and swapped is not None
    assert found.tau == pytest.approx(swapped.tau)
    assert -1 <= found.low <= found.high <= 1


def test_missing_values_leave_their_pair_out():
    full = kendall([1.0, 2.0, 3.0], [1.0, 3.0, 2.0])
    gaps = kendall([1.0, None, 2.0, 9.0, 3.0], [1.0, 5.0, 3.0, math.nan, 2.0])
    assert gaps == full


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([], []),
        ([1.0, 2.0], [1.0, 2.0]),
        ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]),
        ([None] * 4, [1.0] * 4),
    ],
    ids=["nothing", "two pairs", "constant", "none known"],
)
def test_undefined_is_none(x, y):
    assert kendall(x, y) is None


def test_columns_must_be_of_one_length():
    with pytest.raises(ValueError, match=r"one length, got \[2, 3\]"):
        kendall([1.0, 2.0], [1.0, 2.0, 3.0])


def test_many_pairs_take_fiellers_interval():
    rng = random.Random(0)
    x = [rng.random() for _ in range(1_204)]
    y = [v + rng.random() for v in x]
    found = kendall(x, y)
    assert found is not None and found.n == 1_204
    half = 1.959963984540054 * math.sqrt(0.437 / 1_200)
    assert found.low == pytest.approx(math.tanh(math.atanh(found.tau) - half))
    assert found.high == pytest.approx(math.tanh(math.atanh(found.tau) + half))


def test_the_gain_of_a_better_predictor():
    truth = [float(i) for i in range(12)]
    noise = random.Random(0)
    rival = [noise.random() for _ in truth]
    gain = kendall_gain(truth, rival, truth)
    assert gain is not None
    rivals = kendall(rival, truth)
    assert rivals is not None
    assert gain.tau == pytest.approx(1 - rivals.tau)
    assert gain.low > 0
    same = kendall_gain(rival, rival, truth)
    assert same == rank_correlation.Agreement(0.0, 0.0, 0.0, 12)
    assert kendall_gain([1.0, None, 2.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) is None


def test_the_gain_of_many_is_over_all_of_them():
    truth = [float(i) for i in range(1_100)]
    rival = [v if v < 1_000 else -v for v in truth]
    gain = kendall_gain(truth, rival, truth)
    assert gain is not None
    rivals = kendall(rival, truth)
    assert rivals is not None
    assert gain.n == 1_100
    assert gain.tau == pytest.approx(1 - rivals.tau)


def test_a_paired_difference_by_hand():
    # ten images: ours alone right 3 times, theirs alone once, so +20 points
    ours, theirs = 0b1110110000 << 2, 0b0001110000 << 2
    low, difference, high = paired_difference_percent(f"{ours:03x}", f"{theirs:03x}", 10)
    assert difference == pytest.approx(20.0)
    # with the halves 3.5 against 1.5 of twelve
    centre = 2 / 12
    error = math.sqrt((5 / 12 - centre**2) / 12)
    assert high == pytest.approx(100 * centre + 196 * error, rel=1e-4)
    assert low == pytest.approx(100 * centre - 196 * error, rel=1e-3)


def test_a_model_does_not_differ_from_itself():
    low, difference, high = paired_difference_percent("f0", "f0", 8)
    assert difference == 0.0
    assert low == -high < 0  # eight images alike leave room for a difference
    with pytest.raises(ValueError, match="8 images need 2 hex digits, got 1"):
        paired_difference_percent("f", "f0", 8)
