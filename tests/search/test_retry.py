"""`--retry`: work that ended badly is done again; its records stay, and count nowhere."""

import json
from pathlib import Path
from typing import Any

import pytest
from paper_engine import PaperEngine, run, search
from typer.testing import CliRunner

from evnas.cli import app
from evnas.errors import SpecError
from evnas.record import Record, Status, ends_to_retry
from evnas.report.frame.study_reader import StudyReader
from evnas.search.state.study import open_study
from evnas.store import Store
from evnas.sweep.sweep import sweep_of

ABLATION: dict[str, Any] = {
    "name": "paper",
    "base": "efficientvim_m1",
    "rows": {"base": {}, "deep": {"stages[0].depth": 3}},
    "targets": [{"device": "cpu", "batch_size": 1}],
}
SWEEPS = {"ablation": ABLATION, "search": search({"trials": 6})}
ENDS: dict[int, Status] = {1: "lost", 3: "timeout"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def again(sweep: dict[str, Any], folder: Path, *ends: Status) -> list[str]:
    said: list[str] = []
    loaded = sweep_of(sweep)
    open_study(loaded, folder, environment={}, fresh=False, retry=ends, say=said.append).close()
    return said


def records(folder: Path) -> list[Record]:
    with Store.read(folder / "study.db") as store:
        return [record for _, record in store.records()]


def outcomes(folder: Path) -> list[str]:
    return sorted(f"{r.key} {r.status} {dict(r.values)} {r.origin}" for r in records(folder))


@pytest.mark.parametrize("kind", SWEEPS)
def test_what_ended_badly_is_done_again_and_nothing_else(kind: str, tmp_path: Path) -> None:
    sweep, folder = SWEEPS[kind], tmp_path / "a"
    run(sweep, folder, PaperEngine(folder, ends=ENDS))
    bad = [r.key for r in records(folder) if r.status != "complete"]
    assert len(bad) == len(ENDS)
    assert again(sweep, folder, "oom") == ["nothing to do again: no result ended oom"]
    (said,) = again(sweep, folder, "lost", "timeout")
    assert said == "set aside, to be done again: 2 results that ended lost or timeout"
    done = run(sweep, folder, PaperEngine(folder))
    assert {work.key for work in done} >= set(bad)
    assert all(r.status == "complete" for r in records(folder))
    assert run(sweep, folder, PaperEngine(folder)) == []
    run(sweep, tmp_path / "well", PaperEngine(tmp_path / "well"))
    assert {r.key for r in records(folder)} == {r.key for r in records(tmp_path / "well")}
    with Store.read(folder / "study.db") as store:
        assert [r.status for _, r in store.records_set_aside()] == ["lost", "timeout"]


@pytest.mark.parametrize("kind", SWEEPS)
def test_a_retry_that_is_killed_goes_on(kind: str, tmp_path: Path) -> None:
    sweep = SWEEPS[kind]
    for name, stops in (("broken", (1,)), ("unbroken", ())):
        folder = tmp_path / name
        run(sweep, folder, PaperEngine(folder, ends=ENDS))
        again(sweep, folder, "lost", "timeout")
        for stop in stops:
            with pytest.raises(KeyboardInterrupt):
                run(sweep, folder, PaperEngine(folder, stop_after=stop))
        run(sweep, folder, PaperEngine(folder))
    assert outcomes(tmp_path / "broken") == outcomes(tmp_path / "unbroken")


def test_a_page_that_is_open_sees_only_the_new(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    run(SWEEPS["search"], folder, PaperEngine(folder, ends=ENDS))
    reader = StudyReader(folder)
    reader.read_all()
    assert not reader.is_outdated()
    again(SWEEPS["search"], folder, "lost")
    assert reader.is_outdated()
    reader.close()
    run(SWEEPS["search"], folder, PaperEngine(folder))
    reader = StudyReader(folder)
    reader.read_all()
    assert list(reader.frame.text["status"]).count("lost") == 0 and len(reader.frame) == 6
    assert not reader.follow()
    reader.close()


def test_only_what_another_try_may_change_is_tried_again() -> None:
    assert ends_to_retry(["timeout ", "lost", ""]) == ("lost", "timeout")
    with pytest.raises(SpecError, match="--retry takes lost, timeout, oom, failed, got 'losst'"):
        ends_to_retry(["losst"])
    with pytest.raises(SpecError, match="got 'infeasible'"):
        ends_to_retry(["infeasible"])


def test_the_command_refuses_other_ends_before_it_begins(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(json.dumps(ABLATION))
    ended = CliRunner().invoke(app, ["sweep", "s.yaml", "--retry", "lost,diverged"])
    assert isinstance(ended.exception, SpecError) and "got 'diverged'" in str(ended.exception)
    ended = CliRunner().invoke(app, ["sweep", "s.yaml", "--retry", " ,"])
    assert isinstance(ended.exception, SpecError) and "must name ends" in str(ended.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["s.yaml"]
