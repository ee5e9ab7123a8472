"""The page in a browser: what a reader does with pointer, keyboard, phone and address."""

import csv
import io
import itertools
import json
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from playwright.sync_api import Page, expect

from evnas.pareto import Estimate, probability_dominates
from evnas.report.front import front, points
from evnas.report.objectives import Objective
from evnas.report.reading import StudyReader
from evnas.space.arch import ArchSpec
from evnas.space.catalog import catalog
from evnas.space.paths import diff
from evnas.store import Store

ROOT = Path(__file__).parents[2]


def rows(page: Page) -> list[str]:
    return page.locator("#trials tbody th button").all_inner_texts()


def place(page: Page, label: str) -> tuple[float, float]:
    """Where on the screen a trial's point is drawn."""
    found: list[float] = page.evaluate(
        """(label) => {
            const row = EV.data.rows.get(label);
            const plot = document.querySelector('#figure-front .plot');
            const box = plot.getBoundingClientRect(), { xaxis, yaxis } = plot._fullLayout;
            const value = (key) => EV.data.numbers.get(key).values[row];
            return [box.left + xaxis._offset + xaxis.d2p(value(EV.xKey())),
                    box.top + yaxis._offset + yaxis.d2p(value(EV.yKey()))];
        }""",
        label,
    )
    return found[0], found[1]


def filtered(page: Page, line: str) -> int:
    """Filter, and return how many trials are left of the 400."""
    page.fill("#filter", line)
    expect(page.locator("#filter-says")).not_to_have_text("400 of 400 trials")
    return int(page.locator("#filter-says").inner_text().split()[0])


def on_front(page: Page) -> list[str]:
    """Labels of the front, by the page's own reckoning."""
    found: list[str] = page.evaluate(
        """() => {
            const axes = EV.axes([EV.xKey(), EV.yKey()]);
            const all = Array.from({ length: EV.data.n }, (_, i) => i);
            const front = EV.frontOf(EV.partition(all, axes).complete, axes);
            return front.map((r) => EV.data.text.label[r]);
        }"""
    )
    return found


def test_studies_are_listed_with_their_troubles(served: Any, watched: Any) -> None:
    page = watched.open(served.url)
    table = page.locator("#studies")
    expect(table.get_by_role("link", name="made")).to_be_visible()
    expect(table).to_contain_text("schema 99")
    expect(table).to_contain_text("not a study of evnas, or damaged")
    table.get_by_role("link", name="made").click()
    expect(page.locator("#filter-says")).to_have_text("400 of 400 trials")


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


def test_the_table_filters_and_says_what_it_cannot_read(page: Page) -> None:
    filtered(page, "mixers:hsm_ssd params_m<10")
    mixers = page.locator("#trials tbody tr td:nth-of-type(3)").all_inner_texts()
    assert mixers and set(mixers) == {"hsm_ssd"}
    page.fill("#filter", "beauty>3")
    expect(page.locator("#filter-says")).to_contain_text("no column is called beauty")
    page.fill("#filter", "-hsm_ssd status:diverged")
    expect(page.locator("#trials tbody tr").first).to_contain_text("diverged")
    assert "hsm_ssd" not in page.locator("#trials tbody").inner_text()


def test_the_table_sorts_both_ways(page: Page) -> None:
    page.locator("#sort-params_m").click()
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("Parameters")
    first = rows(page)[0]
    page.locator("#sort-params_m").click()
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("Parameters")
    assert rows(page)[0] != first


def test_two_trials_are_compared_in_the_path_language(page: Page) -> None:
    page.locator("#pin-0").check()
    page.locator("#pin-1").check()
    page.locator("#tab-compare").click()
    expect(page.get_by_role("region", name="Differences")).to_contain_text("stages")
    cards = [page.evaluate(f"EV.cardOf({row})") for row in (0, 1)]
    want = diff(*(ArchSpec.from_dict(card["arch"]) for card in cards))
    for path, old, new in want:
        line = page.locator("tr", has=page.locator(f"code:text-is('{path}')"))
        for value in (old, new):
            text = f"{value:g}" if isinstance(value, float) else str(value)
            shown = {"None": "–", "True": "true", "False": "false"}.get(text, text)
            expect(line).to_contain_text(shown)
    expect(page.locator("#figure-curves .main-svg").first).to_be_visible()


def test_the_page_tells_differences_as_the_library_does(page: Page) -> None:
    archs = [e.arch for e in catalog().values()][::3]
    for a, b in itertools.pairwise(archs):
        found = page.evaluate("([a, b]) => EV.diff(a, b)", [a.to_dict(), b.to_dict()])
        assert found == json.loads(json.dumps([list(line) for line in diff(a, b)]))


def test_nothing_is_shown_as_null(page: Page) -> None:
    assert "null" not in page.locator("body").inner_text()
    assert "undefined" not in page.locator("body").inner_text()


def test_a_shared_address_shows_the_same(page: Page, served: Any, watched: Any) -> None:
    filtered(page, "nc_ssd")
    page.locator("#sort-top1_percent").click()
    page.locator("#trials tbody th button").nth(2).click()
    page.select_option("#axis-y", "params_m")
    expect(page.locator(".side h2")).to_contain_text("Trial ")
    other = watched.open(page.url)
    expect(other.locator(".side h2")).to_have_text(page.locator(".side h2").inner_text())
    assert other.input_value("#filter") == "nc_ssd"
    assert rows(other) == rows(page)
    assert other.input_value("#axis-y") == "params_m"


def test_back_returns_to_the_panel_before(page: Page) -> None:
    page.locator("#tab-conditions").click()
    expect(page.get_by_role("heading", name="The resolved sweep")).to_be_visible()
    page.go_back()
    expect(page.locator("#filter-says")).to_have_text("400 of 400 trials")


def test_the_page_s_probabilities_are_the_library_s(page: Page) -> None:
    found = page.evaluate(
        """() => { const axes = EV.axes([EV.xKey(), EV.yKey()]), all = [];
            for (let a = 0; a < 40; a++) for (let b = 0; b < a; b++) all.push([
                EV.dominanceProbability(a, b, axes), ...[a, b].flatMap((row) => axes.map((x) =>
                    [x.sign * x.values[row], EV.deviation(x.column, row)]))]);
            return all; }"""
    )
    z = np.random.default_rng(0).standard_normal(4000)

    def believed(mid: float, deviation: float) -> Estimate:
        return Estimate(mid, tuple(mid + deviation * z) if deviation else (mid,))

    compared = 0
    for p, *estimates in found:
        if any(mid is None or np.isnan(mid) for mid, _ in estimates):
            continue
        ax, ay, bx, by = (believed(mid, deviation) for mid, deviation in estimates)
        assert p == pytest.approx(probability_dominates((ax, ay), (bx, by)), abs=0.03)
        compared += 0.05 < p < 0.95
    assert compared > 20


def test_why_names_who_dominates_and_how_surely(page: Page) -> None:
    worst = page.evaluate(
        """() => { const axes = EV.axes([EV.xKey(), EV.yKey()]);
            const all = Array.from({length: EV.data.n}, (_, i) => i);
            const done = EV.partition(all, axes).complete;
            const worse = (r, o, { values, sign }) => sign * (values[r] - values[o]) > 0;
            const beaten = (r) => done.filter((o) => axes.every((a) => worse(r, o, a))).length;
            return EV.data.text.label[done.sort((a, b) => beaten(b) - beaten(a))[0]]; }"""
    )
    assert filtered(page, f"label:{worst}") == 1
    page.locator("#trials tbody th button").click()
    why = page.locator(".why")
    expect(why).to_contain_text("dominate it on these axes")
    assert float(why.locator("tbody td").last.inner_text().replace(">", "")) > 0.5


def test_why_names_what_ended_a_trial(page: Page) -> None:
    assert filtered(page, "status:diverged") > 1
    page.locator("#trials tbody th button").first.click()
    expect(page.locator(".why")).to_contain_text("It ended diverged: loss is nan at image 1,216.")


def test_search_and_devices_have_their_figures(page: Page) -> None:
    page.locator("#tab-search").click()
    for name in ("hypervolume", "shares", "states", "parallel"):
        expect(page.locator(f"#figure-{name} .main-svg").first).to_be_visible()
    assert page.locator("#figure-importance").count() == 0  # the study has none: no empty panel
    assert page.locator("#tab-reproduction").count() == 0
    page.locator("#tab-devices").click()
    expect(page.locator("#figure-devices .main-svg").first).to_be_visible()
    expect(page.locator("main")).to_contain_text("stand the other way round")


def test_exports_hold_what_is_listed(page: Page) -> None:
    said = filtered(page, "params_m<8")
    table = list(csv.DictReader(io.StringIO(saved(page, "#save-csv"))))
    assert len(table) == said
    assert all(float(line["params_m"]) < 8 for line in table)
    assert all(float(line["top1_percent:low"] or 0) <= 100 for line in table)
    latex = saved(page, "#save-latex")
    assert latex.count(" \\\\\n") == said + 1 and "hsm\\_ssd" in latex and "\\toprule" in latex


def test_architectures_come_as_yaml_in_a_zip(page: Page) -> None:
    page.locator("#pin-2").check()
    with page.expect_download() as waiting:
        page.locator("#save-zip").click()
    with zipfile.ZipFile(waiting.value.path()) as found:
        assert found.testzip() is None
        (name,) = found.namelist()
        arch = ArchSpec.from_dict(yaml.safe_load(found.read(name)))
    assert name == f"2-{arch.digest}.yaml"


@pytest.mark.parametrize("form", ["PNG", "SVG"])
def test_figures_are_saved(page: Page, form: str) -> None:
    with page.expect_download() as waiting:
        page.locator("#figure-front").get_by_role("button", name=f"as {form}").click()
    body = Path(waiting.value.path()).read_bytes()
    assert waiting.value.suggested_filename == f"made-front.{form.lower()}"
    assert body[:4] == b"\x89PNG" if form == "PNG" else b"<svg" in body[:200]


def saved(page: Page, button: str) -> str:
    with page.expect_download() as waiting:
        page.locator(button).click()
    return Path(waiting.value.path()).read_text()


def test_all_of_it_works_by_keyboard(page: Page) -> None:
    page.reload()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    expect(page.locator("#filter-says")).to_have_text("400 of 400 trials")
    page.keyboard.press("/")
    expect(page.locator("#filter")).to_be_focused()
    page.keyboard.type("sa params_m<12")
    expect(page.locator("#filter-says")).not_to_have_text("400 of 400 trials")
    page.locator("#sort-params_m").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#sort-params_m")).to_be_focused()  # redrawn, and the focus stayed
    expect(page.locator("th[aria-sort]")).to_contain_text("Parameters")
    box = page.locator("#trials tbody input").first
    box.focus()
    page.keyboard.press("Space")
    expect(box).to_be_checked()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".side h2")).to_contain_text("Trial ")
    page.keyboard.press("Escape")
    expect(page.locator(".side h2")).to_have_text("Trial")


def test_a_phone_s_width_needs_no_sideways_scroll(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for name in ("front", "search", "devices", "conditions"):
        page.locator(f"#tab-{name}").click()
        expect(page.locator(f"#tab-{name}")).to_have_attribute("aria-current", "page")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", ["front", "compare", "curves", "search", "devices", "conditions"])
def test_axe_finds_nothing_serious(
    page: Page, served: Any, axe: str, scheme: Any, view: str
) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{served.url}/#study=made&trial=3&pins=3~4&view={view}")
    expect(page.locator(f"#tab-{view}")).to_have_attribute("aria-current", "page")
    expect(page.locator(".plot .main-svg, pre").first).to_be_visible()
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    page.evaluate(f"window.axe || (() => {{ {axe} }})()")
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    bad = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
    assert [(v["id"], [n["html"][:200] for n in v["nodes"][:3]]) for v in bad] == []


def test_dark_is_chosen_by_button_and_kept_in_the_address(page: Page) -> None:
    page.locator("#theme").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert "theme=dark" in page.url


def test_records_of_another_process_appear(
    tmp_path: Path, synthetic: Any, watched: Any, served: Any, results: Path
) -> None:
    folder = results / "growing"
    synthetic.make(3, folder)
    page = watched.open(f"{served.url}/#study=growing")
    expect(page.locator("#filter-says")).to_contain_text("3 of 3 trials")
    script = (
        "import sys, importlib.util as u\n"
        "from pathlib import Path; from evnas.store import Store\n"
        "s = u.spec_from_file_location('d', sys.argv[1]); d = u.module_from_spec(s)\n"
        "s.loader.exec_module(d)\n"
        "with Store.append_to(Path(sys.argv[2])) as store:\n"
        "    for r in d.records(4, seed=9, first=3): store.append(r)\n"
    )
    made = [str(ROOT / "benchmarks/dashboard.py"), str(folder / "study.db")]
    subprocess.run([sys.executable, "-c", script, *made], check=True, cwd=ROOT)
    expect(page.locator("#filter-says")).to_contain_text("7 of 7 trials")


SMALL_SWEEP = """
name: really_run
base: efficientvim_m1
rows:
  A: {}
  B: {head.fusion: none}
targets: [{device: cpu, resolution: 32, batch_size: 1, budget_s: 0.1}]
"""


def test_a_real_sweep_appears_by_itself_and_grows(
    tmp_path: Path, served: Any, watched: Any, results: Path
) -> None:
    (tmp_path / "small.yaml").write_text(SMALL_SWEEP)
    page = watched.open(served.url)
    command = ["evnas.cli", "sweep", str(tmp_path / "small.yaml"), "--results", str(results)]
    sweep = subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.DEVNULL)
    page.get_by_role("link", name="really_run").click(timeout=120_000)
    expect(page.locator("#filter-says")).to_have_text("2 of 2 trials", timeout=120_000)
    expect(page.locator("#trials tbody")).to_contain_text("6.68")  # M1 has 6.68 million parameters
    last_speed = page.locator("#trials tbody tr").last.locator("td.number").first
    expect(last_speed).to_have_text(re.compile(r"^\d+\.\d"), timeout=120_000)
    assert sweep.wait() == 0


def test_markup_in_a_trial_s_texts_is_text(
    watched: Any, served: Any, results: Path, synthetic: Any
) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\"><b>A</b>"
    sweep = synthetic.sweep(2) | {"title": f"<script>1</script>{evil}"}
    with Store.create(results / "evil" / "study.db", sweep=sweep, environment={"a": evil}) as s:
        for record in synthetic.records(2):
            s.append(replace(record, label=evil + record.label, origin=evil, error=evil))
    page = watched.open(f"{served.url}/#study=evil")
    expect(page.locator("#trials tbody th button").first).to_have_text(f"{evil}0")
    page.locator("#trials tbody th button").first.click()
    expect(page.locator(".side h2")).to_have_text(f"Trial {evil}0")
    page.locator("#pin-0").check()
    page.locator("#pin-1").check()
    for tab in ("compare", "curves", "search", "conditions", "front"):
        page.locator(f"#tab-{tab}").click()
        expect(page.locator("main > section")).to_be_visible()
    assert page.locator("img, main b:text-is('A')").count() == 0
    assert "owned" not in page.title().replace(evil, "")


def test_an_empty_study_says_so(served: Any, watched: Any) -> None:
    page = watched.open(f"{served.url}/#study=empty")
    expect(page.get_by_role("heading", name="The resolved sweep")).to_be_visible()
    assert page.locator("#tab-front").count() == 0
