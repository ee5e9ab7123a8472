"""Colours that appear together differ for everybody, and none is known by its colour alone."""

from itertools import combinations
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from report.seeing import VISION, contrast, difference, seen

APART = 12.0
"""CIEDE2000 between any two of the palette, however colours are seen."""
VISIBLE = 3.0
"""Contrast of a mark with what is behind it (WCAG 2.2, 1.4.11)."""

SHARMA = [  # table 1 of the paper: pairs 1, 7, 12, 14, 17, 20, 25 and 34
    ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
    ((50, 0, 0), (50, -1, 2), 2.3669),
    ((50, 2.4900, -0.0010), (50, -2.4900, 0.0011), 7.2195),
    ((50, -0.0010, 2.4900), (50, 0.0011, -2.4900), 4.7461),
    ((50, 2.5, 0), (73, 25, -18), 27.1492),
    ((50, 2.5, 0), (58, 24, 15), 19.4535),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]


@pytest.mark.parametrize(("one", "other", "want"), SHARMA)
def test_differences_are_those_of_the_paper(one: Any, other: Any, want: float) -> None:
    assert difference(one, other) == pytest.approx(want, abs=5e-5)
    assert difference(other, one) == pytest.approx(want, abs=5e-5)


def test_the_simulation_confuses_what_such_people_confuse() -> None:
    """Red and olive come near each other without L or M cones, teal and blue without S cones."""
    for one, other, confused in (
        ("#c00000", "#5a6b00", ("protan", "deutan")),
        ("#30a8a0", "#3098d8", ("tritan",)),
    ):
        usual = difference(seen(one, "all cones"), seen(other, "all cones"))
        for vision in VISION:
            found = difference(seen(one, vision), seen(other, vision))
            assert (found < usual / 2) == any(name in vision for name in confused), vision


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_any_two_colours_of_the_palette_differ(page: Page, theme: str, vision: str) -> None:
    palette = page.evaluate("theme => EV.PALETTE[theme]", theme)
    assert len(palette) == 8
    near = {
        (one, other): round(difference(seen(one, vision), seen(other, vision)), 1)
        for one, other in combinations(palette, 2)
    }
    assert min(near.values()) >= APART, sorted(near.items(), key=lambda pair: pair[1])[:4]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_marks_and_words_stand_out_from_the_page(page: Page, theme: str) -> None:
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]  # a str of two
    page.wait_for_function("theme => document.documentElement.dataset.theme === theme", arg=theme)
    palette = page.evaluate("EV.PALETTE[EV.theme()]")
    grounds = [page.evaluate("name => EV.css(name)", name) for name in ("--surface", "--paper")]
    marks = palette + [page.evaluate("name => EV.css(name)", n) for n in ("--accent", "--warn")]
    marks += [colour for _, colour in page.evaluate("EV.colourScale()")]
    for ground in grounds:
        assert {m: contrast(m, ground) for m in marks if contrast(m, ground) < VISIBLE} == {}
        for words in ("--ink", "--muted", "--accent", "--warn", "--bad", "--good"):
            colour = page.evaluate("name => EV.css(name)", words)
            assert contrast(colour, ground) >= 4.5, (words, colour, ground)


LOOKS = """plot => plot.data.filter(t => t.x?.length).map(t => JSON.stringify([
  t.type, t.mode,
  t.stackgroup ? t.fillpattern?.shape : null,
  t.type === 'bar' ? t.marker?.pattern?.shape : null,
  /lines/.test(t.mode) ? [t.line?.dash, t.line?.width > 1] : null,
  /markers/.test(t.mode) ? t.marker?.symbol : null]))"""
"""What is left of each trace when no colour is seen: its symbol, dash, hatching."""


def looks(page: Page, figure: str) -> list[str]:
    """The traces of a figure, colours left out."""
    page.wait_for_function(
        "id => document.querySelector(`#figure-${id} .plot`)?.data?.length", arg=figure
    )
    found: list[str] = page.locator(f"#figure-{figure} .plot").evaluate(LOOKS)
    return found


@pytest.mark.parametrize(
    ("panel", "figures"),
    [
        ("front", ["front"]),
        ("compare", ["curves", "time", "kinds"]),
        ("curves", ["curves"]),
        ("search", ["shares", "parallel"]),
        ("devices", ["devices"]),
    ],
)
def test_no_two_traces_differ_by_colour_alone(full: Page, panel: str, figures: list[str]) -> None:
    full.evaluate("panel => EV.choose({ view: panel, pins: '0~2', trial: null })", panel)
    expect(full.locator(f"#tab-{panel}")).to_have_attribute("aria-current", "page")
    for figure in figures:
        found = looks(full, figure)
        assert len(found) > 1, figure
        assert len(set(found)) == len(found), (figure, found)
    full.evaluate("EV.choose({ view: 'front' })")


def test_curves_of_many_trials_have_axes_of_their_own(page: Page) -> None:
    page.evaluate("EV.choose({ view: 'curves', pins: null })")
    expect(page.locator("#figure-curves .main-svg").first).to_be_visible()
    traces = page.evaluate(
        """document.querySelector('#figure-curves .plot').data.map(
            (t) => [t.name, t.xaxis, t.line.dash])"""
    )
    own = [(name, axis, dash) for name, axis, dash in traces if name != "others"]
    trials = {axis: {n.split(",")[0] for n, a, _ in own if a == axis} for _, axis, _ in own}
    assert len(trials) == 12 and all(len(names) == 1 for names in trials.values())
    assert len({(axis, dash) for _, axis, dash in own}) == len(own) > 12  # seeds differ in dash
    page.evaluate("EV.choose({ view: 'front' })")
