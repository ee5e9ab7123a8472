"""The plan of a sweep as a page."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from reader_of_pages import serious

from evnas.report.page.plan import plan_page, spelt_time


def step(row: str, phase: str, seconds: float, *, done: bool = False) -> dict[str, Any]:
    return {"row": row, "phase": phase, "target": "", "seed": 0, "seconds": seconds, "done": done}


PLAN: dict[str, Any] = {
    "study": "mine",
    "trials": 2,
    "seconds": 700.0,
    "calibrated_train_throughput_img_s": 41.5,
    "notes": ["a target is left out: there is no <GPU>"],
    "steps": [
        step("A", "count", 0.0, done=True),
        step("A", "proxy", 300.0),
        step("B", "count", 1.0),
        step("B", "proxy", 399.0),
    ],
    "power": {
        "seed_noise_percent": 0.5,
        "noise_of": "of this study",
        "smallest_difference_percent": 1.4,
        "rows": {
            "B": {"printed_difference": -0.2, "tells": False, "seeds_needed": 49},
            "C": {"printed_difference": 2.1, "tells": True, "seeds_needed": 2},
        },
    },
}


def test_a_plan_says_what_would_run_and_what_it_can_tell(
    tmp_path: Path, watched: Any, axe: str
) -> None:
    file = tmp_path / "plan.html"
    file.write_text(plan_page(PLAN, command="evnas sweep mine.yaml", sweep="name: mine\n"))
    page = watched.open(file.as_uri())
    expect(page.get_by_role("heading", level=1)).to_have_text("Plan of mine")
    phases = page.get_by_role("table", name="Work by phase").get_by_role("row")
    expect(phases.nth(1)).to_have_text("count211 s")
    expect(phases.nth(2)).to_have_text("proxy2012 min")
    rows = page.get_by_role("table", name="Time ahead").get_by_role("row")
    expect(rows.nth(2)).to_have_text("B1 s7 min7 min")
    power = page.get_by_role("table", name="Printed differences").get_by_role("row")
    expect(power.nth(1)).to_have_text("B-0.2cannot49 seeds")
    expect(power.nth(2)).to_have_text("C+2.1can be detected")
    expect(page.locator("main")).to_contain_text("there is no <GPU>")
    expect(page.locator("pre").first).to_have_text("evnas sweep mine.yaml")
    assert serious(page, axe) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(40.4, "40 s"), (100.0, "2 min"), (7140.0, "119 min"), (11_100.0, "3 h 05 min")],
)
def test_times(seconds: float, said: str) -> None:
    assert spelt_time(seconds) == said
