"""PNG and SVG of a report's figures, drawn by a browser on this machine, if there is one.

The browser opens the one-file page with `#export=1`; the page draws every figure and leaves the
pictures in its document, which the browser prints.
"""

import base64
import contextlib
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from evnas.files import write_whole

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""A browser that draws one file from disk, and asks nothing of any network."""
TIMEOUT_S = 60.0
_PICTURE = re.compile(
    r'<a class="exported" href="data:image/[^,]*base64,([^"]*)" download="([\w.-]+)"'
)


def browser() -> str | None:
    """The path of an installed Chromium, or None."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def write_pictures(page: Path, out: Path, *, program: str | None = None) -> list[Path]:
    """NAME.png and NAME.svg of each figure of the one-file page.

    Returns:
        The files written: none where no browser is installed, or where it fails, since the page
        itself has all figures and can save them.
    """
    program = program or browser()
    if program is None:
        return []
    written = []
    for coded, name in _PICTURE.findall(_drawn(program, page)):
        path = out / name
        write_whole(path, base64.b64decode(coded))
        written.append(path)
    return written


def _drawn(program: str, page: Path) -> str:
    with tempfile.TemporaryDirectory() as profile:
        command = [
            program,
            *QUIET_FLAGS,
            f"--user-data-dir={profile}",
            "--window-size=1280,1000",
            "--virtual-time-budget=30000",
            "--dump-dom",
            f"{page.resolve().as_uri()}#export=1&theme=light",
        ]
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            done = subprocess.run(
                command, capture_output=True, encoding="utf-8", timeout=TIMEOUT_S
            )
            return done.stdout
    return ""
