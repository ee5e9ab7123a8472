"""Stores that cannot be read, or not yet: each shows a sentence, wherever one looks."""

import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from starlette.testclient import TestClient

from evnas.errors import StoreError
from evnas.report.notebook.study import load_study
from evnas.report.server.app import make_app
from evnas.store import Store


def empty_file(path: Path, synthetic: Any) -> None:
    path.parent.mkdir(parents=True)
    path.touch()


def no_database(path: Path, synthetic: Any) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"this is no database" * 100)


def cut_short(path: Path, synthetic: Any) -> None:
    synthetic.make(20, path.parent)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3])


def another_database(path: Path, synthetic: Any) -> None:
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE photographs (name TEXT)")
    db.close()


def newer(path: Path, synthetic: Any) -> None:
    with Store.create(path, sweep={}, environment={}) as store:
        store.note("schema_version", 99)


Breaker = Callable[[Path, Any], None]
BROKEN = [
    (empty_file, "damaged"),
    (no_database, "damaged"),
    (cut_short, "damaged"),
    (another_database, "damaged"),
    (newer, "schema 99"),
]


@pytest.mark.parametrize(("breaks", "said"), BROKEN, ids=[f.__name__ for f, _ in BROKEN])
def test_a_store_that_cannot_be_read_shows_a_sentence(
    tmp_path: Path, synthetic: Any, breaks: Breaker, said: str
) -> None:
    breaks(tmp_path / "s" / "study.db", synthetic)
    with TestClient(make_app(tmp_path), base_url="http://127.0.0.1") as client:
        (row,) = client.get("/api/studies").json()["studies"]
        assert row["name"] == "s" and said in row["error"]
        for path in ("", "/pack", "/trials", "/events", "/panels/search"):
            answer = client.get(f"/api/studies/s{path}")
            assert answer.status_code == 404 and said in answer.json()["error"], path
    with pytest.raises(StoreError, match=said):
        load_study(tmp_path / "s")


def test_a_report_of_a_damaged_store_is_refused_with_a_sentence(
    tmp_path: Path, synthetic: Any
) -> None:
    no_database(tmp_path / "s" / "study.db", synthetic)
    command = [sys.executable, "-m", "evnas.cli", "report", str(tmp_path / "s")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2 and "damaged" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_page_of_a_broken_study_shows_its_sentence(served: Any, watched: Any) -> None:
    for name, said in (
        ("newer", "schema 99"),
        ("damaged", "damaged"),
        ("gone", "no study 'gone'"),
    ):
        page = watched.open(f"{served.url}/#study={name}")
        expect(page.locator("main .wrong")).to_contain_text(said)
        expect(page.locator("#tabs a")).to_have_count(0)
        page.goto(f"{served.url}/#")
        expect(page.get_by_role("link", name="made")).to_be_visible()
        # the browser itself notes each refused request on its console
        noted = [m for m in watched.complaints if "status of 404" in m]
        assert noted and noted == watched.complaints
        watched.complaints.clear()


def test_a_study_being_written_is_shown_as_running(
    synthetic: Any, watched: Any, workshop: Any
) -> None:
    path = workshop.folder / "growing" / "study.db"
    with Store.create(path, sweep=synthetic.sweep(9), environment={}) as store:
        page = watched.open(f"{workshop.url}/#study=growing")
        expect(page.locator("#top")).to_contain_text("running")
        expect(page.locator("#top")).to_contain_text("0 trials of 9")
        for record in synthetic.records(2):
            store.append(record)
        expect(page.locator("#filter-says")).to_have_text("2 of 2 trials")
        expect(page.locator("#top")).to_contain_text("2 trials of 9")
        front = watched.open(workshop.url)
        expect(front.locator("#studies")).to_contain_text("running")


def damage_a_record(path: Path, text: str) -> None:
    with sqlite3.connect(path) as db:
        db.execute("UPDATE records SET payload = ? WHERE id = 130", (text,))
    db.close()


def damage_pages(path: Path, text: str) -> None:
    raw = path.read_bytes()
    half = len(raw) // 8192 * 4096
    path.write_bytes(raw[:half] + text.encode() * (4096 // len(text)) * 20 + raw[half + 81920 :])


@pytest.mark.parametrize(
    ("breaks", "text", "said"),
    [
        (damage_a_record, "{", "damaged: record 130 is not what"),
        (damage_a_record, "{}", "damaged: record 130 is not what"),
        (damage_pages, "?", "damaged"),
    ],
    ids=["record cut", "record empty", "pages"],
)
def test_a_store_damaged_in_its_middle_shows_a_sentence(
    tmp_path: Path, synthetic: Any, breaks: Callable[[Path, str], None], text: str, said: str
) -> None:
    path = synthetic.make(60, tmp_path / "s")
    breaks(path, text)
    with pytest.raises(StoreError, match=said):
        load_study(tmp_path / "s")
    with TestClient(make_app(tmp_path), base_url="http://127.0.0.1") as client:
        for thread in threading.enumerate():
            if thread.name == f"reads {tmp_path / 's'}":
                thread.join()
        (row,) = client.get("/api/studies").json()["studies"]
        assert re.search(said, row["error"])
        answer = client.get("/api/studies/s/pack")
        assert answer.status_code == 404 and re.search(said, answer.json()["error"])
