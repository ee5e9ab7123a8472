"""What tests of damaged and killed things share: their cases, and a line about how many."""

from collections.abc import Callable
from typing import Any

import pytest
from fault_counts import Cases


@pytest.fixture
def cases(record_property: Callable[[str, object], None]) -> Cases:
    """How many cases this run tries; see `Cases`."""
    return Cases(record_property)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many of what were tried, one line a test."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, text in report.user_properties:
            if name == "tried" and "faults" in report.nodeid:
                test = report.nodeid.rpartition("::")[2]
                terminalreporter.write_line(f"{test}: {text}")
