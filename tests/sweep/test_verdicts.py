"""Verdicts of cells: what prints the same, what lies in an interval, what cannot be compared."""

import pytest

from evnas.record import Interval
from evnas.report.verdicts import against_reference, as_printed


@pytest.mark.parametrize(
    ("value", "printed", "told"),
    [
        (13.903842, "13.9", "matches"),
        (13.9499, "13.9", "matches"),
        (13.96, "13.9", "differs by +0.1 (+0.4 %)"),
        (0.355126, "0.355", "matches"),
        (0.3856, "0.382", "differs by +0.004 (+0.9 %)"),
        (14.2, "14", "matches"),
    ],
)
def test_counts(value, printed, told):
    assert str(as_printed(value, printed)) == told


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
    assert against_reference(interval, printed, neutral=1.0).kind == kind
