"""Trials side by side in a browser."""

import itertools
import json
import re
from typing import Any

from playwright.sync_api import Page, expect

from evnas.arch.catalog import catalog
from evnas.arch.paths import diff
from evnas.arch.spec import ArchSpec


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


def test_each_seed_of_a_trial_has_one_curve(page: Page) -> None:
    def phase(seed: int, *top1: float) -> dict[str, Any]:
        curve = [{"images": 100 * (i + 1), "top1_percent": v} for i, v in enumerate(top1)]
        return {"phase": "proxy", "seed": seed, "budget": 100 * len(top1), "curve": curve}

    rungs = [phase(0, 10), phase(0, 10, 20), phase(1, 30, 40)]
    found = page.evaluate("(c) => EV.trainings(c)", [{"label": "7", "phases": rungs}])["drawn"]
    assert [(one["name"], one["y"]) for one in found] == [
        ("7, seed 0", [10, 20]), ("7, seed 1", [30, 40]),
    ]  # fmt: skip


def test_time_by_part_and_by_kind_stand_side_by_side(full: Page) -> None:
    full.evaluate("EV.choose({ view: 'compare' })")
    for name in ("time", "kinds"):
        expect(full.locator(f"#figure-{name} .main-svg").first).to_be_visible()
    bars = "(name) => document.querySelector(`#figure-${name} .plot`).data.map((t) => [t.x, t.y])"
    assert full.evaluate(bars, "time") == [[["stem", "stages.0", "rest"], [2, 5, 1]]] * 2
    assert full.evaluate(bars, "kinds") == [[["scan", "matmul"], [2, 6]]] * 2  # of 8 ms


def test_receptive_fields_are_drawn_where_they_were_taken(full: Page) -> None:
    full.evaluate("EV.choose({ view: 'compare' })")
    fields = full.get_by_role("img", name="Effective receptive field of trial 0")
    taken = ["96 px, weights random, 75.0 % of the area at 5 % of the peak or above"]
    taken += ["224 px, weights m1.pt"]  # from a record of phase `score`, as studies once had it
    expect(fields).to_have_count(len(taken))
    for i, words in enumerate(taken):
        expect(fields.nth(i)).to_have_accessible_name(re.compile(f"{re.escape(words)}$"))
        light = fields.nth(i).evaluate(
            "(c) => [...c.getContext('2d').getImageData(0, 0, 2, 2).data]"
        )
        assert light[0] < light[4] == light[8] < light[12]  # red of the pixels: 0, 0.5, 0.5, 1
    expect(full.get_by_text("Trial 2: not taken")).to_be_visible()


def test_each_stage_has_its_dims_depth_and_mixer(full: Page) -> None:
    full.evaluate("EV.choose({ view: 'compare' })")
    expect(full.get_by_role("list", name="Stages")).to_have_count(2)
    card = full.evaluate("EV.cardOf(EV.data.rows.get('2'))")
    boxes = full.get_by_role("list", name="Stages").nth(1).locator("li")
    assert boxes.count() == len(card["stages"]) == 3
    for i, stage in enumerate(card["stages"]):
        expect(boxes.nth(i)).to_contain_text(f"{stage['depth']} × {stage['dim']}")
        expect(boxes.nth(i)).to_contain_text(stage["mixer"])
