"""A study too large to send whole: what the server computes is what the page would."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import Page, expect
from reader_of_pages import saved

from evnas.errors import SpecError
from evnas.record import Measurement
from evnas.report.frame import study_reader as reading
from evnas.report.frame.snapshot import Snapshot
from evnas.report.frame.study_reader import StudyReader
from evnas.report.query.dominance import group_by_dominance
from evnas.report.query.filters import apply_filter
from evnas.store import Store

LINES = [
    "hsm_ssd",
    "-hsm_ssd params_m<12",
    "status:diverged",
    "-status:complete",
    "label:17",
    '"mutation of 3"',
    "throughput_img_s>=60 top1_percent<64",
    "depth=5",
    "mixers:ss2d blocks:none",
    "params_m<1e1",
    "beauty>3",
    "params_m<ten",
    "nothing:here",
    "",
]


@pytest.fixture(scope="module")
def columns(results: Path) -> Iterator[Snapshot]:
    reader = StudyReader(results / "made")
    reader.read_all()
    yield reader.columns()
    reader.close()


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch, served: Any, watched: Any) -> Page:
    """The study of 400 trials, opened as if that were too many to send."""
    monkeypatch.setattr(reading, "LARGE", 100)
    page: Page = watched.open(f"{served.url}/#study=made")
    expect(page.locator("#filter-says")).to_have_text("400 of 400 trials")
    page.wait_for_selector("#figure-front .main-svg")
    assert page.evaluate("EV.isPart()")
    return page


@pytest.mark.parametrize("line", LINES)
def test_server_and_page_filter_alike(page: Page, columns: Snapshot, line: str) -> None:
    found = page.evaluate("(line) => EV.filtered(line)", line)
    try:
        rows, problem = np.flatnonzero(apply_filter(line, columns)).tolist(), ""
    except SpecError as e:
        rows, problem = list(range(len(columns))), str(e)
    assert problem.split(";")[0] == found["problem"].split(";")[0]
    assert rows == found["rows"]


@pytest.mark.parametrize("line", ["", "hsm_ssd", "status:diverged"])
def test_server_and_page_agree_on_who_stands_where(
    page: Page, columns: Snapshot, line: str
) -> None:
    full = page.evaluate(
        """(line) => { const { rows } = EV.filtered(line);
            const s = EV.computeFrontData(EV.axes(EV.axisKeys()), rows);
            return { ...s, axes: s.axes.map((a) => [a.key, a.sign]) }; }""",
        line,
    )
    keys, signs = zip(*full["axes"], strict=True)
    found = group_by_dominance(columns, keys, signs, np.flatnonzero(apply_filter(line, columns)))
    for name in ("front", "tied", "cloud", "infeasible", "ended", "unplaced", "peers"):
        assert sorted(getattr(found, name).tolist()) == sorted(full[name]), name
    assert sorted(found.floor.tolist()) == sorted(full["floor"]["rows"])


def test_a_large_study_shows_the_same_front_and_table(large: Page, page: Page) -> None:
    both = [p.evaluate("EV.frontData().front.toSorted()") for p in (large, page)]
    assert both[0] == both[1] and len(both[0]) > 3
    assert large.locator("#front-notes").inner_text() == page.locator("#front-notes").inner_text()
    for p in (large, page):
        p.locator("#sort-top1_percent").click()
        expect(p.locator("th[aria-sort=ascending]")).to_contain_text("Top-1")
    first = large.locator("#trials tbody tr").first
    expect(first).to_have_text(
        page.locator("#trials tbody tr").first.inner_text().replace("\t", "")
    )


def test_a_large_study_is_filtered_zoomed_and_explained(large: Page) -> None:
    large.fill("#filter", "hsm_ssd params_m<12")
    expect(large.locator("#filter-says")).not_to_contain_text("400 of 400")
    left = int(large.locator("#filter-says").inner_text().split()[0])
    assert 0 < left < 400
    large.evaluate("EV.choose({ filter: null, zoom: '60~110~60~66' })")
    expect(large.locator("#filter-says")).to_have_text("400 of 400 trials")
    label = large.evaluate("EV.data.text.label[EV.data.view.cloud[0]]")
    large.evaluate("(label) => EV.choose({ trial: label })", label)
    expect(large.locator(".why")).to_contain_text("it on these axes")
    counted = large.locator(".why p").last.inner_text()
    large.evaluate("EV.loadAll()")
    large.evaluate("EV.choose({ trial: null })")
    large.evaluate("(label) => EV.choose({ trial: label })", label)
    expect(large.locator(".why p").last).to_have_text(counted)


def test_a_large_study_grows_before_the_eyes(
    monkeypatch: pytest.MonkeyPatch, workshop: Any, watched: Any, synthetic: Any
) -> None:
    monkeypatch.setattr(reading, "LARGE", 20)
    path = synthetic.make(40, workshop.folder / "growing")
    page: Page = watched.open(f"{workshop.url}/#study=growing&filter=hsm_ssd")
    expect(page.locator("#filter-says")).to_contain_text("of 40 trials")
    before = page.evaluate("EV.data.view.total")
    fast = {"throughput_img_s": Measurement("throughput_img_s", (1e6, 1e6))}
    new = [
        replace(r, measurements=fast if r.phase == "speed" else {})
        for r in synthetic.records(30, seed=7, first=40)
        if r.status == "complete" and r.arch["stages"][0]["mixer"]["kind"] == "hsm_ssd"
    ]
    labels = {r.label for r in new}
    with Store.append_to(path) as store:
        for record in new:
            store.append(record)
    want = f"{before + len(labels)} of {40 + len(labels)} trials"
    expect(page.locator("#filter-says")).to_have_text(want)
    page.wait_for_function("() => EV.data.lastId === EV.about.reading.of")
    front = page.evaluate("EV.frontData().front.map((r) => EV.data.text.label[r])")
    assert page.evaluate("EV.isPart()") and labels & set(front)


def test_what_needs_every_row_has_every_row(large: Page) -> None:
    assert saved(large, "#save-csv").count("\n") == 401
    assert not large.evaluate("EV.isPart()")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("x=params_m", "x and y must name a column each"),
        ("x=params_m&y=beauty", "an axis must name a column of numbers"),
        ("x=params_m&y=seconds&range=1~2~3", "range must hold 4 numbers"),
        ("x=params_m&y=seconds&range=2~1~3~4", "range must be X0~X1~Y0~Y1"),
        ("x=params_m&y=seconds&lasso=1~2_3", "lasso must hold 2 numbers"),
        ("x=params_m&y=seconds&page=0", "page must be 1 to"),
        ("x=params_m&y=seconds&sort=-beauty", "sort must name a column"),
        (f"x=params_m&y=seconds&filter={'a' * 2000}", "at most 1000 characters"),
    ],
)
def test_a_view_that_cannot_be_is_refused_with_a_sentence(
    served: Any, query: str, said: str
) -> None:
    answer = httpx.get(f"{served.url}/api/studies/made/view?{query}")
    assert answer.status_code == 400 and said in answer.json()["error"]
