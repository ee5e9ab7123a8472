"""The plan of a sweep as a page."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from reader_of_pages import serious

from evnas.report.page.kept_plan import PLAN as KEPT
from evnas.report.page.kept_plan import KeptPlan
from evnas.report.page.plan import plan_page, spelt_time
from evnas.report.server.studies import Studies
from evnas.store import Store


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


SWEEP: dict[str, Any] = {
    "name": "mine",
    "base": "efficientvim_m1",
    "rows": {"A": {}, "B": {"stages[0].depth": 2, "norm": "<ln>"}},
    "seeds": [0, 1],
}
KEPT_PLAN = KeptPlan(plan=PLAN, command="evnas sweep mine.yaml", sweep=SWEEP, made=1.8e9)


def test_a_plan_says_what_would_run_and_what_it_can_tell(
    tmp_path: Path, watched: Any, axe: str
) -> None:
    file = tmp_path / "plan.html"
    file.write_text(plan_page(KEPT_PLAN))
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
    said = "Made 2027-01-15 08:00 UTC, when 1 of 4 pieces of work were done."
    expect(page.locator("main")).to_contain_text(said)
    varied = page.get_by_role("table", name="Rows").get_by_role("row")
    expect(varied.nth(1)).to_have_text("Anothing")
    expect(varied.nth(2)).to_have_text("Bstages[0].depth: 2, norm: <ln>")
    expect(page.get_by_role("table", name="Budget and aims")).to_contain_text("seeds[0, 1]")
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


def test_a_planned_sweep_stands_in_the_list_until_it_begins(
    watched: Any, workshop: Any, axe: str
) -> None:
    KEPT_PLAN.write(workshop.folder / "mine")
    page = watched.open(workshop.url)
    row = page.locator("#studies tbody tr").filter(has_text="planned")
    expect(row).to_contain_text("2 trials, about 12 min; planned 2027-01-15 08:00 UTC")
    assert serious(page, axe) == []
    row.get_by_role("link", name="mine").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Plan of mine")
    with Store.create(workshop.folder / "mine" / "study.db", sweep=SWEEP, environment={}):
        pass
    page.goto(workshop.url)
    expect(page.locator("#studies")).not_to_contain_text("planned")
    expect(page.get_by_role("link", name="mine")).to_have_attribute("href", "#study=mine")


def test_a_study_under_way_leads_to_its_plan(watched: Any, workshop: Any) -> None:
    progress = {"at": 1.8e9, "host": "here", "said": [], "now": [], "done_fraction": 0.5}
    progress |= {"left_s": 600.0, "phases": {"count": {"total": 4, "done": 3}}}
    search = {"name": "found", "budget": {"trials": 4, "minutes": None}}
    search |= {"space": {"axes": {"stages[0].depth": [1, 2]}}}
    with Store.create(workshop.folder / "found" / "study.db", sweep=search, environment={}) as db:
        db.note("progress", progress)
    page = watched.open(f"{workshop.url}/#study=found&view=run")
    page.get_by_role("link", name="The plan of this sweep").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Plan of found")
    main = page.locator("main")
    expect(main).to_contain_text("`evnas plan results/found/sweep.resolved.yaml --keep` keeps one")
    expect(main).to_contain_text("About 10 min left")
    expect(page.get_by_role("table", name="Work by phase")).to_contain_text("count43")
    expect(page.get_by_role("table", name="Axes of the space")).to_contain_text("[1, 2]")
    expect(page.get_by_role("table", name="Budget and aims")).to_contain_text("{trials: 4}")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"plan": {"steps": 3}}', "\0"])
def test_a_file_that_is_no_plan_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / KEPT).write_text(text)
    (row,) = Studies(tmp_path).overview()
    assert "must be a plan as `evnas plan --keep` writes it" in row["error"]


def test_a_plan_that_a_link_leads_to_elsewhere_is_not_shown(tmp_path: Path) -> None:
    KEPT_PLAN.write(tmp_path / "elsewhere")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "mine").symlink_to(tmp_path / "elsewhere")
    assert Studies(tmp_path / "results").overview() == []
