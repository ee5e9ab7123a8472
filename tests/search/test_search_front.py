"""What the page says of a search's front: its members, what speed costs, who is kept out."""

import importlib
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmark_modules import BENCHMARKS, benchmark

from evnas.arch.catalog import entry

FOLDER = BENCHMARKS.parent / "results/reference/search_cpu_2026-11-29"


@pytest.fixture(scope="module")
def front() -> Iterator[Any]:
    with benchmark("search_front") as module:
        yield module


@pytest.fixture(scope="module")
def kept(front: Any) -> dict[str, Any]:
    found: dict[str, Any] = front.read(FOLDER / "predicted.json")
    return found


def test_the_page_holds_what_the_files_say(front: Any) -> None:
    page_section = importlib.import_module("page_section")
    on_page = page_section.section_of(front.PAGE, front.SECTION)
    said = page_section.folded(front.report(FOLDER)) + "\n"
    assert on_page == said, "run make figures"


def test_what_is_kept_is_what_the_search_predicted(front: Any, kept: Any) -> None:
    for member in front.members_of(FOLDER):
        predicted = member["quantities"]["predicted_top1_percent"]
        assert kept[member["trial"]]["top1"][1] == pytest.approx(predicted, abs=1e-3)


def test_what_is_kept_is_what_is_predicted_now(front: Any, kept: Any) -> None:
    found = front.predicted(entry("efficientvim_m2").arch, front.Workshop())
    said = "run benchmarks/search_front.py with --predict"
    assert kept["efficientvim_m2"]["top1"] == pytest.approx(found.top1, abs=0.01), said
    assert kept["efficientvim_m2"]["draws"] == pytest.approx(list(found.draws), abs=0.01), said


def row(front: Any, number: int, ratio: float, top1: float) -> Any:
    """A member whose draws lie a point around its prediction."""
    draws = top1 + np.linspace(-1, 1, 101)
    prediction = front.Prediction(top1=(top1 - 1, top1, top1 + 1), draws=draws)
    return front.Row(
        label=str(number), arch=entry("efficientvim_m1").arch, ratio=(ratio, ratio, ratio),
        predicted=prediction, no_lower={"M1": 0.9, "M2": 0.1},
    )  # fmt: skip


def test_what_a_tenth_more_speed_costs(front: Any) -> None:
    """0.5 points for each factor of 1.1 on the slow side of M1, 1 on the other."""
    slow = [row(front, i, 1.1**-i, 73 + 0.5 * i) for i in range(1, 6)]
    fast = [row(front, 10 + i, 1.1**i, 73 - i) for i in range(5)]
    assert front.points_of_a_tenth(slow)[1] == pytest.approx(0.5)
    assert front.points_of_a_tenth(fast) == pytest.approx((1.0, 1.0, 1.0))  # draws move as one
    said = front.cost_of_speed([*slow, *fast])
    assert "0.50 among the 5 slower than M1, 1.00 among the 5 others" in said
    swayed = [
        replace(one, predicted=replace(one.predicted, draws=one.predicted.draws * (1 + 0.01 * i)))
        for i, one in enumerate(slow)
    ]
    low, _, high = front.points_of_a_tenth(swayed)
    assert low < high


def test_a_tenth_of_speed_shows_its_best_predicted(front: Any) -> None:
    rows = [row(front, 1, 0.91, 74.0), row(front, 2, 0.99, 73.0), row(front, 3, 1.01, 72.0)]
    m1 = replace(row(front, 0, 1.0, 72.9), label="M1")
    shown = front.table(rows, {"M1": m1}).splitlines()[2:]
    assert [line.split(" | ")[0] for line in shown] == ["| 3", "| M1", "| 1"]


def test_faster_means_both_intervals_and_nine_in_ten(front: Any) -> None:
    m1 = replace(row(front, 0, 1.0, 73.0), ratio=(0.97, 1.0, 1.03))
    near, far = row(front, 1, 1.02, 74.0), row(front, 2, 1.2, 74.0)
    unsure = replace(row(front, 3, 1.5, 70.0), no_lower={"M1": 0.89})
    said = front._faster([near, far, unsure], "M1", m1)
    assert "by the medians: 1, 2; faster" in said and said.endswith("probability: 2.")
    said = front._faster([unsure], "M1", m1)
    assert "by the medians: none; faster" in said and said.endswith("probability: none.")


def test_who_could_not_be_on_the_front_is_said(front: Any) -> None:
    _, printed = front.rows_of(FOLDER)
    (said,) = front._kept_out(FOLDER, printed)  # M1 is in the space and breaks nothing
    assert said.startswith("M2 could not be among them: stages[2].dim is 512")
    assert "it breaks `params_m <= 12` (params_m is 13.904)" in said


def test_candidates_are_counted_by_what_became_of_them(front: Any, tmp_path: Path) -> None:
    others = {
        "0": {"dominated_by": []},
        "1": {"ended": "infeasible", "reason": "params_m <= 12: params_m is 13"},
        "2": {"ended": "infeasible", "reason": "params_m <= 12: params_m is 14"},
        "3": {"ended": "failed", "reason": "out of memory"},
    }
    said = front._candidates({"members": [{}], "not_on_front": others})
    assert said.startswith("Of 5 candidates 2 break a constraint (2 `params_m <= 12`")
    assert "1 are beaten by another, 1 ended otherwise, and 1 are the front" in said
    whole = json.loads((FOLDER / "front.json").read_text(encoding="utf-8"))
    assert len(whole["members"]) + len(whole["not_on_front"]) == 1_024


def test_the_logarithm_is_what_counts(front: Any) -> None:
    """Half as fast costs as much as it does from any speed."""
    rows = [row(front, i, 2.0**-i, 70 + i) for i in range(4)]
    per_tenth = math.log(1.1) / math.log(2)
    assert front.points_of_a_tenth(rows)[1] == pytest.approx(per_tenth)
