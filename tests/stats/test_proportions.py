"""Shares of images against values worked out by hand or printed elsewhere."""

import numpy as np
import pytest

from evnas.stats.proportions import paired_shares, share_percent, student_mean


def test_wilson_is_newcombe_s_example():
    # R. G. Newcombe, Statistics in Medicine 17 (1998), Table I: 81 of 263
    found = share_percent(81, 263)
    assert [round(x, 2) for x in (found.low, found.high)] == [25.53, 36.62]
    none = share_percent(0, 20)
    assert (none.low, round(none.high, 2)) == (0.0, 16.11)


def test_a_mean_has_student_s_interval():
    found = student_mean([1.0, 2.0, 3.0])
    assert found.mid == 2.0
    assert found.high - 2.0 == pytest.approx(4.302653 / 3**0.5)
    assert student_mean([7.0]).to_dict() == {"low": 7.0, "mid": 7.0, "high": 7.0}


def test_pairs_are_of_the_same_images():
    first = np.array([1, 1, 1, 1, 1, 0, 0, 1, 0, 0], dtype=bool)
    second = np.array([1, 1, 0, 0, 0, 0, 0, 0, 1, 0], dtype=bool)
    found = paired_shares(first, second)
    assert (found.only_first, found.only_second) == (4, 1)
    assert found.difference_percent.mid == pytest.approx(30.0)
    assert found.p_value == pytest.approx(2 * (1 + 5) / 2**5)  # of 5: at most 1 on one side
    assert found.difference_percent.low < 0 < found.difference_percent.high
    assert paired_shares(first, first).p_value == 1.0
    with pytest.raises(ValueError, match="the same images"):
        paired_shares(first, second[:5])
