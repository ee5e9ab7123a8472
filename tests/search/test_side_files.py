"""What lies beside a study's store: made again where it is missing, and never in another's way."""

import json
import time
from pathlib import Path

import pytest
import yaml
from paper_engine import PaperEngine, run, search

from evnas.search.state.study import open_study
from evnas.store import Store
from evnas.sweep.sweep import sweep_of

SWEEP = search({"trials": 4})


def opened(folder: Path, *, fresh: bool = False) -> None:
    open_study(sweep_of(SWEEP), folder, environment={"cpu": 2}, fresh=fresh).close()


def test_files_that_a_kill_left_out_are_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    opened(folder)
    names = ("environment.json", "sweep.resolved.yaml")
    whole = {name: (folder / name).read_text() for name in names}
    assert json.loads(whole["environment.json"]) == {"cpu": 2}
    assert yaml.safe_load(whole["sweep.resolved.yaml"]) == sweep_of(SWEEP).spec.to_dict()
    for name in names:
        (folder / name).unlink()
        opened(folder)
        assert (folder / name).read_text() == whole[name]


def test_starting_over_twice_in_a_second_keeps_all_studies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "strftime", lambda form: "2026-11-29T120000")
    for _ in range(4):
        opened(tmp_path / "s", fresh=True)
    kept = sorted(p.name for p in tmp_path.iterdir())
    stamp = "s.2026-11-29T120000"
    assert kept == ["s", stamp, f"{stamp}-2", f"{stamp}-3"]
    for name in kept:
        Store.read(tmp_path / name / "study.db").close()


def test_a_clock_that_is_set_back_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(SWEEP, tmp_path / "a", PaperEngine(tmp_path / "a", stop_after=2))
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: 5.0)  # 1970
        run(SWEEP, tmp_path / "a", PaperEngine(tmp_path / "a"))
    run(SWEEP, tmp_path / "b", PaperEngine(tmp_path / "b"))
    found = []
    for name in "ab":
        with Store.read(tmp_path / name / "study.db") as store:
            found.append([r.key for _, r in store.records()])
            assert store.meta("time")["wall_s"] >= 0
    assert found[0] == found[1]
