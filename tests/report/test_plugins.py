"""Studies and panels of other packages: studies open without them, panels need no line of ours."""

import re
import time
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from reader_of_pages import block
from starlette.testclient import TestClient

from evnas.record import Record
from evnas.registry import PluginError, Registry
from evnas.report.frame.study_reader import StudyReader
from evnas.report.notebook.study import load_study
from evnas.report.page.one_file import render_page
from evnas.report.page.outputs import write_outputs
from evnas.report.panels.table import PANELS
from evnas.report.server.app import make_app
from evnas.store import Store

DOCUMENT = Path(__file__).parents[2] / "docs/extending/panel.md"
ARCH = {"stages": [{"depth": 2, "dim": 64, "block": "hybrid", "mixer": {"kind": "their_mixer"}}]}


def made(folder: Path, sweep: Mapping[str, Any], *, arch: Mapping[str, Any] = ARCH) -> Path:
    """A study with a mixer, a block, a strategy and a score that no package here knows."""
    with Store.create(folder / "study.db", sweep=sweep, environment={}) as store:
        for i in range(3):
            trial = Record(
                label=f"trial {i}",
                digest=f"digest {i}",
                phase="score",
                status="complete",
                arch=arch,
                values={"their_quantity": 1.5 + i, "params": 1e6 * (i + 1)},
            )
            store.append(trial)
    return folder


def wait_until_read(client: TestClient, study: str) -> None:
    """The server reads a study in the background."""
    for _ in range(300):
        reading = client.get(f"/api/studies/{study}").json()["reading"]
        if reading["done"] == reading["of"]:
            return
        time.sleep(0.05)
    raise AssertionError("the study is not read to its end")


@pytest.mark.parametrize(
    "sweep",
    [
        {"name": "theirs", "strategy": {"kind": "their_strategy"}},
        {"name": "theirs", "base": ARCH, "rows": {"a": {"stages[0].mixer.kind": "their_mixer"}}},
    ],
    ids=["search", "ablation"],
)
def test_a_study_opens_without_the_package_that_made_it(
    sweep: dict[str, object], tmp_path: Path
) -> None:
    folder = made(tmp_path / "theirs", sweep)
    outputs = write_outputs(folder)
    assert outputs.table is None
    card = block((folder / "report.html").read_text(), "cards")[0]
    assert card["stages"][0]["mixer"] == "their_mixer"
    assert card["phases"][0]["values"]["their_quantity"] == 1.5
    with TestClient(make_app(folder), base_url="http://localhost") as client:
        wait_until_read(client, "theirs")
        for path in (
            "",
            "/pack",
            "/trials",
            "/card?row=0",
            "/panels/search",
            "/panels/reproduction",
        ):
            assert client.get(f"/api/studies/theirs{path}").status_code == 200, path
        assert client.get("/api/studies").json()["studies"][0]["trials"] == 3
    study = load_study(folder)
    assert list(study.trials["mixers"]) == ["their_mixer"] * 3
    assert "trial 0" in study._repr_html_()


def test_the_page_about_panels_runs_to_its_end(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PANELS, "_added", {})
    monkeypatch.setattr(PANELS, "_names", None)
    monkeypatch.chdir(tmp_path)
    files = re.findall(
        r"In `(\w+\.\w+)`:\n\n```(?:python|js)\n(.*?)```", DOCUMENT.read_text(), re.S
    )
    for name, text in files:
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    names = [name for name, _ in files]
    assert names == ["mixer_sizes.js", "mixer_sizes.py", "look.py"]
    served: list[int] = []
    monkeypatch.setattr("uvicorn.Server.run", lambda server: served.append(server.config.port))
    (tmp_path / "results").symlink_to(results)
    exec(compile((tmp_path / "look.py").read_text(), "look.py", "exec"), {})
    assert served == [8765]

    reader = StudyReader(results / "made")
    reader.read_all()
    page = render_page(reader)
    reader.close()
    shown = block(page, "panel-mixer_sizes")
    assert shown and all(isinstance(size, float) for size in shown.values())
    assert dict(files)["mixer_sizes.js"] in page
    with TestClient(make_app(results), base_url="http://localhost") as client:
        wait_until_read(client, "made")
        assert client.get("/api/studies/made/panels/mixer_sizes").json() == shown
        assert '"static/panels/mixer_sizes.js"' in client.get("/").text
        assert client.get("/static/panels/mixer_sizes.js").text == dict(files)["mixer_sizes.js"]
        assert client.get("/static/panels/other.js").status_code == 404
        assert client.get("/api/studies/made/panels/other").status_code == 400


def test_every_panel_is_in_the_server_and_the_one_file(results: Path) -> None:
    reader = StudyReader(results / "made")
    reader.read_all()
    page = render_page(reader)
    reader.close()
    with TestClient(make_app(results), base_url="http://localhost") as client:
        wait_until_read(client, "made")
        for name in PANELS:
            assert PANELS.get(name).name == name
            served = client.get(f"/api/studies/made/panels/{name}").json()
            assert block(page, f"panel-{name}") == served


def test_a_panel_whose_data_fails_is_named(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        name = "broken"
        script = "EV.panel({});"

        def data(self, reader: StudyReader) -> None:
            raise KeyError("x")

    monkeypatch.setattr(PANELS, "_added", {"broken": Broken()})
    monkeypatch.setattr(PANELS, "_names", None)
    reader = StudyReader(results / "made")
    with pytest.raises(
        PluginError, match="panel 'broken': its data of study made failed, KeyError"
    ):
        render_page(reader)
    reader.close()


@pytest.fixture
def broken_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something called `broken` in every table, whose module is not there."""
    point = EntryPoint("broken", "no_such_module:THING", "evnas.things")
    for table in Registry._tables.values():
        monkeypatch.setattr(table, "_entry_points", lambda: {"broken": point})
        monkeypatch.setattr(table, "_names", None)


def test_a_broken_package_leaves_the_dashboard_and_the_report(
    broken_package: None, tmp_path: Path
) -> None:
    arch = {"stages": [{"depth": 2, "dim": 64, "block": "vss", "mixer": {"kind": "broken"}}]}
    for name, sweep in {
        "search": {"name": "search", "strategy": {"kind": "broken"}},
        "rows": {"name": "rows", "base": arch, "rows": {"a": {}}},
    }.items():
        folder = made(tmp_path / name, sweep, arch=arch)
        write_outputs(folder)
        assert (
            "panel 'broken' of no_such_module:THING cannot be loaded"
            in (folder / "report.html").read_text()
        )
    with TestClient(make_app(tmp_path), base_url="http://localhost") as client:
        assert '"static/panels/broken.js"' in client.get("/").text
        assert client.get("/static/panels/broken.js").text.startswith("console.error(")
        for name in ("search", "rows"):
            wait_until_read(client, name)
            for path in ("", "/pack", "/trials", "/card?row=0", "/panels/search"):
                assert client.get(f"/api/studies/{name}{path}").status_code == 200, path
        assert [s["trials"] for s in client.get("/api/studies").json()["studies"]] == [3, 3]


def test_a_notebook_draws_a_study_without_a_network(results: Path) -> None:
    study = load_study(results / "made")
    shown = study._repr_html_()
    assert "<table" in shown and "Plotly.newPlot" in shown
    assert not re.search(r"<(script|link|img)[^>]*(src|href)=", shown)
    assert study.trials is study.frame
    for aim in study.objectives:
        ended = study.frame[(study.frame["status"] == "complete")][aim.key].dropna()
        wanted = ended.max() if aim.better == "more" else ended.min()
        assert study.best.loc[aim.key, aim.key] == wanted
        assert study.best.loc[aim.key, "label"]
    assert 0 < len(study.front) < len(study.frame)
