"""Why a trial stands where it does, as the page says it and as the library computes it."""

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from reader_of_pages import filtered

from evnas.report.page.about import halving_rungs
from evnas.stats.pareto import Estimate, probability_dominates
from evnas.sweep.parts import ProxySpec
from evnas.sweep.strategy_spec import strategy_spec


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


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("4", "It stopped at rung 0 of 3: counted and timed, not trained."),
        ("6", "It stopped at rung 1 of 3: 1,000 of 12,000 image presentations."),
        ("10", "at rung 2 of 3: 4,000 of 12,000 image presentations."),
        ("8", "It reached the last rung, 3 of 3: 12,000 of 12,000 image presentations."),
    ],
)
def test_why_names_the_rung_at_which_a_trial_stopped(full: Page, label: str, said: str) -> None:
    full.evaluate("(trial) => EV.choose({ view: 'front', trial })", label)
    expect(full.locator(".side h2")).to_have_text(f"Trial {label}")
    expect(full.locator(".why")).to_contain_text(said)


def test_only_successive_halving_has_rungs(page: Page) -> None:
    page.evaluate("EV.choose({ trial: '3' })")
    expect(page.locator(".why")).to_be_visible()
    assert "rung" not in page.locator(".why").inner_text()


@pytest.mark.parametrize("given", [(), (1600.0, 4000.0)])
def test_rungs_are_those_that_the_search_climbs(given: tuple[float, ...]) -> None:
    strategy = strategy_spec({"kind": "mo_asha", "eta": 2, "rungs": given})
    proxy = ProxySpec(epochs=4, images_per_epoch=1000, batch_size=64)
    sweep = {"strategy": strategy.model_dump(mode="json"), "proxy": proxy.model_dump(mode="json")}
    assert halving_rungs(sweep) == list(
        strategy.rungs_of(0.0 if given else float(proxy.presentations))
    )
    assert halving_rungs(sweep | {"strategy": {"kind": "evolution"}}) == []
    assert halving_rungs({"strategy": "a later version's"}) == halving_rungs({}) == []


def test_why_tells_how_a_measurement_went(full: Page) -> None:
    full.evaluate("EV.choose({ view: 'front', trial: '3' })")
    expect(full.locator(".side h2")).to_have_text("Trial 3")
    speed = full.locator(".side details", has_text="speed · cpu-torch").first
    speed.locator("summary").first.click()
    expect(speed).to_contain_text("throughput_img_s: 15 samples")
    expect(speed).to_contain_text(", 1 round taken again")
    expect(speed.get_by_role("img", name="15 samples of throughput_img_s")).to_be_visible()
    speed.locator(".quiet summary").click()
    facts = dict(
        zip(
            speed.locator(".quiet dt").all_inner_texts(),
            speed.locator(".quiet dd").all_inner_texts(),
            strict=True,
        )
    )
    assert facts["clock_mhz"] == "1,410" and facts["warnings[0]"] == "a page fault a pass"
    assert facts["retaken[0].why"] == "the clock fell by 9 %"
    assert facts["retaken[0].samples_ms[1]"] == "13"


def test_why_names_the_constraint_that_was_broken(full: Page) -> None:
    full.evaluate("EV.choose({ view: 'front', trial: '9' })")
    expect(full.locator(".why")).to_contain_text("It ended infeasible: params_m <= 40, got 41.2.")
    expect(full.locator(".why")).not_to_contain_text("rung")
    broken = full.evaluate(
        """() => { const { values } = EV.data.numbers.get('top1_percent');
            return EV.data.text.label[values.findIndex((v) => v < 60)]; }"""
    )
    full.evaluate("(trial) => EV.choose({ view: 'front', trial })", broken)
    expect(full.locator(".why")).to_contain_text("It breaks Top-1 (proxy), % at least 60: 5")
