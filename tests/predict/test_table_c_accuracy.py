"""What the page says of Table C's three top-1 is what the study in the tree holds."""

import importlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from benchmark_modules import benchmark

from evnas.stats.power import SeedNoise


@pytest.fixture(scope="module")
def accuracy() -> Iterator[Any]:
    with benchmark("table_c_accuracy") as module:
        yield module


@pytest.fixture(scope="module")
def found(accuracy: Any) -> Any:
    return accuracy.TrainedTable.read(accuracy.STUDY)


def test_the_page_holds_what_the_study_says(accuracy: Any, found: Any) -> None:
    page_section = importlib.import_module("page_section")
    on_page = page_section.section_of(accuracy.PAGE, accuracy.SECTION)
    assert on_page == accuracy.section(found) + "\n", "run make figures"


def test_a_row_that_diverged_keeps_its_seeds_and_has_no_top1_of_them(
    accuracy: Any, found: Any
) -> None:
    lost = [record for record in found.of_row("L") if record.status == "diverged"]
    assert lost and len(found.of_row("L")) in found.seed_counts
    last = [line.label for line in found.table.lines].index("L")
    assert found.of_seed(lost[0].seed)[last] is None
    assert f"{len(found.of_row('L'))}, {len(lost)} diverged" in accuracy.section(found)


def test_what_more_seeds_detect_is_said(accuracy: Any, found: Any) -> None:
    noisy = SeedNoise(9.0, "made up")
    said = accuracy._needed(replace(found, detectable=replace(found.detectable, noise=noisy)))
    assert "the seeds of both rows can detect: none." in said
    seeds = found.seeds_beside_reference("B")  # of so little noise that they just tell its +2.1
    just = SeedNoise(2.1 / SeedNoise(1.0, "").smallest_difference(seeds) * 0.99, "made up")
    said = accuracy._needed(replace(found, detectable=replace(found.detectable, noise=just)))
    assert "the seeds of both rows can detect: B." in said


def test_rows_are_ordered_by_the_seeds_that_all_have(accuracy: Any, found: Any) -> None:
    assert set(found.shared_seeds) <= {record.seed for record in found.of_row("L")}
    line = next(part for part in accuracy._orders(found).splitlines() if "all rows have" in part)
    assert f"{len(found.shared_seeds)} seeds" in line
