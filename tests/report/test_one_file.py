"""The report as one file: small, offline, and the same page."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from pyarrow import parquet
from reader_of_pages import block

from evnas.errors import EvnasError
from evnas.report.frame import study_reader
from evnas.report.frame.study_reader import StudyReader
from evnas.report.notebook.study import load_study
from evnas.report.page import one_file
from evnas.report.page.one_file import render_page, write_report
from evnas.report.page.pictures import browser, write_pictures
from evnas.store import Store


@pytest.fixture(scope="module")
def written(results: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files of a report, by name."""
    out = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(one_file, "write_pictures", write_pictures)
        return {path.name: path for path in write_report(results / "made", out)}


def test_it_opens_from_disk_and_asks_for_nothing(written: Any, watched: Any) -> None:
    url = written["report.html"].as_uri()
    page = watched.open(url, offline=True)
    expect(page.locator("#figure-front .main-svg").first).to_be_visible()
    expect(page.locator("#filter-says")).to_have_text("400 of 400 trials")
    page.locator("#trials tbody th button").nth(3).click()
    expect(page.locator(".side")).to_contain_text("How it was measured")
    page.locator("#tab-search").click()
    expect(page.locator("#figure-hypervolume .main-svg").first).to_be_visible()
    assert watched.requests == [url, *(r for r in watched.requests[1:] if r.startswith("data:"))]


def test_it_is_small(written: Any) -> None:
    size = written["report.html"].stat().st_size
    plotly = 2.1e6  # what every report holds; the rest is this study's 400 trials
    assert size < plotly + 400 * (8e6 - plotly) / 1000


def test_of_a_large_study_it_has_the_cards_that_are_looked_for(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watched: Any
) -> None:
    monkeypatch.setattr(study_reader, "LARGE", 100)
    monkeypatch.setattr(one_file, "MOST_CARDS", 60)
    found = {path.name: path for path in write_report(results / "made", tmp_path)}
    cards = block(found["report.html"].read_text(), "cards")
    held = {card["label"] for card in cards if card}
    front = {member["label"] for member in json.loads(found["front.json"].read_text())["front"]}
    assert len(cards) == 400 and front < held and len(held) <= 60 and "399" in held
    with Store.read(results / "made" / "study.db") as store:
        assert parquet.read_metadata(found["records.parquet"]).num_rows == store.count()
    page = watched.open(found["report.html"].as_uri(), offline=True)
    assert cards[0] is None
    page.evaluate("EV.choose({ trial: '0' })")
    expect(page.locator(".side")).to_contain_text("of a study this large the file holds the cards")
    page.evaluate("EV.choose({ trial: '399' })")
    expect(page.locator(".side")).to_contain_text("How it was measured")


def test_the_front_is_written_as_data(written: Any) -> None:
    full = json.loads(written["front.json"].read_text())
    assert full["trials"] == 400
    keys = [o["key"] for o in full["objectives"]]
    found = [[member[key] for key in keys] for member in full["front"]]
    assert found == sorted(
        found, reverse=True
    )  # more is better of both: one falls as the other rises
    assert [b for _, b in found] == sorted(b for _, b in found)
    assert all("stages" in member["arch"] for member in full["front"])


@pytest.mark.skipif(browser() is None, reason="no Chromium is installed")
def test_figures_are_drawn_where_a_browser_is(written: Any) -> None:
    assert written["front.png"].read_bytes()[:4] == b"\x89PNG"
    assert "<svg" in written["front.svg"].read_text()[:200]
    assert "Throughput" in written["front.svg"].read_text()
    assert {"curves.png", "hypervolume.svg"} <= written.keys()


def test_without_a_browser_there_are_no_pictures(written: Any, tmp_path: Path) -> None:
    assert write_pictures(written["report.html"], tmp_path, program="/no/such/browser") == []


def test_markup_cannot_leave_the_data(results: Path, tmp_path: Path, synthetic: Any) -> None:
    sweep = synthetic.sweep(1) | {"title": "</script><script>alert(1)</script>"}
    with Store.create(tmp_path / "s" / "study.db", sweep=sweep, environment={}) as store:
        for record in synthetic.records(1):
            store.append(record)
    reader = StudyReader(tmp_path / "s")
    reader.read_all()
    text = render_page(reader)
    reader.close()
    assert "alert(1)</script>" not in text
    assert "&lt;/script&gt;" in text  # in the title, escaped


def test_a_notebook_gets_a_frame_and_figures(results: Path) -> None:
    study = load_study(results / "made")
    assert len(study.frame) == 400
    assert {"label", "status", "top1_percent", "top1_percent:low"} <= set(study.frame.columns)
    drawn = study.figure("front")
    assert {trace.name for trace in drawn.data} == {"dominated", "front"}
    assert len(study.figure("curves").data) > 400
    shares = study.figure("hypervolume").data[0].y
    assert list(shares) == sorted(shares)
    with pytest.raises(EvnasError, match="a figure is one of front, curves, hypervolume"):
        study.figure("beauty")  # type: ignore[arg-type]
    with pytest.raises(EvnasError, match="no trial has two objectives yet"):
        load_study(results / "empty").figure("front")
