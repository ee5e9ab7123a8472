"""What a reader of the dashboard does with it in a browser, and what the page shows then."""

import gzip
import json
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

IN_ONE_LINE = "e => e.offsetHeight < 1.8 * parseFloat(getComputedStyle(e).lineHeight)"
"""Asked of an element: whether its text stands in one line."""


def block(page: str, name: str) -> Any:
    """What lies in the one-file page under a name."""
    found = re.search(f'data-name="{name}">([^<]*)', page)
    assert found is not None, name
    return json.loads(gzip.decompress(b64decode(found[1])))


def rows(page: Page) -> list[str]:
    return page.locator("#trials tbody th button").all_inner_texts()


def place(page: Page, label: str) -> tuple[float, float]:
    """Where on the screen a trial's point is drawn."""
    found: list[float] = page.evaluate(
        """(label) => {
            const row = EV.data.rows.get(label);
            const plot = document.querySelector('#figure-front .plot');
            const box = plot.getBoundingClientRect(), { xaxis, yaxis } = plot._fullLayout;
            const value = (key) => EV.data.numbers.get(key).values[row];
            return [box.left + xaxis._offset + xaxis.d2p(value(EV.xKey())),
                    box.top + yaxis._offset + yaxis.d2p(value(EV.yKey()))];
        }""",
        label,
    )
    return found[0], found[1]


def filtered(page: Page, line: str) -> int:
    """Filter, and return how many trials are left of the 400."""
    page.fill("#filter", line)
    expect(page.locator("#filter-says")).not_to_have_text("400 of 400 trials")
    return int(page.locator("#filter-says").inner_text().split()[0])


def on_front(page: Page) -> list[str]:
    """Labels of the front, as the page itself computes it."""
    found: list[str] = page.evaluate(
        """() => {
            const axes = EV.axes([EV.xKey(), EV.yKey()]);
            const all = Array.from({ length: EV.data.n }, (_, i) => i);
            const front = EV.frontOf(EV.partition(all, axes).complete, axes);
            return front.map((r) => EV.data.text.label[r]);
        }"""
    )
    return found


def saved(page: Page, button: str) -> str:
    with page.expect_download() as waiting:
        page.locator(button).click()
    return Path(waiting.value.path()).read_text()


def serious(page: Page, axe: str) -> list[tuple[str, list[str]]]:
    """What axe-core finds wrong in earnest: the rule, and some of the elements that break it."""
    page.evaluate(f"window.axe || (() => {{ {axe} }})()")
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    bad = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
    return [(v["id"], [n["html"][:200] for n in v["nodes"][:3]]) for v in bad]
