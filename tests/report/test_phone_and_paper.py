"""The page on a phone and on paper."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from reader_of_pages import serious


@pytest.fixture
def phone(page: Page) -> Page:
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.locator("#trials.cards")).to_be_visible()
    return page


def test_rows_are_cards_that_name_their_cells(phone: Page, axe: str) -> None:
    card = phone.locator("#trials tbody tr").first
    box = card.bounding_box()
    assert box is not None and box["width"] <= 390 and box["height"] > 150  # a line a column
    cell = card.locator("td.number").first
    before = cell.evaluate("(cell) => getComputedStyle(cell, '::before').content.slice(1, -1)")
    heads = phone.locator("#trials thead th").evaluate_all("(all) => all.map((h) => h.innerText)")
    assert before and any(before in head for head in heads)
    reach = card.locator("td.number").evaluate_all(
        "(all) => all.map((c) => c.getBoundingClientRect()).map((b) => [b.left, b.right])"
    )
    assert all(left >= 0 and right <= 390 for left, right in reach)
    assert phone.get_by_role("row").count() > 10  # a table still, to who cannot see it
    phone.locator("#sort-params_m").click()  # and it is sorted as before
    expect(phone.locator("th[aria-sort]")).to_contain_text("Parameters")
    assert serious(phone, axe) == []


def test_three_pins_stand_side_by_side_and_are_swiped(phone: Page, axe: str) -> None:
    phone.evaluate("EV.choose({ pins: '3~4~5', view: 'compare' })")
    expect(phone.get_by_role("region", name="Architectures")).to_be_visible()
    for name in ("Architectures", "Figures"):
        region = phone.get_by_role("region", name=name)
        wide, shown = region.evaluate("(node) => [node.scrollWidth, node.clientWidth]")
        assert shown <= 390 < wide
    columns = phone.get_by_role("region", name="Architectures").locator("> div")
    tops = columns.evaluate_all("(all) => all.map((c) => c.getBoundingClientRect().top)")
    assert len(tops) == 3 and len(set(tops)) == 1
    figures = phone.get_by_role("region", name="Figures")
    figures.evaluate("(node) => node.scrollTo({ left: 250, behavior: 'instant' })")
    heading = figures.locator("tbody th").first
    assert (
        heading.evaluate("(cell) => cell.getBoundingClientRect().left") < 40
    )  # it stays in sight
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    assert serious(phone, axe) == []


def test_a_front_and_its_table_go_on_one_sheet(
    synthetic: Any, watched: Any, workshop: Any
) -> None:
    synthetic.make(14, workshop.folder / "printed")
    page = watched.open(f"{workshop.url}/#study=printed&theme=dark")
    expect(page.locator("#filter-says")).to_have_text("14 of 14 trials")
    page.wait_for_function(
        "() => Boolean(document.querySelector('#figure-front .plot')?._fullLayout)"
    )
    sheet = page.pdf(format="A4", print_background=True)
    assert len(re.findall(rb"/Type /Page\b", sheet)) == 1
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    for hidden in (".tabs", ".tools", ".controls", "#filter", "#pin-0"):
        expect(page.locator(hidden).first).to_be_hidden()
    expect(page.locator("#trials tbody tr")).to_have_count(14)
    plot, table = (
        page.locator(name).first.bounding_box() for name in (".plot .main-svg", "#trials")
    )
    assert plot is not None and table is not None
    assert plot["width"] <= 702 and plot["x"] + plot["width"] <= 702  # as wide as the sheet
    assert table["x"] + table["width"] <= 702
    page.evaluate("EV.choose({ cols: EV.table.all().join('~') })")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    table = page.locator("#trials").bounding_box()  # with every column that there is
    assert table is not None and table["x"] + table["width"] <= 702
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.locator(".tabs")).to_be_visible()
