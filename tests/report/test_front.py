"""The Front in a browser: hover, pins, lasso, marks, pictures of it."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from reader_of_pages import on_front, place

from evnas.report.front import front, points
from evnas.report.objectives import Objective
from evnas.report.reading import StudyReader


def test_the_page_s_front_is_the_library_s(page: Page, results: Path) -> None:
    reader = StudyReader(results / "made")
    reader.read_all()
    keys = page.evaluate("EV.about.objectives")
    found, values = points(reader.frame, [Objective(k["key"], k["better"]) for k in keys])
    want = {reader.frame.text["label"][row] for row in found[front(values)]}
    reader.close()
    assert set(on_front(page)) == want and len(want) > 3


def test_hover_shows_the_card_and_a_click_pins(page: Page) -> None:
    label = on_front(page)[2]
    page.mouse.move(*place(page, label))
    expect(page.locator("#hover")).to_be_visible()
    expect(page.locator("#hover")).to_contain_text(f"Trial {label}")
    page.mouse.click(*place(page, label))
    expect(page.locator(".side h2")).to_have_text(f"Trial {label}")
    expect(page.locator("#pin-this")).to_have_text("Pinned")
    assert f"pins={label}" in page.url
    expect(page.locator(".side")).to_contain_text("it is on the front")


def test_a_lasso_selects_into_the_table(page: Page) -> None:
    page.get_by_role("button", name="Lasso").click()
    box = page.locator("#figure-front .nsewdrag").first.bounding_box()
    assert box is not None
    left, top = box["x"] + 0.5 * box["width"], box["y"] + 0.2 * box["height"]
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in [(200, 0), (200, 200), (0, 200), (0, 0)]:
        page.mouse.move(left + x, top + y, steps=3)
    page.mouse.up()
    expect(page.locator("#drop-lasso")).to_be_visible()
    chosen = int(page.locator("#filter-says").inner_text().split()[0])
    assert 0 < chosen < 400
    inside = page.evaluate("EV.visibleRows().rows.length")
    assert inside == chosen
    page.locator("#drop-lasso").click()
    expect(page.locator("#filter-says")).to_have_text("400 of 400 trials")


@pytest.mark.parametrize("form", ["PNG", "SVG"])
def test_figures_are_saved(page: Page, form: str) -> None:
    with page.expect_download() as waiting:
        page.locator("#figure-front").get_by_role("button", name=f"as {form}").click()
    body = Path(waiting.value.path()).read_bytes()
    assert waiting.value.suggested_filename == f"made-front.{form.lower()}"
    assert body[:4] == b"\x89PNG" if form == "PNG" else b"<svg" in body[:200]


def test_peers_from_timm_have_a_mark_of_their_own_beside_the_front(told: Page) -> None:
    told.evaluate("EV.choose({ view: 'front', trial: 'peer' })")
    expect(told.get_by_role("list", name="Marks")).to_contain_text("timm peers, measured here")
    expect(told.locator("#front-notes")).to_contain_text("1 timm peer beside it")
    standing = told.evaluate("(({ front, peers }) => ({ front, peers }))(EV.standing())")
    row = told.evaluate("EV.data.rows.get('peer')")
    assert standing["peers"] == [row] and row not in standing["front"]
    symbols = told.evaluate(
        "document.querySelector('#figure-front .plot').data.map((t) => t.marker?.symbol)"
    )
    assert "hourglass-open" in symbols
    expect(told.locator(".why")).to_contain_text("measured here as a reference")


def test_bounds_and_published_points_are_drawn_where_both_axes_have_them(told: Page) -> None:
    told.evaluate("EV.choose({ view: 'front', x: 'params_m', y: 'top1_percent' })")
    expect(told.locator("#figure-front")).to_contain_text("at least 60")
    told.locator("#axis-marks").check()
    expect(told.get_by_role("list", name="Marks")).to_contain_text("published (")
    told.evaluate("EV.choose({ x: 'seconds', marks: '1' })")
    expect(told.get_by_role("list", name="Marks")).not_to_contain_text("published (")
    told.evaluate("EV.choose({ x: null, y: null, marks: null })")


def test_what_ended_otherwise_has_marks_of_its_own(page: Page) -> None:
    marks = page.get_by_role("list", name="Marks")
    for name in ("ended early", "tied within error", "no value (diverged, infeasible, …)"):
        expect(marks).to_contain_text(name)
    painted = page.evaluate(
        """() => { const c = document.querySelector('canvas.cloud'), pen = c.getContext('2d');
            return new Set(pen.getImageData(0, 0, c.width, c.height).data).size; }"""
    )
    assert painted > 10  # colours were laid down, not an empty canvas


def test_a_picture_of_the_front_holds_what_the_canvas_shows(page: Page) -> None:
    names = page.evaluate("EV.frontForExport(EV.views.front).data.map((t) => t.name)")
    assert {"dominated", "ended early", "tied within error", "front"} <= set(names)
