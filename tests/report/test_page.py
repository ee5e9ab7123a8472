"""The page as a whole in a browser: address, keyboard, phone, accessibility, dark mode."""

from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from reader_of_pages import filtered, rows, serious

from evnas.store import Store


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


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until what the selector means has the focus; a trap or a hole ends the test."""
    for _ in range(150):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"Tab does not lead to {selector}")


def test_front_table_and_compare_need_no_pointer(page: Page) -> None:
    page.reload()
    expect(page.locator("#filter-says")).to_have_text("400 of 400 trials")
    tab_to(page, "#axis-y")
    chosen = page.input_value("#axis-y")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#axis-y")).not_to_have_value(chosen)
    expect(page.locator("#axis-y")).to_be_focused()  # built again, and the focus stayed
    tab_to(page, "#axis-lx")
    page.keyboard.press("Space")
    expect(page.locator("#axis-lx")).to_be_checked()
    tab_to(page, "#filter")
    page.keyboard.type("nc_ssd")
    expect(page.locator("#filter-says")).not_to_have_text("400 of 400 trials")
    shown = page.locator("#trials tbody tr").evaluate_all("(all) => all.map((r) => r.dataset.row)")
    for row in shown[:2]:
        tab_to(page, f"#pin-{row}")
        page.keyboard.press("Space")
        expect(page.locator(f"#pin-{row}")).to_be_checked()
    tab_to(page, "[id^=page-]:not(:disabled)")
    page.keyboard.press("Enter")
    expect(page.locator(".pager")).to_contain_text("page 2 of")
    page.reload()  # and the focus begins at the top again
    expect(page.locator("#filter-says")).not_to_have_text("400 of 400 trials")
    tab_to(page, "#tab-compare")
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Differences")).to_be_visible()
    tab_to(page, "[aria-label='Differences']")  # what scrolls can be scrolled
    tab_to(page, "#figure-macs button, #figure-curves button")
    page.go_back()
    expect(page.locator("#trials")).to_be_visible()


def test_the_focus_can_be_seen(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.press("Tab")
    outline = page.evaluate(
        """() => { const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
            return [outlineStyle, parseFloat(outlineWidth)]; }"""
    )
    assert outline[0] != "none" and outline[1] >= 1


def test_a_phone_s_width_needs_no_sideways_scroll(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.evaluate("EV.choose({ trial: '3', pins: '3~4' })")
    for name in ("front", "compare", "curves", "search", "devices", "conditions"):
        page.locator(f"#tab-{name}").click()
        expect(page.locator(f"#tab-{name}")).to_have_attribute("aria-current", "page")
        expect(page.locator(".plot .main-svg, pre").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


DESK, PHONE = (1280, 900), (390, 844)
EVERYWHERE = ("front", "compare", "curves", "search", "devices", "conditions")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("view", "size"),
    [(v, DESK) for v in EVERYWHERE] + [(v, PHONE) for v in ("front", "compare", "search")],
    ids=str,
)
def test_axe_finds_nothing_serious(
    page: Page, served: Any, axe: str, *, scheme: Any, view: str, size: tuple[int, int]
) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{served.url}/#study=made&trial=3&pins=3~4&view={view}")
    expect(page.locator(f"#tab-{view}")).to_have_attribute("aria-current", "page")
    expect(page.locator(".plot .main-svg, pre").first).to_be_visible()
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    assert serious(page, axe) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_among_all_studies(
    served: Any, watched: Any, axe: str, scheme: str
) -> None:
    page = watched.open(served.url, color_scheme=scheme, bypass_csp=True)
    expect(page.locator("#studies")).to_be_visible()
    assert serious(page, axe) == []


def test_dark_is_chosen_by_button_and_kept_in_the_address(page: Page) -> None:
    page.locator("#theme").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert "theme=dark" in page.url


def test_the_focus_stays_where_a_key_was_pressed(page: Page) -> None:
    page.evaluate("EV.choose({ trial: '3' })")
    for pressed in ("true", "false"):
        page.locator("#pin-this").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#pin-this")).to_have_attribute("aria-pressed", pressed)
        expect(page.locator("#pin-this")).to_be_focused()
    page.locator("#close-trial").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".side h2")).to_have_text("Trial")
    expect(page.locator("#trial-3")).to_be_focused()


def test_the_menu_of_columns_closes_by_escape_and_by_a_click_elsewhere(page: Page) -> None:
    page.evaluate("EV.choose({ trial: '3' })")
    menu, summary = page.locator("details.menu"), page.locator("#columns")
    summary.click()
    page.locator("#column-0").focus()
    page.keyboard.press("Escape")
    expect(menu).not_to_have_attribute("open", "")
    expect(summary).to_be_focused()
    expect(page.locator(".side h2")).to_have_text("Trial 3")  # one thing closes at a time
    summary.click()
    expect(menu).to_have_attribute("open", "")
    page.locator("#filter-says").click()
    expect(menu).not_to_have_attribute("open", "")


def test_a_failed_trial_says_why(synthetic: Any, watched: Any, workshop: Any) -> None:
    trace = (
        'Traceback (most recent call last):\n  File "x.py", line 3\nValueError: no such <kernel>'
    )
    path = workshop.folder / "failing" / "study.db"
    with Store.create(path, sweep=synthetic.sweep(2), environment={}) as store:
        for record in synthetic.records(2):
            if record.label == "1" and record.phase == "proxy":
                record = replace(record, status="failed", values={}, curve=(), error=trace)
            store.append(record)
    page = watched.open(f"{workshop.url}/#study=failing&trial=1")
    row = page.locator("#trials tbody tr[data-row='1']")
    expect(row.locator(".status")).to_have_text("failed")
    expect(row.locator("td.long").last).to_have_text("ValueError: no such <kernel>")
    expect(row.locator("td.long").last).to_have_attribute("title", "ValueError: no such <kernel>")
    expect(page.locator(".side pre").last).to_have_text(trace)
    expect(page.locator(".side pre").last).to_be_visible()
