"""The server without a browser: what it gives, and what it refuses."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from evnas.errors import EvnasError
from evnas.record import Record
from evnas.report.server.app import make_app
from evnas.store import Store

TOKEN = "0123456789abcdef0123456789abcdef"
LOCAL = "http://127.0.0.1"


@pytest.fixture(scope="module")
def client(results: Path) -> Iterator[TestClient]:
    with TestClient(make_app(results), base_url=LOCAL) as found:
        # read to the end once, so that no test depends on how far the reader is
        while (seen := found.get("/api/studies/made").json())["reading"]["done"] < seen["reading"][
            "of"
        ]:
            pass
        yield found


def test_every_study_is_listed_and_what_cannot_be_read_says_why(client: TestClient) -> None:
    rows = {row["name"]: row for row in client.get("/api/studies").json()["studies"]}
    assert sorted(rows) == ["damaged", "empty", "made", "newer"]
    assert rows["made"]["trials"] == 400
    assert 0 < rows["made"]["hypervolume"] <= 1
    assert "damaged" in rows["damaged"]["error"]
    assert "schema 99" in rows["newer"]["error"]
    assert rows["empty"]["trials"] == 0


def test_pages_of_trials_cover_the_table_without_overlap(client: TestClient) -> None:
    labels: list[str] = []
    for offset in range(0, 400, 150):
        page = client.get(f"/api/studies/made/trials?offset={offset}&limit=150").json()
        assert page["total"] == 400
        labels += [trial["label"] for trial in page["trials"]]
    assert labels == [str(n) for n in range(400)]


@pytest.mark.parametrize("sort", ["params_m", "-top1_percent"])
def test_trials_are_sorted_and_those_without_a_value_come_last(
    client: TestClient, sort: str
) -> None:
    trials = client.get(f"/api/studies/made/trials?limit=1000&sort={sort}").json()["trials"]
    values = [trial[sort.removeprefix("-")] for trial in trials]
    known = [v for v in values if v is not None]
    assert known == sorted(known, reverse=sort.startswith("-"))
    assert values == known + [None] * (len(values) - len(known))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("trials?offset=-1", "offset must be 0 to"),
        ("trials?limit=0", "limit must be 1 to 1000"),
        ("trials?limit=many", "limit must be a whole number, got 'many'"),
        ("trials?sort=beauty", "sort must name a column, got 'beauty'"),
        ("pack?after=x", "after must be a whole number"),
        ("card?row=400", "row must be below 400"),
        ("card", "row must be 0 to"),
    ],
)
def test_a_bad_parameter_gets_a_sentence(client: TestClient, query: str, said: str) -> None:
    answer = client.get(f"/api/studies/made/{query}")
    assert answer.status_code == 400
    assert said in answer.json()["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/studies/nothing",
        "/api/studies/no_study",
        "/api/studies/..",
        "/api/studies/%2e%2e",
        "/api/studies/..%2F..%2Fetc/pack",
        "/static/..%2Fpage.py",
        "/static/%2e%2e%2fstyle.css",
        "/static/main.js%00",
        "/../../etc/passwd",
    ],
)
def test_no_path_leads_outside(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "root:" not in answer.text


def test_a_link_out_of_the_results_folder_is_no_study(tmp_path: Path, results: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "linked").symlink_to(results / "made")
    with TestClient(make_app(tmp_path / "results"), base_url=LOCAL) as client:
        assert client.get("/api/studies").json() == {"studies": []}
        assert client.get("/api/studies/linked").status_code == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "169.254.1.1"])
def test_a_foreign_host_header_is_refused(client: TestClient, host: str) -> None:
    assert client.get("/api/studies", headers={"host": host}).status_code == 400


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost", "[::1]:80"])
def test_this_machine_s_own_names_are_let_in(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_it_only_shows(client: TestClient, method: str) -> None:
    assert client.request(method, "/api/studies").status_code == 405


def test_every_answer_carries_the_policy(client: TestClient) -> None:
    for path in ("/", "/api/studies", "/static/main.js", "/nothing"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "script-src 'self';" in policy and "default-src 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
    assert "<script>" not in client.get("/").text


def test_others_are_let_in_only_with_a_token(results: Path) -> None:
    with pytest.raises(EvnasError, match="needs --token"):
        make_app(results, host="0.0.0.0")
    with pytest.raises(EvnasError, match="at least 16 characters, got 5"):
        make_app(results, host="0.0.0.0", token="short")


def test_the_token_opens_and_nothing_else_does(results: Path) -> None:
    app = make_app(results, host="0.0.0.0", token=TOKEN)
    with TestClient(app, base_url="http://10.0.0.7:8765") as client:
        assert client.get("/api/studies").status_code == 401
        assert client.get("/?token=wrong").status_code == 401
        wrong = {"authorization": f"Bearer {TOKEN}x"}
        assert client.get("/api/studies", headers=wrong).status_code == 401
        right = {"authorization": f"Bearer {TOKEN}"}
        assert client.get("/api/studies", headers=right).status_code == 200
        welcome = client.get(f"/?token={TOKEN}", follow_redirects=False)
        assert welcome.status_code == 303 and welcome.headers["location"] == "./"
        assert "HttpOnly" in welcome.headers["set-cookie"]
        assert client.get("/api/studies").status_code == 200  # by the cookie
        assert client.get("/api/studies", headers={"host": "evil.example"}).status_code == 400


def test_a_pack_carries_only_what_changed(client: TestClient) -> None:
    whole = _header(client.get("/api/studies/made/pack").content)
    assert whole["count"] == whole["rows"] == 400
    late = _header(client.get(f"/api/studies/made/pack?after={whole['last_id'] - 3}").content)
    assert late["rows"] == 400 and 1 <= late["count"] <= 3
    assert (
        _header(client.get(f"/api/studies/made/pack?after={whole['last_id']}").content)["count"]
        == 0
    )


def test_a_card_holds_samples_conditions_and_curve(client: TestClient) -> None:
    card = client.get("/api/studies/made/card?row=3").json()
    assert card["label"] == "3" and len(card["stages"]) == 3
    speed = next(p for p in card["phases"] if p["phase"] == "speed")
    assert len(speed["measurements"]["throughput_img_s"]["samples"]) == 15
    assert any(len(p["curve"]) == 4 for p in card["phases"])


def test_an_empty_study_has_its_panels_data(client: TestClient) -> None:
    assert client.get("/api/studies/empty").json()["trials"] == 0
    assert _header(client.get("/api/studies/empty/pack").content)["rows"] == 0
    assert client.get("/api/studies/empty/panels/search").json()["progress"] is None


def test_a_study_being_written_is_read_as_it_grows(tmp_path: Path, synthetic: Any) -> None:
    path = tmp_path / "growing" / "study.db"
    new = list(synthetic.records(3))
    with (
        Store.create(path, sweep=synthetic.sweep(3), environment={}) as store,
        TestClient(make_app(tmp_path), base_url=LOCAL) as client,
    ):
        about = client.get("/api/studies/growing").json()
        assert about["running"] is True and about["trials"] == 0
        for record in new:
            store.append(record)
        while client.get("/api/studies/growing").json()["reading"]["done"] < len(new):
            pass
        assert client.get("/api/studies/growing").json()["trials"] == 3


def test_a_study_begun_afresh_under_its_name_is_read_again(tmp_path: Path, synthetic: Any) -> None:
    synthetic.make(2, tmp_path / "one")
    with TestClient(make_app(tmp_path), base_url=LOCAL) as client:
        client.get("/api/studies/one")
        (tmp_path / "one").rename(tmp_path / "one.old")
        synthetic.make(1, tmp_path / "one", seed=5)
        while (seen := client.get("/api/studies/one").json())["reading"]["done"] < seen["reading"][
            "of"
        ]:
            pass
        assert seen["trials"] == 1


def test_numbers_that_json_lacks_become_null(tmp_path: Path) -> None:
    record = Record(
        label="A",
        digest="timm:x",
        arch={"timm": "x"},
        phase="proxy",
        status="diverged",
        budget=10.0,
        curve=({"epoch": 1.0, "loss": float("nan")},),
        error="loss is nan",
    )
    with Store.create(tmp_path / "a" / "study.db", sweep={}, environment={}) as store:
        store.append(record)
    with TestClient(make_app(tmp_path), base_url=LOCAL) as client:
        while client.get("/api/studies/a").json()["trials"] < 1:
            pass
        text = client.get("/api/studies/a/card?row=0").text
    assert "NaN" not in text and json.loads(text)["phases"][0]["curve"][0]["loss"] is None


def _header(packed: bytes) -> dict[str, Any]:
    (length,) = struct.unpack_from("<I", packed)
    found: dict[str, Any] = json.loads(packed[4 : 4 + length])
    return found
