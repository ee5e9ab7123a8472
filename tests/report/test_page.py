"""The page as a whole in a browser: address, keyboard, phone, accessibility, dark mode."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect
from reader_of_pages import filtered, rows


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
