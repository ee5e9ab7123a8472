"""Trials side by side in a browser."""

import itertools
import json

from playwright.sync_api import Page, expect

from evnas.space.arch import ArchSpec
from evnas.space.catalog import catalog
from evnas.space.paths import diff


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
