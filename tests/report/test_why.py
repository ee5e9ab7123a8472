"""Why a trial stands where it does, as the page says it and as the library reckons it."""

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from reader_of_pages import filtered

from evnas.pareto import Estimate, probability_dominates


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
