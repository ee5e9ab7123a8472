"""The Front in a browser: hover, pins, lasso, marks, pictures of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from reader_of_pages import on_front, place

from evnas.report.frame.objectives import Objective
from evnas.report.frame.study_reader import StudyReader
from evnas.report.query.front import collect_points, find_front
from evnas.store import Store

LAYERS = "EV.panels.get('front').view.cloud.layers"


def test_the_page_s_front_is_the_library_s(page: Page, results: Path) -> None:
    reader = StudyReader(results / "made")
    reader.read_all()
    keys = page.evaluate("EV.about.objectives")
    found, values = collect_points(reader.frame, [Objective(k["key"], k["better"]) for k in keys])
    want = {reader.frame.text["label"][row] for row in found[find_front(values)]}
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


def test_peers_from_timm_have_a_mark_of_their_own_beside_the_front(full: Page) -> None:
    full.evaluate("EV.choose({ view: 'front', trial: 'peer' })")
    expect(full.get_by_role("list", name="Marks")).to_contain_text("timm peers, measured here")
    expect(full.locator("#front-notes")).to_contain_text("1 timm peer beside it")
    frontData = full.evaluate("(({ front, peers }) => ({ front, peers }))(EV.frontData())")
    row = full.evaluate("EV.data.rows.get('peer')")
    assert frontData["peers"] == [row] and row not in frontData["front"]
    symbols = full.evaluate(
        "document.querySelector('#figure-front .plot').data.map((t) => t.marker?.symbol)"
    )
    assert "hourglass-open" in symbols
    expect(full.locator(".why")).to_contain_text("measured here as a reference")


def test_bounds_and_published_points_are_drawn_where_both_axes_have_them(full: Page) -> None:
    full.evaluate("EV.choose({ view: 'front', x: 'params_m', y: 'top1_percent' })")
    expect(full.locator("#figure-front")).to_contain_text("at least 60")
    (line,) = full.evaluate("document.querySelector('#figure-front .plot').layout.shapes")
    assert line["y0"] == line["y1"] == 60 and (line["x0"], line["x1"]) == (0, 1)
    full.evaluate("EV.choose({ y: 'macs_exact_g' })")
    full.locator("#axis-marks").check()
    expect(full.get_by_role("list", name="Marks")).to_contain_text("published (")
    full.evaluate("EV.choose({ x: 'seconds', marks: '1' })")
    expect(full.get_by_role("list", name="Marks")).not_to_contain_text("published (")
    full.evaluate("EV.choose({ x: null, y: null, marks: null })")


PAINTED = """(layers) => {
    const { view } = EV.panels.get('front'), frontData = EV.frontData(), box = EV.frontBox(view);
    const pixels = EV.pixels(frontData.axes, EV.viewOf(frontData, []), box), { canvas } = view;
    const sharp = canvas.width / box.width, { width } = canvas;
    const { data } = canvas.getContext('2d').getImageData(0, 0, width, canvas.height);
    const inked = (x, y) => {
        for (let j = -6; j <= 6; j++) for (let i = -6; i <= 6; i++)
            if (data[4 * ((Math.round(sharp * y) + j) * width + Math.round(sharp * x) + i) + 3])
                return true;
        return false;
    };
    return layers.map(({ rows, base }) => rows.map(pixels.ofRow).every(
        ([x, y]) => inked(x, base === undefined ? y : pixels.y(base) - 4))); }"""
"""Of each layer of marks, whether there is ink where each of them must be."""


def test_infeasible_diverged_pruned_and_tied_have_marks_of_their_own(full: Page) -> None:
    full.evaluate("EV.choose({ view: 'front', x: 'params_m', y: EV.speedKeys()[0], trial: null })")
    marks = full.get_by_role("list", name="Marks")
    expect(marks).to_contain_text("infeasible")
    layers = {layer["name"]: layer for layer in full.evaluate(LAYERS)}
    label = "(rows) => rows.map((r) => EV.data.text.label[r])"
    assert full.evaluate(label, layers["infeasible"]["rows"]) == ["7", "11"]  # 9 has no speed
    full.evaluate("EV.choose({ x: null, y: null })")
    expect(marks).to_contain_text("no value (diverged, infeasible, …)")
    layers |= {layer["name"]: layer for layer in full.evaluate(LAYERS)}
    fallen = layers["no value (diverged, infeasible, …)"]
    statuses = full.evaluate("(rows) => rows.map((r) => EV.data.text.status[r])", fallen["rows"])
    assert statuses.count("infeasible") == 1 and set(statuses) <= {"infeasible", "diverged"}
    assert full.evaluate(PAINTED, [fallen]) == [True]
    assert len({layer["symbol"] for layer in layers.values()}) == len(layers) > 3


def test_what_ended_otherwise_is_painted(page: Page) -> None:
    marks = page.get_by_role("list", name="Marks")
    layers = page.evaluate(LAYERS)
    names = [layer["name"] for layer in layers]
    assert {"ended early", "tied within error", "no value (diverged, infeasible, …)"} < set(names)
    for name in names:
        expect(marks).to_contain_text(name)
    assert page.evaluate(PAINTED, layers) == [True] * len(layers)
    ended = next(layer for layer in layers if layer["name"] == "ended early")
    found = page.evaluate("(rows) => rows.map((r) => EV.data.text.status[r])", ended["rows"])
    assert set(found) == {"pruned", "diverged"}  # of one seed: the other has a value


def test_tied_are_those_that_no_member_dominates_surely(page: Page) -> None:
    tied, cloud = page.evaluate(
        """() => { const { front, tied, cloud, axes } = EV.frontData();
            const sure = (row) => Math.max(
                ...front.map((f) => EV.dominanceProbability(f, row, axes)));
            return [tied.map(sure), cloud.map(sure)]; }"""
    )
    assert tied and max(tied) < 0.95 <= min(cloud)
    expect(page.locator("#front-notes")).to_contain_text(f"{len(tied)} within error of it")


def test_a_third_objective_is_colour_and_counts_for_the_front(page: Page, results: Path) -> None:
    page.select_option("#axis-z", "params_m")
    page.wait_for_function(
        """() => document.querySelector('#figure-front .plot').data
            .some((t) => t.marker?.showscale)"""
    )
    reader = StudyReader(results / "made")
    reader.read_all()
    keys = page.evaluate("EV.about.objectives")
    aims = [Objective(k["key"], k["better"]) for k in keys] + [Objective("params_m", "less")]
    found, values = collect_points(reader.frame, aims)
    want = {reader.frame.text["label"][row] for row in found[find_front(values)]}
    reader.close()
    shown = page.evaluate("EV.frontData().front.map((r) => EV.data.text.label[r])")
    assert set(shown) == want and len(want) > len(on_front(page))
    colours = page.evaluate(
        """() => { const { data } = document.querySelector('#figure-front .plot');
            const { marker, x } = data.find((t) => t.marker?.showscale);
            return [marker.color.length, x.length]; }"""
    )
    assert colours == [len(want), len(want)]


def test_a_colour_changes_no_front_and_colours_the_tied_too(page: Page) -> None:
    shown = "[EV.frontData().front, EV.frontData().tied]"
    before = page.evaluate(shown)
    page.select_option("#axis-colour", "params_m")
    page.wait_for_function(
        "document.querySelector('#figure-front .plot').data.some((t) => t.marker?.showscale)"
    )
    assert page.evaluate(shown) == before
    looks = {layer["name"]: layer.get("looks") for layer in page.evaluate(LAYERS)}
    colours = {look["colour"] for look in looks["tied within error"]}
    assert len(colours) > 3 and {look["shape"] for look in looks["tied within error"]} == {
        "circle"
    }
    page.select_option("#axis-colour", "mixers")
    page.wait_for_function(
        "!document.querySelector('#figure-front .plot').data.some((t) => t.marker?.showscale)"
    )
    layers = {layer["name"]: layer for layer in page.evaluate(LAYERS)}
    tied = layers["tied within error"]
    own = page.evaluate(
        "(rows) => rows.map((r) => EV.mixerColour(EV.data.text.mixers[r]))", tied["rows"]
    )
    assert [look["colour"] for look in tied["looks"]] == own
    names = set(page.evaluate("(rows) => rows.map((r) => EV.data.text.mixers[r])", tied["rows"]))
    for name in names:
        expect(page.get_by_role("list", name="Marks")).to_contain_text(name)


def test_the_front_goes_in_steps_that_no_member_passes(page: Page) -> None:
    line = (
        "document.querySelector('#figure-front .plot').data.find((t) => t.mode === 'lines').line"
    )
    assert page.evaluate(line)["shape"] == "vh"  # with at least so many images/s
    page.evaluate("EV.choose({ x: 'params_m' })")
    page.wait_for_function(f"{line}.shape === 'hv'")  # for at most so many parameters


def test_front_members_have_their_intervals_as_bars(page: Page) -> None:
    off = page.evaluate(
        """() => { const { front, axes: [{ values, column: { low, high } }] } = EV.frontData();
            const rows = new Map(front.map((r) => [values[r], r]));
            const { data } = document.querySelector('#figure-front .plot');
            return data.filter((t) => t.error_x).flatMap(({ x, error_x }) => x.map((mid, i) =>
                Math.abs(error_x.array[i] - (high[rows.get(mid)] - mid))
                + Math.abs(error_x.arrayminus[i] - (mid - low[rows.get(mid)])))); }"""
    )
    assert len(off) == len(on_front(page)) and max(off) < 1e-9


def test_a_picture_of_the_front_holds_what_the_canvas_shows(page: Page) -> None:
    names = page.evaluate("EV.frontForExport(EV.panels.get('front').view).data.map((t) => t.name)")
    assert {"dominated", "ended early", "tied within error", "front"} <= set(names)


def test_nothing_is_blank_before_the_charting_library_is_there(watched: Any, served: Any) -> None:
    page = watched.open("about:blank")
    held: list[Any] = []
    page.route("**/plotly.js*", lambda route: held.append(route))  # until let go
    page.goto(f"{served.url}/#study=made")
    expect(page.locator("#filter-says")).to_have_text("400 of 400 trials")
    expect(page.locator("#figure-front .plot")).to_contain_text("(across)")
    view = "EV.panels.get('front').view"
    page.wait_for_function(f"{view}.hits.length > 0")
    row = page.evaluate("EV.frontData().front[2]")
    found = page.evaluate(f"(row) => {view}.hits.find((hit) => hit[2] === row)", row)
    ink = page.evaluate(
        """([x, y]) => { const { canvas } = EV.panels.get('front').view;
            const s = canvas.width / canvas.clientWidth;
            return [...canvas.getContext('2d').getImageData(s * x, s * y, 1, 1).data]; }""",
        found[:2],
    )
    assert ink[3] == 255 and len(set(ink[:3])) > 1, "the member's own colour"
    page.evaluate("EV.choose({ view: 'search' })")
    expect(page.locator("#figure-hypervolume .plot")).to_contain_text("Drawing")
    for route in held:
        route.continue_()
    expect(page.locator("#figure-hypervolume .main-svg").first).to_be_visible()
    expect(page.locator("#figure-hypervolume .plot")).not_to_contain_text("Drawing")


def test_what_weakens_a_search_s_figures_stands_above_its_front(
    workshop: Any, watched: Any, synthetic: Any
) -> None:
    path = workshop.folder / "noisy" / "study.db"
    with Store.create(path, sweep=synthetic.sweep(6), environment={}) as store:
        for record in synthetic.records(6):
            if record.phase == "speed":
                noisy = {"warnings": ["2 of 15 rounds spoiled: another process"]}
                record = replace(record, details={"conditions": noisy})
            store.append(record)
    page = watched.open(f"{workshop.url}/#study=noisy")
    sentences = page.get_by_role("list", name="What weakens the figures").get_by_role("listitem")
    expect(sentences).to_have_count(1)
    expect(sentences).to_contain_text("of the front: not quiet")
