"""Screenshots of a study's dashboard, for docs/images and the README.

    python scripts/screenshots.py results/reference/table_c_cpu_* docs/images --name table_c \\
        --pin A --pin B --pin C --only reproduction compare front phone-front

Needs the test extra (playwright), Pillow and an installed Chromium. One picture a panel at 1280
pixels, the front also in the dark and, in either scheme, at a phone's width. Pictures have 256
colours, for a third of the bytes.
"""

import argparse
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from evnas.report.page.pictures import QUIET_FLAGS, browser
from evnas.report.server.app import make_app, server_of

PANELS = (
    *("front", "compare", "curves", "search", "axes", "effects", "reproduction", "devices"),
    "conditions",
)
TALLEST = 2400
"""In pixels, of a panel: on a phone each row of a table is a card."""


@contextmanager
def dashboard(folder: Path) -> Iterator[str]:
    """The address of a dashboard over one study, on a free port, while it is needed."""
    server = server_of(make_app(folder), log_level="error")
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/#study={quote(folder.name)}"
    server.should_exit = True
    thread.join(10)


def take(
    folder: Path, out: Path, *, name: str, pins: Sequence[str] = (), only: Sequence[str] = ()
) -> list[Path]:
    """Take every panel that the study has.

    Args:
        folder: the study's folder.
        out: where the PNG files go, as NAME-PANEL.png.
        name: what the files' names begin with.
        pins: labels to pin and compare; the first three trials when empty.
        only: panels, `dark-front`, `phone-front` and `phone-dark-front`; all when empty.

    Returns:
        The files written.
    """
    out.mkdir(parents=True, exist_ok=True)
    flags = [flag for flag in QUIET_FLAGS if flag != "--headless"]
    with dashboard(folder) as url, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser(), args=flags)
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        page.goto(url)
        page.wait_for_selector("#trials tbody tr")
        chosen = list(pins) or page.locator("#trials tbody th button").all_inner_texts()[:3]
        address = f"{url}&trial={quote(chosen[0])}&pins={quote('~'.join(chosen))}"
        found = []

        def shoot(panel: str, place: str = "", turn: int = 0) -> None:
            if (not only or place + panel in only) and page.locator(f"#tab-{panel}").count():
                path = out / f"{name}-{place}{panel}.png"
                found.append(_panel(page, f"{address}&view={panel}&look={turn}", panel, path=path))

        page.goto(address)
        page.wait_for_selector("#tab-compare")
        for panel in PANELS:
            shoot(panel)
        page.emulate_media(color_scheme="dark")
        shoot("front", "dark-", 1)
        page.set_viewport_size({"width": 390, "height": 844})
        shoot("front", "phone-dark-", 2)
        page.emulate_media(color_scheme="light")
        shoot("front", "phone-", 3)
        chromium.close()
    return found


def _panel(page: Page, address: str, name: str, *, path: Path) -> Path:
    page.goto(address)
    page.wait_for_selector(f"#tab-{name}[aria-current=page]")
    page.wait_for_selector(".plot .main-svg, pre")
    page.wait_for_timeout(600)  # transitions of the charts
    page.screenshot(path=path, full_page=name != "conditions")
    shrink(path, tallest=TALLEST)
    return path


def shrink(path: Path, tallest: int | None = None) -> None:
    """Leave a picture its top and 256 colours: the most common as they are, so that surfaces keep
    theirs, and others far apart, so that no rare mark loses its own."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    picture = picture.crop((0, 0, picture.width, min(picture.height, tallest or picture.height)))
    counted: list[tuple[int, Any]] = [*(picture.getcolors(picture.width * picture.height) or ())]
    common = [part for _, colour in sorted(counted, reverse=True)[:128] for part in colour]
    rare = picture.quantize(128, method=Image.Quantize.MAXCOVERAGE).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette((common + rare)[: 3 * 256])
    picture.quantize(palette=palette, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> None:
    """Take the pictures and name them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a study's folder, such as results/table_c")
    parser.add_argument("out", type=Path, help="where the PNG files go")
    parser.add_argument("--pin", action="append", default=[], help="a trial to compare")
    parser.add_argument("--name", help="what the files' names begin with; the study's name")
    parser.add_argument(
        "--only", nargs="*", default=[], help="panels, dark-front, phone-[dark-]front"
    )
    given = parser.parse_args()
    folder = given.folder.resolve()
    name = given.name or folder.name
    for path in take(folder, given.out, name=name, pins=given.pin, only=given.only):
        print(path)


if __name__ == "__main__":
    main()
