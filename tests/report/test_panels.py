"""Search, devices and the other panels in a browser."""

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from evnas.report.frame.study_reader import StudyReader


def test_search_and_devices_have_their_figures(page: Page) -> None:
    page.locator("#tab-search").click()
    for name in ("hypervolume", "shares", "states", "parallel"):
        expect(page.locator(f"#figure-{name} .main-svg").first).to_be_visible()
    assert page.locator("#figure-importance").count() == 0  # the study has none: no empty panel
    assert page.locator("#tab-reproduction").count() == 0
    page.locator("#tab-devices").click()
    expect(page.locator("#figure-devices .main-svg").first).to_be_visible()
    expect(page.locator("main")).to_contain_text("stand the other way round")


def test_rank_flips_are_pairs_that_two_targets_order_apart(page: Page, results: Path) -> None:
    reader = StudyReader(results / "made")
    reader.read_all()
    keys = [f"throughput_img_s@{target}" for target in reader.frame.targets]
    columns = [[reader.frame.column(k + end) for end in ("", ":low", ":high")] for k in keys]
    labels = list(reader.frame.text["label"])
    reader.close()

    def order(column: list[Any], p: int, q: int) -> int:
        _, low, high = column
        return int(low[p] > high[q]) - int(low[q] > high[p])

    told, flipped, widest = 0, 0, (0.0, "", "")
    for p, q in itertools.permutations(range(len(labels)), 2):
        if order(columns[0], p, q) != 1 or not (other := order(columns[1], p, q)):
            continue
        told += 1
        if other == -1:
            flipped += 1
            by = columns[0][0][p] / columns[0][0][q], columns[1][0][q] / columns[1][0][p]
            widest = max(widest, (math.log(by[0] * by[1]), labels[p], labels[q]))
    assert 0 < flipped < told
    page.locator("#tab-devices").click()
    expect(page.locator("main")).to_contain_text(
        f"Of {told:,} pairs that both targets tell apart beyond their 95 % intervals, {flipped:,} "
    )
    first = page.get_by_role("region", name="Rank flips").locator("tbody tr").first
    shown = first.locator("button").all_inner_texts()
    assert [text.split()[0] for text in shown] == [widest[1], widest[2]]


@pytest.mark.parametrize(
    ("view", "name"),
    [("curves", "curves"), ("search", "shares"), ("search", "parallel"), ("devices", "devices")],
)
def test_every_figure_is_saved(page: Page, view: str, name: str) -> None:
    page.locator(f"#tab-{view}").click()
    figure = page.locator(f"#figure-{name}")
    expect(figure.locator(".main-svg").first).to_be_visible()
    with page.expect_download() as waiting:
        figure.get_by_role("button", name="as SVG").click()
    drawing = Path(waiting.value.path()).read_text()
    assert drawing.startswith("<svg") and "<path" in drawing
    assert waiting.value.suggested_filename == f"made-{name}.svg"


def test_conditions_hold_what_takes_the_figures_again(page: Page) -> None:
    page.locator("#tab-conditions").click()
    expect(page.locator(".command")).to_contain_text(
        "evnas sweep results/made/sweep.resolved.yaml"
    )
    expect(page.locator("main pre")).to_contain_text("base: efficientvim_m2")
    expect(page.locator("main dl")).to_contain_text("synthetic")


def test_nothing_is_shown_as_null(page: Page) -> None:
    assert "null" not in page.locator("body").inner_text()
    assert "undefined" not in page.locator("body").inner_text()


def test_importances_are_called_what_they_are(told: Page) -> None:
    told.evaluate("EV.choose({ view: 'search' })")
    figure = told.locator("#figure-importance")
    expect(figure).to_contain_text("PED-ANOVA")
    drawn = figure.locator(".plot").evaluate("(p) => [p.data[0].y, p.data[0].x]")
    assert drawn == [["stages[0].dim", "stages[*].depth"], [0.7, 0.3]]
