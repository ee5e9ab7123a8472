"""How fast the dashboard is on a study: first paint, filter, zoom, sort, live update.

    python benchmarks/dashboard.py make 20000 /tmp/synthetic
    python benchmarks/dashboard_times.py /tmp/synthetic

Needs the test extra (playwright) and an installed Chromium. The study gets one more trial.
"""

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

from evnas.report.pictures import QUIET_FLAGS, browser
from evnas.report.server import make_app

REPEATS = 7
_TIMED = """async (changes) => {
    const started = performance.now();
    EV.choose(changes);
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    return performance.now() - started;
}"""
_STEPS: dict[str, list[dict[str, Any]]] = {
    "filter_ms": [{"filter": "params_m<12"}, {"filter": "hsm_ssd"}, {"filter": None}],
    "zoom_ms": [{"zoom": "60~110~60~66"}, {"zoom": "40~140~58~70"}, {"zoom": None}],
    "sort_ms": [{"sort": "-params_m"}, {"sort": "label"}, {"sort": None}],
    "lasso_ms": [{"lasso": "60~60_110~60_110~66_60~66"}, {"lasso": None}],
}


def served(folder: Path) -> tuple[uvicorn.Server, threading.Thread, str]:
    """A dashboard on a free port."""
    server = uvicorn.Server(uvicorn.Config(make_app(folder), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    return server, thread, f"http://127.0.0.1:{port}/#study={folder.name}"


def opened(chromium: Browser, url: str) -> tuple[Page, float]:
    """A page in a fresh context, and seconds until its chart and table stand."""
    # the policy forbids the evaluation by which this waits; the page itself needs none
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, bypass_csp=True)
    page = context.new_page()
    page.set_default_timeout(120_000)
    start = time.perf_counter()
    page.goto(url)
    page.wait_for_selector("#figure-front .main-svg")
    page.wait_for_selector("#trials tbody tr")
    return page, time.perf_counter() - start


def interaction_times(page: Page) -> dict[str, float]:
    """Median milliseconds from a choice to the frame that shows it, of the slowest choice."""
    found = {}
    for name, steps in _STEPS.items():
        rounds = [[page.evaluate(_TIMED, step) for step in steps] for _ in range(REPEATS)]
        found[name] = max(statistics.median(taken) for taken in zip(*rounds, strict=True))
    return found


def live_update_s(page: Page, folder: Path, trials: int) -> float:
    """Seconds from another process's append to the row's count on the page."""
    script = (
        "import sys, time, importlib.util as u\n"
        "from pathlib import Path; from evnas.store import Store\n"
        "s = u.spec_from_file_location('d', sys.argv[1]); d = u.module_from_spec(s)\n"
        "s.loader.exec_module(d)\n"
        "n = int(sys.argv[3])\n"
        "with Store.append_to(Path(sys.argv[2])) as store:\n"
        "    for r in d.records(1, seed=n, first=n): store.append(r)\n"
        "    print(time.time())\n"
    )
    maker = Path(__file__).with_name("dashboard.py")
    command = [sys.executable, "-c", script, str(maker), str(folder / "study.db"), str(trials)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    page.wait_for_function(f"EV.data.n > {trials}", polling=20)
    return time.time() - float(done.stdout)


def main() -> None:
    """Print the times as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder.resolve()
    found: dict[str, float] = {}
    server, thread, url = served(folder)
    flags = [flag for flag in QUIET_FLAGS if flag != "--headless"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser(), args=flags)
        page, found["first_paint_server_just_started_s"] = opened(chromium, url)
        start = time.perf_counter()
        page.wait_for_function("EV.about.reading.done === EV.about.reading.of")
        found["all_read_after_s"] = time.perf_counter() - start
        page.close()
        paints = []
        for _ in range(3):
            page, taken = opened(chromium, url)
            paints.append(taken)
        found["first_paint_s"] = statistics.median(paints)
        found["trials"] = trials = page.evaluate("EV.data.n")
        found |= interaction_times(page)
        found["live_update_s"] = live_update_s(page, folder, trials)
        chromium.close()
    server.should_exit = server.force_exit = True
    thread.join(10)
    print(json.dumps({name: round(value, 3) for name, value in found.items()}))


if __name__ == "__main__":
    main()
