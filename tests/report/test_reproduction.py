"""An ablation beside its published table in a browser: cells, verdicts, ranks."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from reader_of_pages import saved, serious

from evnas.papers.published import published_table
from evnas.record import Measurement, Record
from evnas.report.frame.breakdowns import keep_breakdown
from evnas.store import Store
from evnas.sweep.sweep import load_sweep

SWEEP = load_sweep(Path(__file__).parents[2] / "sweeps" / "table_c.yaml")
PRINTED = published_table("EfficientViM", "C")
TARGET = "cpu-torch-224-b16-float32"
PARTS = [
    {"stage": "stages[0]", "kind": "convolution", "ms": 2.0, "gflop": 0.1, "mib": 10.0},
    {"stage": "stages[1]", "kind": "matmul", "ms": 1.0, "gflop": 0.02, "mib": 20.0},
    {"stage": "rest", "kind": "gaps", "ms": 1.0, "gflop": None, "mib": None},
]
TAKEN_APART: dict[str, Any] = {
    "target": TARGET,
    "runtime": "torch",
    "latency_ms": 4.0,
    "copy_bytes_s": 1e10,
    "flop_s": 1e11,
    "disturbed": "",
    "parts": [{"bound": "", "of_ceiling": None} | part for part in PARTS],
}
"""Where a forward of row A goes, made up."""
RIGHT = {label: 1500 + 7 * i for i, label in enumerate("ABCDEFGHIJ")}
"""Correct answers of each row over 2,000 held-out images, made up."""


def records() -> Iterator[Record]:
    """Eleven rows; each is as fast beside A as printed but for C, and L diverged."""
    for row in SWEEP.candidates:
        about: dict[str, Any] = {
            "label": row.label,
            "digest": row.digest,
            "arch": row.to_dict(),
            "status": "complete",
        }
        printed = PRINTED[row.label]
        counts = {
            "params": 1e6 * (printed.number("params_m") or 0),
            "macs": 1e9 * (printed.number("flops_g") or 0),
        }
        yield Record(**about, phase="count", values=counts)
        ratio = (printed.number("throughput_img_s") or 0) / 17005 * (2 if row.label == "C" else 1)
        spread = [1 + 0.001 * i for i in range(-3, 4)]
        found = {"throughput_img_s": 200 * ratio, "latency_ms": 80 / ratio}
        found |= {"throughput_ratio": ratio} if row.label != "A" else {}
        conditions = {"batch_size": 16, "warnings": []}
        yield Record(
            **about,
            phase="speed",
            target=TARGET,
            measurements={
                k: Measurement(k, tuple(v * s for s in spread), conditions)
                for k, v in found.items()
            },
            details={"target_index": 0},
        )
        if row.label not in RIGHT:
            yield Record(**about | {"status": "diverged"}, phase="proxy", budget=3200.0)
            continue
        right = RIGHT[row.label]
        bits = f"{(1 << 2000) - (1 << (2000 - right)):0500x}"
        yield Record(
            **about,
            phase="proxy",
            budget=3200.0,
            values={"top1_percent": right / 20, "held_out_images": 2000.0},
            details={"correct_hex": bits},
        )


@pytest.fixture(scope="module")
def ablation(
    tmp_path_factory: pytest.TempPathFactory, serve: Any, chromium: Browser, watch: Any
) -> Iterator[Page]:
    """The page of an ablation that reproduces a table."""
    folder = tmp_path_factory.mktemp("ablation")
    sweep = SWEEP.spec.to_dict()
    with Store.create(folder / "table_c" / "study.db", sweep=sweep, environment={}) as store:
        for record in records():
            store.append(record)
        keep_breakdown(store, "A", SWEEP.candidates[0].digest, TAKEN_APART)
    server, pages = serve(folder), watch(chromium)
    page = pages.open(f"{server.url}/#study=table_c&view=reproduction")
    yield page
    pages.close()
    pages.check()
    server.stop()


@pytest.fixture
def panel(ablation: Page) -> Page:
    """Its Reproduction panel, drawn."""
    ablation.evaluate("EV.choose({ view: 'reproduction', filter: null })")
    expect(
        ablation.locator("#figure-reproduction-throughput_ratio .main-svg").first
    ).to_be_visible()
    return ablation


def test_each_row_stands_beside_print_with_its_verdict(panel: Page) -> None:
    table = panel.get_by_role("region", name="Published beside measured")
    expect(table.locator("tbody tr")).to_have_count(11)
    row = table.locator("tbody tr", has=panel.locator("button:text-is('B')"))
    expect(row).to_contain_text("printed 0.703: matches")
    expect(table.locator("td.verdict.matches").first).to_be_visible()
    row = table.locator("tbody tr", has=panel.locator("button:text-is('C')"))
    expect(row.locator("td.verdict", has_text="printed 0.575")).to_contain_text("differs by +0.5")
    row = table.locator("tbody tr", has=panel.locator("button:text-is('L')"))
    expect(row).to_contain_text("diverged")
    expect(panel.locator("main")).to_contain_text("EfficientViM, Table C, beside this machine")


def test_a_reason_that_many_cells_share_is_said_once(panel: Page) -> None:
    notes = panel.get_by_role("list", name="Notes").get_by_role("listitem").all_inner_texts()
    assert any("RTX 3090" in note for note in notes) and len(set(notes)) == len(notes) < 11
    cells = panel.get_by_role("region", name="Published beside measured").inner_text()
    assert "not comparable [1]" in cells and "RTX 3090" not in cells


def test_ranks_stand_with_interval_beside_those_of_flops(panel: Page) -> None:
    rows = panel.get_by_role("region", name="Rank correlations").locator("tbody tr")
    full = [line.locator("td").all_inner_texts() for line in rows.all()]
    names = rows.locator("th").all_inner_texts()
    assert {"FLOPs against published images/s", "FLOPs against published top-1"} < set(names)
    assert sum(name.startswith("measured images/s against") for name in names) == 1
    for tau, low, high, n in full:
        assert -1 <= float(low) <= float(tau) <= float(high) <= 1 and int(n) >= 10


def test_figures_pair_print_with_measurement(panel: Page) -> None:
    points = panel.evaluate(
        """() => { const figure = document.querySelector('#figure-reproduction-throughput_ratio');
            const t = figure.querySelector('.plot').data.find((t) => t.name === 'rows');
            return t.customdata.map((label, i) => [label, t.x[i], t.y[i]]); }"""
    )
    found = {label: (x, y) for label, x, y in points}
    for label, (x, y) in found.items():
        assert y == pytest.approx(2 * x if label == "C" else x, abs=0.002), label
    assert {"B", "C", "L"} <= found.keys()


def test_its_front_is_of_ratios_with_the_reference_at_1(ablation: Page) -> None:
    ablation.evaluate("EV.choose({ view: 'front', filter: null })")
    key = f"throughput_ratio@{TARGET}"
    expect(ablation.locator("#axis-x")).to_have_value(key)
    placed = ablation.evaluate(
        """() => { const { front, tied, cloud, axes: [x] } = EV.frontData();
            const rows = [...front, ...tied, ...cloud];
            return Object.fromEntries(rows.map((r) => [EV.data.text.label[r], x.values[r]])); }"""
    )
    assert placed.keys() == RIGHT.keys() and placed["A"] == 1  # L has no accuracy
    assert placed["B"] == pytest.approx(11952 / 17005, abs=1e-4)


def test_printed_rows_stand_beside_the_reference_or_nowhere(ablation: Page) -> None:
    ablation.evaluate("EV.choose({ view: 'front', marks: '1' })")
    marks = ablation.get_by_role("list", name="Marks")
    expect(marks).to_contain_text("ImageNet-1k), beside row A")
    found = ablation.evaluate("EV.publishedMarks(EV.frontData().axes)")
    points = {mark["label"]: (mark["x"], mark["y"]) for mark in found}
    top1 = {label: row.number("top1") for label, row in PRINTED.items()}
    assert points["A"] == (1, pytest.approx(RIGHT["A"] / 20))
    assert points["B"] == (
        pytest.approx(11952 / 17005),
        pytest.approx(RIGHT["A"] / 20 + (top1["B"] or 0) - (top1["A"] or 0)),
    )
    ablation.evaluate(f"EV.choose({{ x: 'throughput_img_s@{TARGET}' }})")
    expect(ablation.locator("#axis-marks")).to_have_count(0)  # another machine's images/s
    expect(marks).not_to_contain_text("ImageNet-1k")
    ablation.evaluate("EV.choose({ x: null, marks: null })")


def test_the_legend_holds_every_mixer_drawn_and_tied_marks_have_its_colour(ablation: Page) -> None:
    ablation.evaluate("EV.choose({ view: 'front' })")
    tied, front, colours = ablation.evaluate(
        """() => { const { tied, front } = EV.frontData();
            const mixers = (rows) => rows.map((r) => EV.data.text.mixers[r]);
            const { data } = document.querySelector('#figure-front .plot');
            const drawn = data.find((t) => t.name.startsWith('tied'));
            const want = tied.map((r) => EV.mixerColour(EV.data.text.mixers[r]));
            return [mixers(tied), mixers(front), [drawn.marker.color, want]]; }"""
    )
    assert set(tied) - set(front), "a mixer that no front member has"
    picture = ablation.evaluate(
        "EV.frontForExport(EV.panels.get('front').view).data.map((t) => t.name)"
    )
    for mixer in {*tied, *front}:
        expect(ablation.get_by_role("list", name="Marks")).to_contain_text(mixer)
        assert mixer in picture
    assert colours[0] == colours[1]


def test_a_row_says_what_it_changes(ablation: Page) -> None:
    ablation.evaluate("EV.choose({ view: 'front' })")
    expect(ablation.locator("#sort-changed")).to_have_text("Changed")
    cells = ablation.locator("#trials tbody td.wrapped").all_inner_texts()
    assert cells[0] == "base" and cells[3] == "mixer sa, mixer.heads 4, head.fusion none"
    assert cells[8] == "stages[0,2].mixer.states 9/49" and cells[10] == "norm full_bn"


def test_effects_are_those_of_the_table_with_their_intervals(ablation: Page) -> None:
    ablation.evaluate("EV.choose({ view: 'effects' })")
    expect(ablation.locator("#figure-effects-0 .main-svg").first).to_be_visible()
    trace = ablation.evaluate(
        """() => { const [{ x, text, error_x, marker }] =
                document.querySelector('#figure-effects-0 .plot').data;
            return { x, text, half: error_x.array, symbol: marker.symbol }; }"""
    )
    found = dict(zip((text[0] for text in trace["text"]), trace["x"], strict=True))
    assert "A" not in found and found["B"] == pytest.approx(11952 / 17005, abs=1e-4)
    assert all(half > 0 for half in trace["half"]) and "circle" in trace["symbol"]
    line = ablation.get_by_role("region", name="Effects, top-1 less A").locator("tbody tr").first
    expect(line.locator("td").nth(1)).to_have_text("+0.4")  # 7 of 2,000 images


def test_a_roofline_places_each_part_below_the_ceilings(ablation: Page) -> None:
    ablation.evaluate("EV.choose({ view: 'breakdown' })")
    expect(ablation.locator("#figure-roofline-0 .main-svg").first).to_be_visible()
    drawn = ablation.evaluate(
        """Object.fromEntries(document.querySelector('#figure-roofline-0 .plot').data
            .map(({ name, x, y }) => [name, [x, y]]))"""
    )
    assert drawn.keys() == {"ceiling", "convolution", "matmul"}  # of gaps nothing is counted
    mib = 2**20
    assert drawn["convolution"] == [[pytest.approx(1e8 / (10 * mib))], [pytest.approx(50)]]
    assert drawn["matmul"] == [[pytest.approx(2e7 / (20 * mib))], [pytest.approx(20)]]
    (_, ridge, _), ceiling = drawn["ceiling"]
    assert ridge == pytest.approx(10) and ceiling[1:] == pytest.approx([100, 100])


def test_the_audit_says_what_orders_rows_as_print_does(ablation: Page) -> None:
    ablation.evaluate("EV.choose({ view: 'audit', filter: null })")
    expect(ablation.locator("#figure-audit-overall .main-svg").first).to_be_visible()
    rows = ablation.get_by_role("region", name="Audit, overall").locator("tbody tr")
    full = {}
    for line in rows.all():
        full[line.locator("th").inner_text()] = line.locator("td").all_inner_texts()
    assert {"FLOPs", "params", "params x FLOPs", "proxy top-1"} == set(full)
    assert full["FLOPs"][-1] == "baseline"
    tau, low, high, n, pairs, verdict = full["proxy top-1"]
    assert -1 <= float(low) <= float(tau) <= float(high) <= 1
    assert (n, pairs) == ("10", "45")
    assert "FLOPs" in verdict


def test_the_table_has_what_was_printed_with_its_verdict(ablation: Page) -> None:
    ablation.evaluate("EV.choose({ view: 'front' })")
    row = ablation.locator("#trials tbody tr", has=ablation.locator("button:text-is('C')"))
    expect(row.locator("td.verdict.differs").last).to_have_text("0.575 · differs")
    table = list(csv.DictReader(io.StringIO(saved(ablation, "#save-csv"))))
    printed = next(key for key in table[0] if key.startswith("printed") and "ratio" in key.lower())
    assert {line["label"]: line[printed] for line in table}["B"] == "0.703 · matches"


def test_an_ablation_has_no_search_panel(ablation: Page) -> None:
    assert ablation.locator("#tab-search").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_serious_in_it(
    panel: Page, axe: str, *, scheme: Any, width: int
) -> None:
    panel.emulate_media(color_scheme=scheme)
    panel.set_viewport_size({"width": width, "height": 900})
    panel.wait_for_function(f"() => document.documentElement.scrollWidth <= {width}", timeout=5000)
    assert serious(panel, axe) == []
