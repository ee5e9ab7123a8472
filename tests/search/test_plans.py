"""What `check` and `plan` say before anything runs: phases, and targets in common."""

import html
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from paper_setting import targets_called
from tiny_search import tiny_search, write

from evnas import cli
from evnas.measure.target import Target
from evnas.measure.timing import device_lock
from evnas.phases.base import Goal
from evnas.phases.work import Event, Finished, Work
from evnas.report.page.kept_plan import KeptPlan
from evnas.search import forecast as forecasts
from evnas.search.evaluate import Evaluator
from evnas.search.forecast import forecast
from evnas.search.prepare import PreparedAblation, prepared
from evnas.search.runner import run_of
from evnas.search.terminal.progress_state import ProgressState
from evnas.search.terminal.view import PlainView
from evnas.store import Store
from evnas.sweep.constraints import resolved
from evnas.sweep.parts import TargetSpec
from evnas.sweep.sweep import sweep_of

CPU = {"device": "cpu", "runtime": "torch", "batch_size": 1, "resolution": 32}
TWICE = {"targets": [CPU, {"batch_size": 8} | CPU | {"budget_s": 2.0}]}
ROWS = {"name": "rows", "base": "efficientvim_m1", "rows": {"A": {}, "B": {"stages[0].depth": 2}}}
SAME = (
    "targets[0] and targets[1] are one target here, cpu-torch-32-b1-float32: it is timed once, "
    "with the budget_s of targets[0]"
)


class Fixed(Evaluator):
    """Every phase takes as long as is said here."""

    def run(self, work: Work, on_progress: object) -> Finished:
        values = {"macs_exact": 1e9, "train_throughput_img_s": 100.0}
        seconds = {"count": 0.5, "score": 4.0, "proxy": 1.0}[work.phase]
        record = work.record("complete", started=0.0, seconds=seconds, found={"values": values})
        return Finished(work, record)


@pytest.fixture(autouse=True)
def _fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecasts, "Evaluator", Fixed)


def test_the_score_phase_is_forecast() -> None:
    scored = tiny_search() | {"objectives": {"params_m": "min", "grad_norm": "max"}}
    found = forecast(sweep_of(scored), results=Path("nowhere"))
    assert {s.phase: s.seconds for s in found.steps} == {"count": 0.5, "score": 4.0}
    assert found.seconds == 5 * (0.5 + 4.0)
    assert "score: 5 to do, 0 done, 0:20 ahead" in found.text()
    plain = forecast(sweep_of(tiny_search()), results=Path("nowhere"))
    assert {s.phase for s in plain.steps} == {"count", "proxy"}


def test_a_plan_says_for_whom_it_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecasts, "Evaluator", Evaluator)
    monkeypatch.setattr(device_lock, "SAID_AFTER_S", 0.05)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    said: list[str] = []
    taken, heard = threading.Event(), threading.Event()

    def hold() -> None:
        with device_lock.DeviceLock("cpu").measuring():
            taken.set()
            heard.wait(10)

    def hear(sentence: str) -> None:
        said.append(sentence)
        heard.set()

    with ThreadPoolExecutor(1) as other:
        other.submit(hold)
        assert taken.wait(10)
        forecast(sweep_of(tiny_search()), results=Path("nowhere"), say=hear)
    assert said
    assert "waits for cpu" in said[0]


@pytest.mark.parametrize("command", ["check", "plan"])
@pytest.mark.parametrize("kind", ["search", "rows"])
def test_two_targets_that_are_one_are_said(
    kind: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    sweep = (tiny_search() if kind == "search" else ROWS) | TWICE
    file = write(tmp_path / "twice.yaml", sweep)
    monkeypatch.setattr(sys, "argv", ["evnas", command, str(file)])
    with pytest.raises(SystemExit):
        cli.main()
    assert SAME in capsys.readouterr().out.splitlines()
    file.write_text(yaml.safe_dump(sweep | {"targets": [CPU, CPU | {"batch_size": 2}]}))
    with pytest.raises(SystemExit):
        cli.main()
    assert "one target" not in capsys.readouterr().out


def test_two_targets_that_are_one_are_timed_once_and_need_no_name() -> None:
    named = {"objectives": {"latency_ms": "min", "params_m": "min"}}
    session = prepared(sweep_of(tiny_search() | TWICE | named))
    assert session.phases == {"count": 1, "speed": 1}
    found = forecast(session.sweep, results=Path("nowhere"))
    assert sum(s.phase == "speed" for s in found.steps) == 5


def test_a_plan_reckons_with_the_images_that_there_are() -> None:
    """An epoch is at most all training images, of which `fashion-mnist-12k` has 10,000."""
    proxy = {"epochs": 1, "batch_size": 25, "curve_images": 25}
    asked = [
        forecast(sweep_of(ROWS | {"proxy": proxy | {"images_per_epoch": n}}), results=Path("none"))
        for n in (10_000, 10_025)
    ]
    assert [found.training_images for found in asked] == [10_000, 10_000]
    assert asked[0].seconds == asked[1].seconds > 100
    said = (
        "an epoch is at most all 10,000 training images, not 10,025: a whole training shows "
        "10,000 in place of 10,025; ask for more and shorter epochs"
    )
    assert [said in found.notes for found in asked] == [False, True]


def test_speeds_are_expected_to_take_what_those_before_took(tmp_path: Path) -> None:
    rows = {"A": {}, "B": {"stages[0].depth": 3}}
    sweep = sweep_of(ROWS | {"rows": rows, "targets": [CPU | {"budget_s": 30.0}]})
    first = forecast(sweep, results=tmp_path)
    assert [s.seconds for s in first.steps if s.phase == "speed"] == [32.0, 32.0]
    assert any("ends earlier" in note for note in first.notes)
    ready = prepared(sweep)
    assert isinstance(ready, PreparedAblation)
    (work,) = (
        w for w in ready.setting.works(ready.rows[0], Goal(seeds=(0,))) if w.phase == "speed"
    )
    db = tmp_path / "rows" / "study.db"
    with Store.create(db, sweep=sweep.identity(), environment={}) as store:
        store.append(work.record("complete", started=0.0, seconds=5.0, found={}))
    then = forecast(sweep, results=tmp_path)
    assert [s.seconds for s in then.steps if s.phase == "speed"] == [0.0, 5.0]
    assert not any("ends earlier" in note for note in then.notes)


@pytest.mark.parametrize(
    ("seeds", "share", "said"),
    [([0, 1], 0.1, True), ([0, 1], 0.8, False), ([0, 1], 9.0, True), ([0], 0.1, False)],
)
def test_a_row_that_took_far_from_what_its_next_seed_is_expected_to_take_is_said(
    tmp_path: Path, seeds: list[int], share: float, said: bool
) -> None:
    """Another row may cost as much more by itself: with one seed there is nothing to compare."""
    rows = {"A": {}, "B": {"stages[0].depth": 3}}
    sweep = sweep_of(ROWS | {"rows": rows, "proxy": {}, "seeds": seeds})
    ready = prepared(sweep)
    assert isinstance(ready, PreparedAblation)
    goal = Goal(seeds=(0,), budget=ready.full_budget)
    (work,) = (w for w in ready.setting.works(ready.rows[0], goal) if w.phase == "proxy")
    steps = forecast(sweep, results=tmp_path).steps
    took = share * next(s.seconds for s in steps if s.phase == "proxy")
    db = tmp_path / "rows" / "study.db"
    with Store.create(db, sweep=sweep.identity(), environment={}) as store:
        store.append(work.record("complete", started=0.0, seconds=took, found={}))
    found = forecast(sweep, results=tmp_path)
    assert any("a training of a row took" in note for note in found.notes) == said


def test_a_plan_is_written_as_a_page_with_the_command_that_starts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    file, page = write(tmp_path / "rows.yaml", ROWS | {"targets": [CPU]}), tmp_path / "plan.html"
    said = ["--set", "targets[0].batch_size=2", "--results", str(tmp_path), "--html", str(page)]
    said.append("--keep")
    monkeypatch.setattr(sys, "argv", ["evnas", "plan", str(file), *said])
    with pytest.raises(SystemExit) as done:
        cli.main()
    assert not done.value.code and str(page) in capsys.readouterr().err
    text = page.read_text()
    assert "Plan of rows" in text and "batch_size: 2" in text
    again = "--set &#x27;targets[0].batch_size=2&#x27; --results"
    assert f"<pre>evnas sweep {file} {again} {tmp_path}</pre>" in text
    kept = KeptPlan.read(tmp_path / "rows")
    assert kept.command == f"evnas sweep {file} {html.unescape(again)} {tmp_path}"
    assert kept.plan["study"] == kept.sweep["name"] == "rows"


class Deaf:
    """An engine that is stopped at its first work."""

    slots = 1

    def submit(self, work: Work) -> None:
        raise KeyboardInterrupt

    def wait(self, timeout_s: float) -> list[Event]:
        return []

    def close(self) -> None:
        pass


class Listening(PlainView):
    def __init__(self) -> None:
        super().__init__(ProgressState({}), sys.stderr)
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def test_a_sweep_says_it_and_expects_as_many_timings_as_there_are(tmp_path: Path) -> None:
    ready = prepared(sweep_of(ROWS | TWICE))
    assert isinstance(ready, PreparedAblation)
    assert [on.id for on in ready.targets] == ["cpu-torch-32-b1-float32"]
    view = Listening()
    with Store.create(tmp_path / "study.db", sweep={}, environment={}) as store:
        run = run_of(ready, store=store, engine=Deaf(), view_of=lambda progress: view)
        with pytest.raises(KeyboardInterrupt):
            run.to_its_end()
    assert view.said == [SAME]
    assert run.progress.total["speed"] == len(ready.rows)


def test_what_is_left_of_a_search_ends_with_its_minutes(tmp_path: Path) -> None:
    budget = {"trials": 10_000, "minutes": 2}
    ready = prepared(sweep_of(tiny_search() | {"budget": budget}))
    view = Listening()
    with Store.create(tmp_path / "study.db", sweep={}, environment={}) as store:
        store.note("searched", {"wall_s": 30.0})
        run = run_of(ready, store=store, engine=Deaf(), view_of=lambda progress: view)
        with pytest.raises(KeyboardInterrupt):
            run.to_its_end()
    assert 80 < run.progress.left_s(time.monotonic()) <= 90


def test_a_kind_of_device_names_its_target() -> None:
    ids = ["cuda0-torch-224-b256-float32", "cpu-torch-224-b8-float32"]
    targets = targets_called(*ids)
    assert resolved("throughput_img_s@cuda", targets) == f"throughput_img_s@{ids[0]}"
    assert resolved("throughput_img_s@cpu", targets) == f"throughput_img_s@{ids[1]}"


@pytest.mark.parametrize("form", ["plain", "deployed"])
@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
def test_a_file_spells_the_id_that_the_store_has(device: str, form: str) -> None:
    fields: dict[str, Any] = {"device": device, "batch_size": 4, "resolution": 64, "form": form}
    spec = TargetSpec.model_validate(fields)
    runtime = "cuda_graph" if (device, form) == ("cuda:1", "deployed") else "torch"
    assert spec.is_settled and spec.spelt().id == Target(runtime=runtime, **fields).id
