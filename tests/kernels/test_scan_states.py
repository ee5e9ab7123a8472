"""The benchmark of a scan's states: its table, and that the rule follows what was measured."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from benchmark_modules import BENCHMARKS, benchmark

KEPT = BENCHMARKS.parent / "results/reference/scan_states_cpu_2026-11-30_1thread.json"


@pytest.fixture(scope="module")
def bench() -> Iterator[Any]:
    with benchmark("scan_states") as module:
        yield module


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(KEPT.read_text())["lines"]
    return found


def test_the_page_holds_what_was_measured(bench, lines):
    with benchmark("page_section") as page_section:
        on_page = page_section.section_of(bench.PAGE, bench.SECTION)
    assert on_page == bench.table(lines) + "\n", "run make figures"


def test_the_rule_takes_what_was_faster(bench, lines):
    """Where one way is surely faster in both passes."""
    sure = 0
    for line in lines:
        passes = [line[name]["times_as_fast"] for name in ("forward", "backward")]
        if all(low > 1 for low, _, _ in passes) or all(high < 1 for _, _, high in passes):
            assert bench.by_lanes(line["states"], line["width"]) == (passes[0][1] > 1), line
            sure += 1
    assert sure > len(lines) / 2


def test_it_times_both_ways(bench):
    """And says how many times as fast the second is."""
    line = bench.line(2, 3, 0.01)
    for name in ("forward", "backward"):
        low, mid, high = line[name]["times_as_fast"]
        assert low <= mid <= high
        assert line[name]["each_ms"] > 0 and line[name]["lanes_ms"] > 0
