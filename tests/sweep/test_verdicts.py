"""Verdicts of cells: what prints the same, what lies in an interval, what cannot be compared."""

import pytest

from evnas.report.table.verdicts import against_reference, as_printed, printed_ratio
from evnas.stats.interval import Interval


@pytest.mark.parametrize(
    ("value", "printed", "want"),
    [
        (13.903842, "13.9", "matches"),
        (13.9499, "13.9", "matches"),
        (13.96, "13.9", "differs by +0.1 (+0.4 %)"),
        (0.355126, "0.355", "matches"),
        (0.3856, "0.382", "differs by +0.004 (+0.9 %)"),
        (14.2, "14", "matches"),
        (9.3, "0.6", "differs by +8.7 (15.5 times)"),
    ],
)
def test_counts(value, printed, want):
    assert str(as_printed(value, printed)) == want


@pytest.mark.parametrize(
    ("interval", "printed", "kind"),
    [
        (Interval(0.95, 0.97, 0.99), 0.96, "matches"),
        (Interval(0.95, 0.97, 0.99), 0.70, "same direction"),
        (Interval(0.95, 0.97, 0.99), 1.02, "differs"),
        (Interval(0.95, 0.99, 1.03), 0.70, "differs"),  # ours does not tell a direction
        (Interval(0.95, 0.97, 0.99), 1.0, "differs"),  # print has none
    ],
)
def test_ratios(interval, printed, kind):
    exactly = Interval(printed, printed, printed)
    assert against_reference(interval, exactly, neutral=1.0).kind == kind


def test_a_printed_ratio_is_known_as_far_as_its_digits():
    ratio, same = printed_ratio("0.12", "0.34"), printed_ratio("0.12", "0.12")
    assert ratio is not None and same is not None
    assert (ratio.low, ratio.mid, ratio.high) == pytest.approx(
        (0.115 / 0.345, 0.12 / 0.34, 0.125 / 0.335)
    )
    # 0.12 over 0.12 may be anything from 0.92 to 1.087: 0.97 does not contradict it
    assert against_reference(Interval(0.96, 0.97, 0.98), same, neutral=1.0).kind == "matches"
    assert printed_ratio("OOM", "1946") is None
    assert printed_ratio("", "1946") is None
