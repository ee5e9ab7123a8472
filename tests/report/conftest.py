"""One synthetic study, one server and one browser for all tests of the report."""

import gc
import gzip
import importlib.util
import multiprocessing
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from evnas.record import Record
from evnas.report.frame.receptive_fields import ReceptiveField, keep_field
from evnas.report.page.pictures import QUIET_FLAGS, browser
from evnas.report.server.app import make_app, server_of
from evnas.store import Store

ROOT = Path(__file__).parents[2]
TRIALS = 400
PATIENCE_MS = 15_000
"""How long a page may take for anything: the machine may have other work."""


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    """The generator of synthetic studies."""
    spec = importlib.util.spec_from_file_location("dashboard", ROOT / "benchmarks/dashboard.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory, synthetic: ModuleType) -> Path:
    """A results folder: `made` of 400 trials, and studies that cannot be read."""
    folder = tmp_path_factory.mktemp("results")
    synthetic.make(TRIALS, folder / "made")
    with Store.create(folder / "empty" / "study.db", sweep={"name": "empty"}, environment={}):
        pass
    (folder / "damaged").mkdir()
    (folder / "damaged" / "study.db").write_bytes(b"this is no database" * 100)
    with Store.create(folder / "newer" / "study.db", sweep={}, environment={}) as store:
        store.note("schema_version", 99)
    (folder / "no_study").mkdir()
    return folder


class Served:
    """A running dashboard."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self._server = server_of(make_app(folder, **options), log_level="error")
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            self._thread.join(0.01)
            assert self._thread.is_alive(), "the server did not start"
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    def stop(self) -> None:
        """Stop it, whatever is still connected."""
        self._server.should_exit = True
        self._thread.join(10)


@pytest.fixture(scope="session")
def serve() -> type[Served]:
    """How to run a dashboard over a folder of one's own."""
    return Served


@pytest.fixture(scope="session")
def watch() -> "type[Watched]":
    """How to open pages that are watched, for as long as one wants."""
    return Watched


@pytest.fixture(scope="session")
def served(results: Path) -> Iterator[Served]:
    """The dashboard over `results`."""
    server = Served(results)
    yield server
    server.stop()


ERF = [[0.0, 0.5], [0.5, 1.0]]
BREAKDOWN = {
    "latency_ms": 8.0,
    "parts_ms": {"stem": 2.0, "stages.0": 5.0, "rest": 1.0},
    "operators_fraction": {"scan": 0.25, "matmul": 0.75},
}


RUNGS = (1000.0, 4000.0, 12000.0)
TRAINED = {"4": 0.0, "6": RUNGS[0], "8": RUNGS[2]}
"""Trials of `full` that came to another rung than the second."""
RETAKEN = {"why": "the clock fell by 9 %", "samples_ms": [12.5, 13.0]}


BROKE = {"9": ("count", ""), "11": ("speed", "cpu-torch-224-b16-float32")}
"""Trials of `full` and the work after which they were found to break a constraint."""


def as_full(record: Record) -> Record | None:
    """A synthetic record as one of successive halving under constraints; None of work not done."""
    if record.label in BROKE:
        if (record.phase, record.target) == BROKE[record.label]:
            return replace(record, status="infeasible", error="params_m <= 40, got 41.2")
        return record if record.phase == "count" else None
    if record.phase != "proxy" or record.label not in TRAINED:
        return record
    found: dict[str, Any] = {"values": {"top1_percent": 65.0}, "curve": (), "error": ""}
    budget = TRAINED[record.label]
    return replace(record, budget=budget, status="complete", **found) if budget else None


def retaken(record: Record) -> Record:
    """The same speed with a round that was taken again."""
    speed = record.measurements["throughput_img_s"]
    conditions = {"clock_mhz": 1410, "retaken": [RETAKEN], "warnings": ["a page fault a pass"]}
    measurements = {"throughput_img_s": replace(speed, conditions=conditions)}
    return replace(record, measurements=measurements)


def field_of(record: Record) -> ReceptiveField:
    """A receptive field of the record's trial."""
    about: dict[str, Any] = {"label": record.label, "digest": record.digest}
    return ReceptiveField(resolution=96, weights="random", area_fraction=0.75, map=ERF, **about)


@pytest.fixture(scope="session")
def full(
    tmp_path_factory: pytest.TempPathFactory, synthetic: ModuleType, chromium: Browser
) -> Iterator[Page]:
    """A page of a study of 30 trials that has all that a study may have: where its time goes,
    receptive fields, importances, a peer from timm, a published table, bounds."""
    folder = tmp_path_factory.mktemp("full")
    sweep = synthetic.sweep(30) | {
        "strategy": {"kind": "mo_asha", "rungs": list(RUNGS)},
        "constraints": ["top1_percent >= 60"],
        "published": {"paper": "EfficientViM", "table": "C"},
    }
    with Store.create(folder / "full" / "study.db", sweep=sweep, environment={}) as store:
        for record in filter(None, map(as_full, synthetic.records(30))):
            details = {"breakdown": BREAKDOWN} if record.phase == "speed" else {}
            again = record.phase == "speed" and record.label == "3"
            store.append(replace(retaken(record) if again else record, details=details))
            if record.phase == "count" and record.label == "0":
                keep_field(store, field_of(record))
                found: dict[str, Any] = {"details": {"erf": ERF, "weights": "m1.pt"}, "values": {}}
                store.append(replace(record, phase="score", target="erf-224-m1.pt", **found))
            if record.label == "1" and record.phase in ("speed", "proxy"):
                peer = replace(record, label="peer", digest="p", arch={"timm": "resnet18"})
                store.append(peer)
        store.note("importance", {"top1_percent": {"stages[0].dim": 0.7, "stages[*].depth": 0.3}})
    server = Served(folder)
    pages = Watched(chromium)
    page = pages.open(f"{server.url}/#study=full&pins=0~2")
    page.wait_for_function(SETTLED)  # else a test would meet a half-drawn chart
    yield page
    pages.close()
    pages.check()
    server.stop()


@pytest.fixture
def workshop(tmp_path: Path, watched: "Watched") -> Iterator[Served]:
    """A dashboard over a folder of its own, for a test that writes studies."""
    (tmp_path / "workshop").mkdir()
    server = Served(tmp_path / "workshop")
    yield server
    watched.close()  # first, or a page that still asks would complain of a server that is gone
    server.stop()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One headless browser."""
    program = browser()
    if program is None:
        pytest.skip("no Chromium is installed")
    flags = [flag for flag in QUIET_FLAGS if flag != "--headless"]
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=flags)
        yield opened
        opened.close()
        _end_forked_children()


def _end_forked_children() -> None:
    """A loader's workers, forked by a test while the browser's driver ran, hold the pipe whose end
    it waits for."""
    gc.collect()
    for child in multiprocessing.active_children():
        child.terminate()
        child.join()


class Watched:
    """Pages whose every request and complaint is noted."""

    def __init__(self, chromium: Browser) -> None:
        self._chromium = chromium
        self._contexts: list[Any] = []
        self.requests: list[str] = []
        self.complaints: list[str] = []

    def open(self, url: str, *, width: int = 1280, height: int = 900, **options: Any) -> Page:
        """A new page in a context of its own."""
        context = self._chromium.new_context(
            viewport={"width": width, "height": height}, **options
        )
        self._contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "console",
            lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None,
        )
        page.goto(url)
        return page

    def close(self) -> None:
        """Close every page."""
        while self._contexts:
            self._contexts.pop().close()

    def check(self) -> None:
        """No complaint, and no request that leaves the machine."""
        complaints, self.complaints = self.complaints, []
        assert complaints == []
        inner = ("http://127.0.0.1:", "data:", "blob:", "file:")
        assert [url for url in self.requests if not url.startswith(inner)] == []


@pytest.fixture
def watched(chromium: Browser) -> Iterator[Watched]:
    """Pages that must not complain, nor ask anything of another machine."""
    pages = Watched(chromium)
    yield pages
    pages.close()
    pages.check()


@pytest.fixture(scope="session")
def shared(chromium: Browser, served: Served) -> Iterator[tuple[Watched, Page]]:
    """One page that stays open: loading the charting library again takes seconds a test."""
    pages = Watched(chromium)
    yield pages, pages.open(f"{served.url}/#study=made")
    pages.close()


@pytest.fixture
def page(shared: tuple[Watched, Page], served: Served) -> Iterator[Page]:
    """The study of 400 trials as one first opens it, at 1280 pixels, light."""
    pages, found = shared
    found.set_viewport_size({"width": 1280, "height": 900})
    found.emulate_media(color_scheme="light")
    found.evaluate("scrollTo(0, 0)")  # the test before may have gone down to the table
    found.mouse.move(0, 0)
    found.goto(f"{served.url}/#study=made")
    drawn(found)
    yield found
    pages.check()


SETTLED = """() => {
    const { done, of } = EV.about.reading, plot = document.querySelector('#figure-front .plot');
    if (!of || done < of || EV.data.lastId < of || !plot?._fullLayout) return false;
    const shown = EV.frontData(), range = EV.viewOf(shown, EV.publishedMarks(shown.axes));
    const { xaxis, yaxis } = plot._fullLayout, box = EV.frontBox(EV.panels.get('front').view);
    const drawn = [...xaxis.range, ...yaxis.range, xaxis._length, yaxis._length];
    return [...range, box.width, box.height].every((v, i) => Math.abs(v - drawn[i]) < 1e-6); }"""
"""The study is read to its end, and the chart shows all of it: nothing moves any more."""


def drawn(page: Page) -> None:
    """Wait until the front of the study stands."""
    expect(page.locator("#filter-says")).to_have_text(f"{TRIALS} of {TRIALS} trials")
    page.wait_for_function(SETTLED)


@pytest.fixture(scope="session")
def axe() -> str:
    """The accessibility checker's script (axe-core 4.14.1, MPL-2.0)."""
    packed = ROOT / "tests/data/axe/axe-4.14.1.min.js.gz"
    return gzip.decompress(packed.read_bytes()).decode()
