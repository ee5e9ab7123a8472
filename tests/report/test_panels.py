"""Search, devices and the other panels in a browser."""

from playwright.sync_api import Page, expect


def test_search_and_devices_have_their_figures(page: Page) -> None:
    page.locator("#tab-search").click()
    for name in ("hypervolume", "shares", "states", "parallel"):
        expect(page.locator(f"#figure-{name} .main-svg").first).to_be_visible()
    assert page.locator("#figure-importance").count() == 0  # the study has none: no empty panel
    assert page.locator("#tab-reproduction").count() == 0
    page.locator("#tab-devices").click()
    expect(page.locator("#figure-devices .main-svg").first).to_be_visible()
    expect(page.locator("main")).to_contain_text("stand the other way round")


def test_nothing_is_shown_as_null(page: Page) -> None:
    assert "null" not in page.locator("body").inner_text()
    assert "undefined" not in page.locator("body").inner_text()


def test_importances_are_called_what_they_are(told: Page) -> None:
    told.evaluate("EV.choose({ view: 'search' })")
    figure = told.locator("#figure-importance")
    expect(figure).to_contain_text("PED-ANOVA")
    drawn = figure.locator(".plot").evaluate("(p) => [p.data[0].y, p.data[0].x]")
    assert drawn == [["stages[0].dim", "stages[*].depth"], [0.7, 0.3]]
