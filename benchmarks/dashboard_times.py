"""How fast the dashboard is on a study: first paint, filter, zoom, sort, lasso, live update.

    python benchmarks/dashboard.py make 20000 /tmp/synthetic
    python benchmarks/dashboard_times.py /tmp/synthetic

Prints a line per figure: median wall time with quartiles, and the median CPU time of the page's
process and the server's together, which other work on the machine hardly moves. Needs the test
extra (playwright) and an installed Chromium. The study gets some trials more.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from evnas.report.page.pictures import QUIET_FLAGS, browser
from evnas.report.server.app import make_app, server_of

REPEATS = 7
PAINTS = 5
UPDATES = 3
_SHOWN = """async (changes) => {
    const started = performance.now();
    EV.choose(changes);
    const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    await frame();
    while (EV.isPart() && EV.data.view.key !== EV.requestedView) await frame();
    await frame();
    return performance.now() - started;
}"""
_STEPS: dict[str, list[dict[str, Any]]] = {
    "filter": [{"filter": "params_m<12"}, {"filter": "hsm_ssd"}, {"filter": None}],
    "zoom": [{"zoom": "60~110~60~66"}, {"zoom": "40~140~58~70"}, {"zoom": None}],
    "sort": [{"sort": "-params_m"}, {"sort": "label"}, {"sort": None}],
    "lasso": [{"lasso": "60~60_110~60_110~66_60~66"}, {"lasso": None}],
}
Taken = list[tuple[float, float]]
"""(wall, CPU) milliseconds of each repetition."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of the study on a dashboard of its own, on a free port."""
    server = server_of(make_app(folder), log_level="error")
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/#study={folder.name}"
    server.should_exit = True
    thread.join(10)


def blank(chromium: Browser) -> tuple[Page, CDPSession]:
    """An empty page in a fresh context, nothing in its cache, and a way to its clocks."""
    # the policy forbids the evaluation by which this waits; the page itself needs none
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, bypass_csp=True)
    page = context.new_page()
    page.set_default_timeout(300_000)
    session = context.new_cdp_session(page)
    session.send("Performance.enable")
    return page, session


def cpu_ms(session: CDPSession) -> float:
    """CPU time so far of the page's process and of this one, which serves."""
    metrics = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
    return 1e3 * (float(metrics["ProcessTime"]) + time.process_time())


def paint(chromium: Browser, url: str) -> tuple[Page, CDPSession, dict[str, tuple[float, float]]]:
    """Open the study: until its table stands (and the cloud with it), and until the chart does."""
    page, session = blank(chromium)
    start, cpu = time.perf_counter(), cpu_ms(session)
    page.goto(url, wait_until="commit")
    taken = {}
    for name, sign in (
        ("table and cloud", "#trials tbody tr"),
        ("chart", "#figure-front .main-svg"),
    ):
        page.wait_for_selector(sign)
        taken[name] = 1e3 * (time.perf_counter() - start), cpu_ms(session) - cpu
    # the page's own mark: between table and chart this process gets no answer
    seen = page.evaluate("performance.getEntriesByName('table')[0].startTime")
    taken["table and cloud"] = seen, taken["table and cloud"][1]
    return page, session, taken


def interactions(page: Page, session: CDPSession) -> dict[str, Taken]:
    """From a choice to the frame that shows it; of each kind the slowest choice."""
    found: dict[str, Taken] = {}
    for name, steps in _STEPS.items():
        each: list[Taken] = [[] for _ in steps]
        for _ in range(REPEATS):
            for taken, step in zip(each, steps, strict=True):
                cpu = cpu_ms(session)
                wall = page.evaluate(_SHOWN, step)
                taken.append((wall, cpu_ms(session) - cpu))
        found[name] = max(each, key=lambda taken: statistics.median(w for w, _ in taken))
    return found


def live_update_ms(page: Page, folder: Path, trials: int) -> float:
    """From another process's append to the row's count on the page."""
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
    return 1e3 * (time.time() - float(done.stdout))


def summary_line(name: str, taken: Taken) -> dict[str, Any]:
    """One figure as data, printed as a line."""
    walls, cpus = sorted(w for w, _ in taken), [c for _, c in taken]
    low, _, high = statistics.quantiles(walls, n=4) if len(walls) > 1 else [walls[0]] * 3
    line = {"figure": name, "wall_ms": round(statistics.median(walls)), "n": len(walls)}
    line |= {"quartiles_ms": [round(low), round(high)], "cpu_ms": round(statistics.median(cpus))}
    print(json.dumps(line), flush=True)
    return line


def main() -> None:
    """Print the figures, a JSON line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder.resolve()
    print(json.dumps({"study": folder.name, "load": os.getloadavg(), "cores": os.cpu_count()}))
    flags = [flag for flag in QUIET_FLAGS if flag != "--headless"]
    with served(folder) as url, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser(), args=flags)
        page, _, first = paint(chromium, url)
        for name, taken in first.items():
            summary_line(f"{name}, server just started, what is read so far", [taken])
        page.wait_for_function("EV.about.reading.done === EV.about.reading.of", polling=200)
        page.context.close()
        paints: dict[str, Taken] = {}
        for _ in range(PAINTS):
            page, session, once = paint(chromium, url)
            for name, taken in once.items():
                paints.setdefault(name, []).append(taken)
            if len(paints["chart"]) < PAINTS:
                page.context.close()
        for name, several in paints.items():
            summary_line(f"first paint: {name}", several)
        for name, several in interactions(page, session).items():
            summary_line(name, several)
        trials = page.evaluate("EV.data.n")
        updates = [(live_update_ms(page, folder, trials + i), 0.0) for i in range(UPDATES)]
        summary_line("live update (no CPU figure)", updates)
        chromium.close()
    print(json.dumps({"trials": trials, "load": os.getloadavg()}))


if __name__ == "__main__":
    main()
