"""`evnas dashboard --control`: who may ask something of a study, and what comes of it."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from reader_of_pages import IN_ONE_LINE, serious
from starlette.testclient import TestClient

from evnas.commands.dashboard import dashboard
from evnas.errors import EvnasError, SpecError
from evnas.report.server.app import make_app
from evnas.store import Store
from evnas.store.asked import annotations, is_paused, waiting

TOKEN = "0123456789abcdef0123456789abcdef"
LOCAL = "http://127.0.0.1"
RIGHT = {"authorization": f"Bearer {TOKEN}"}
PATH = "/api/studies/mine/control"


@pytest.fixture
def study(tmp_path: Path, synthetic: Any) -> Path:
    synthetic.make(3, tmp_path / "mine")
    return tmp_path / "mine"


@pytest.fixture
def client(study: Path) -> Iterator[TestClient]:
    app = make_app(study.parent, token=TOKEN, control=True)
    with TestClient(app, base_url=LOCAL) as found:
        seen: dict[str, int] = {"done": -1, "of": 0}
        while seen["done"] < seen["of"]:
            seen = found.get("/api/studies/mine", headers=RIGHT).json()["reading"]
        yield found


def under_way(**more: Any) -> dict[str, Any]:
    """What a driver notes of itself while it times trial 2."""
    work = {"label": "2", "phase": "speed", "target": "cpu", "text": "", "fraction": 0.5}
    return {
        "at": time.time(),
        "host": "here",
        "pid": 1,
        "said": ["1 speed: 90 images/s"],
        "left_s": 120.0,
        "done_fraction": 0.6,
        "now": [work | {"seconds": 3.0}],
        "phases": {"count": {"total": 9, "done": 9}, "speed": {"total": 46, "done": 12}},
    } | more


def paused(study: Path) -> bool:
    with Store.read(study / "study.db") as store:
        return is_paused(store)


def by_cookie(client: TestClient) -> None:
    assert client.get(f"/?token={TOKEN}").status_code == 200


def test_the_page_itself_may_ask(client: TestClient, study: Path) -> None:
    by_cookie(client)
    answer = client.post(PATH, json={"action": "pause"}, headers={"origin": LOCAL})
    assert answer.status_code == 200 and answer.json()["said"].startswith("paused")
    assert paused(study)
    assert client.get("/api/studies/mine").json()["control"]["paused"]
    assert client.post(PATH, json={"action": "resume"}, headers=RIGHT).status_code == 200
    assert not paused(study)  # a script shows the token itself, and has no origin


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": LOCAL}, 401),
        ({"origin": LOCAL, "authorization": f"Bearer {TOKEN}x"}, 401),
        (RIGHT | {"origin": "http://evil.example"}, 403),
        (RIGHT | {"origin": "http://127.0.0.1:9999"}, 403),
        (RIGHT | {"origin": "null"}, 403),
        (RIGHT | {"host": "evil.example", "origin": "http://evil.example"}, 400),
        (RIGHT | {"content-type": "text/plain"}, 415),
    ],
)
def test_others_are_refused(
    client: TestClient, study: Path, headers: dict[str, str], status: int
) -> None:
    given = {"content-type": "application/json"} | headers
    answer = client.post(PATH, content=b'{"action": "pause"}', headers=given)
    assert answer.status_code == status
    assert not paused(study) and not list(waiting(study))


def test_a_cookie_alone_is_not_enough(client: TestClient, study: Path) -> None:
    by_cookie(client)  # as another site's form would have it: no origin of ours
    for headers in ({}, {"origin": "http://evil.example"}):
        assert client.post(PATH, json={"action": "pause"}, headers=headers).status_code == 403
    assert not paused(study)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_but_post_changes_a_study(client: TestClient, method: str) -> None:
    assert client.request(method, PATH, headers=RIGHT).status_code == 405


def test_control_is_off_by_default_and_for_this_machine_alone(study: Path) -> None:
    with TestClient(make_app(study.parent, token=TOKEN), base_url=LOCAL) as client:
        answer = client.post(PATH, json={"action": "pause"}, headers=RIGHT)
        assert answer.status_code == 405
        assert not client.get("/api/studies/mine", headers=RIGHT).json()["may_control"]
    for host in ("0.0.0.0", "192.168.1.5", "::"):
        with pytest.raises(EvnasError, match="--control is for this machine alone"):
            make_app(study.parent, host=host, token=TOKEN, control=True)
    with pytest.raises(EvnasError, match="--control needs a token"):
        make_app(study.parent, control=True)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"action": "delete"}, "action must be one of pause, resume, stop, extend, annotate"),
        (["pause"], "action must be one of"),
        ({"action": "pause", "path": "/etc"}, "a request has no 'path'"),
        ({"action": "stop"}, "no sweep runs there"),
        ({"action": "extend"}, "extended by trials or by minutes, got neither"),
        ({"action": "extend", "trials": -3}, "trials and minutes must be 0 to 1,000,000"),
        ({"action": "extend", "trials": 10**400}, "trials and minutes must be 0 to 1,000,000"),
        ({"action": "extend", "trials": True}, "trials must be a whole number, got True"),
        ({"action": "extend", "minutes": 5}, "budget must count minutes"),
        ({"action": "annotate", "label": "1", "digest": "?"}, "there is no trial '1'"),
        ({"action": "annotate", "text": "good"}, "must name the label and the digest"),
    ],
)
def test_what_cannot_be_is_a_sentence(
    client: TestClient, study: Path, asked: object, said: str
) -> None:
    answer = client.post(PATH, json=asked, headers=RIGHT)
    assert answer.status_code == 400 and said in answer.json()["error"]
    assert not list(waiting(study))
    nonsense = {"content-type": "application/json"} | RIGHT
    assert client.post(PATH, content=b"{", headers=nonsense).status_code == 400
    assert client.post(PATH, content=b"[" * 9_000, headers=nonsense).status_code == 400
    assert client.post(PATH, content=b" " * 20_000, headers=nonsense).status_code == 413
    assert client.post("/api/studies/../control", json=asked, headers=RIGHT).status_code in (
        404,
        405,
    )


def test_a_driver_takes_what_is_asked_while_it_runs(client: TestClient, study: Path) -> None:
    with Store.append_to(study / "study.db"):  # a driver holds the study
        answer = client.post(PATH, json={"action": "pause"}, headers=RIGHT)
        assert answer.json()["said"] == "asked: its driver takes it at its next turn"
        assert client.post(PATH, json={"action": "stop"}, headers=RIGHT).status_code == 200
        assert [r.action for _, r in waiting(study) if r] == ["pause", "stop"]
        assert client.get("/api/studies/mine", headers=RIGHT).json()["asked"] == ["pause", "stop"]
    assert not paused(study)
    client.post(PATH, json={"action": "extend", "trials": 2}, headers=RIGHT)
    assert paused(study)  # what a killed driver left is seen to by the next who may write
    assert [r.action for _, r in waiting(study) if r] == ["stop", "extend"]


def test_buttons_and_notes_of_the_page(study: Path, watched: Any, serve: Any, axe: str) -> None:
    with Store.append_to(study / "study.db") as store:
        store.note("progress", under_way(phases={"speed": {"total": 46, "done": 12}}))
    server = serve(study.parent, token=TOKEN, control=True)
    try:
        page = watched.open(f"{server.url}/?token={TOKEN}#study=mine&view=run")
        expect(page.locator("#run-said")).to_have_text("1 speed: 90 images/s")
        phases = page.get_by_role("region", name="Phases")
        expect(phases.get_by_role("row").nth(1)).to_contain_text("speed1246")
        page.locator("#run-pause").click()
        expect(page.locator("#run-answer")).to_contain_text("paused")
        expect(page.locator("#run-state")).to_contain_text("paused")
        expect(page.locator("#run-pause")).to_be_disabled()
        page.locator("#run-resume").click()
        expect(page.locator("#run-resume")).to_be_disabled()
        expect(page.locator("#run-stop")).to_be_disabled()  # nothing runs
        expect(page.locator("#run-kind option")).to_have_text(["trials"])  # what its budget counts
        page.fill("#run-more", "5")
        page.locator("#run-extend").click()
        expect(page.locator("#run-answer")).to_contain_text("takes it")
        expect(page.locator("#run-state")).to_contain_text("not taken yet: extend")
        assert serious(page, axe) == []
        page.evaluate("EV.choose({ view: null, trial: '1' })")
        page.fill("#note-text", "worth <b>another</b> look")
        page.select_option("#note-mark", "star")
        page.locator("#note-save").click()
        page.locator("#tab-run").click()
        expect(page.locator("#run-notes li")).to_have_text("Trial 1 ★ worth <b>another</b> look")
    finally:
        server.stop()
    assert [r.trials for _, r in waiting(study) if r] == [5]
    with Store.read(study / "study.db") as store:
        (note,) = annotations(store)
    assert (note["label"], note["mark"], note["text"]) == (
        "1",
        "star",
        "worth <b>another</b> look",
    )


def test_what_is_typed_stays_with_its_study(
    study: Path, synthetic: Any, watched: Any, serve: Any
) -> None:
    synthetic.make(3, study.parent / "other")
    server = serve(study.parent, token=TOKEN, control=True)
    try:
        page = watched.open(f"{server.url}/?token={TOKEN}#study=mine&trial=1")
        page.fill("#note-text", "of mine")
        for name, text in (("other", ""), ("mine", "of mine")):
            page.evaluate(f"location.hash = 'study={name}&trial=1'")
            expect(page.locator("#note-text")).to_have_value(text)
    finally:
        server.stop()


def test_the_list_of_studies_shows_the_phase_under_way(
    synthetic: Any, watched: Any, workshop: Any
) -> None:
    synthetic.make(3, workshop.folder / "mine")
    with Store.append_to(workshop.folder / "mine" / "study.db") as store:  # held: it runs
        store.note("progress", under_way())
        page = watched.open(workshop.url)
        expect(page.locator(".under-way")).to_have_text("speed 12 of 46, about 2 min left")
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.locator("#studies .status").evaluate(IN_ONE_LINE)


def test_the_run_panel_says_what_workers_do_and_what_failed(
    synthetic: Any, watched: Any, workshop: Any
) -> None:
    synthetic.make(60, workshop.folder / "mine")
    with Store.append_to(workshop.folder / "mine" / "study.db") as store:
        store.note("progress", under_way())
        page = watched.open(f"{workshop.url}/#study=mine&view=run")
        expect(page.locator("#run-state")).to_contain_text("about 2 min left")
        expect(page.locator("#run-state")).to_contain_text("trials an hour lately")
        worker = page.get_by_role("region", name="Workers").get_by_role("row").nth(1)
        expect(worker).to_have_text("2speedcpu50 %3.0 s")
        failures = page.get_by_role("region", name="Failures")
        expect(failures).to_contain_text("diverged1loss is nan at image 1,216")
        expect(page.locator("main")).to_contain_text("Conditions of the newest speed")


def test_a_run_that_has_just_begun_claims_nothing(watched: Any, workshop: Any) -> None:
    with Store.create(workshop.folder / "new" / "study.db", sweep={}, environment={}) as store:
        store.note("progress", under_way(said=[]))
        page = watched.open(f"{workshop.url}/#study=new&view=run")
        expect(page.get_by_role("region", name="Failures")).to_have_text("No trial has ended yet")
        expect(page.locator("main")).not_to_contain_text("Last words")


def test_a_port_that_is_taken_is_said_before_an_address_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SpecError, match=f"--port must be free, {port} is not"):
            dashboard(tmp_path, host="127.0.0.1", port=port)
    with pytest.raises(SpecError, match="--host must be a name"):
        dashboard(tmp_path, host="no host", port=port, token="0" * 32)
    assert "http" not in capsys.readouterr().err
