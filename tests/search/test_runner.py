"""The driver with an engine of paper: order, resuming, what is never done twice."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from evnas.errors import MeasurementError, StoreError
from evnas.phases.speed import SpeedTask
from evnas.phases.work import Event, Finished, Progress, Work
from evnas.record import Status
from evnas.search.prepare import prepared
from evnas.search.runner import run_of
from evnas.search.state.study import open_study
from evnas.search.terminal.view import PlainView
from evnas.sweep.sweep import Sweep, sweep_of

FOUND = {
    "count": {"params": 1e6, "macs_exact": 1e8, "macs": 1.1e8},
    "speed": {"throughput_img_s": 10.0},
    "proxy": {"top1_percent": 50.0, "held_out_images": 100.0},
}


class PaperEngine:
    """Ends every piece of work at once; `fails` maps a label to how it ends."""

    slots = 2

    def __init__(self, fails: dict[str, Status] | None = None, stop_after: int = 10**9) -> None:
        self.done: list[Work] = []
        self._fails = fails or {}
        self._stop_after = stop_after
        self._waiting: list[Work] = []

    def submit(self, work: Work) -> None:
        self._waiting.append(work)
        assert len(self._waiting) <= self.slots

    def wait(self, timeout_s: float) -> list[Event]:
        if len(self.done) >= self._stop_after:
            raise KeyboardInterrupt
        work = self._waiting.pop(0)
        self.done.append(work)
        status = self._fails.get(work.label, "complete") if work.phase != "count" else "complete"
        values = FOUND[work.phase] if status == "complete" else {}
        record = work.record(status, error="", started=0.0, seconds=1.0, found={"values": values})
        return [Progress(work, 0.5, "half"), Finished(work, record, 1.0)]

    def close(self) -> None:
        self._waiting.clear()


def table(rows: Mapping[str, object]) -> Sweep:
    return sweep_of(
        {
            "name": "paper",
            "base": "efficientvim_m1",
            "rows": rows,
            "targets": [{"device": "cpu", "batch_size": 1}, {"device": "cpu", "batch_size": 2}],
            "proxy": {},
            "seeds": [0, 1],
        }
    )


ROWS = {"big": {"arch": "efficientvim_m2"}, "base": {}, "again": {}, "gone": {"absent": "lost"}}


def run(
    sweep: Sweep, folder: Path, engine: PaperEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_study(sweep, folder, environment={}, fresh=False) as store:
        run_of(
            prepared(sweep),
            store=store,
            engine=engine,
            view_of=lambda board: PlainView(board, sys.stdout),
        ).to_its_end()


def test_counts_then_speeds_then_proxies_the_reference_first(tmp_path, capsys):
    engine = PaperEngine()
    run(table(ROWS), tmp_path, engine, capsys)
    done = [(w.phase, w.label, w.task.noted().get("target_index", 0), w.seed) for w in engine.done]
    # "again" is the base spelt twice, and "gone" cannot be had: neither is work
    assert done == [
        *(("count", label, 0, 0) for label in ("base", "big")),
        *(("speed", label, t, 0) for t in (0, 1) for label in ("base", "big")),
        *(("proxy", label, 0, s) for s in (0, 1) for label in ("base", "big")),
    ]
    assert [w.task.reference is None for w in engine.done if isinstance(w.task, SpeedTask)] == [
        True,
        False,
    ] * 2
    assert "big proxy: top-1 50.0 %" in capsys.readouterr().out


def test_broken_off_anywhere_it_does_the_rest_once(tmp_path, capsys):
    whole = PaperEngine()
    run(table(ROWS), tmp_path / "whole", whole, capsys)
    for stop in range(len(whole.done)):
        first, second = PaperEngine(stop_after=stop), PaperEngine()
        with pytest.raises(KeyboardInterrupt):
            run(table(ROWS), tmp_path / str(stop), first, capsys)
        run(table(ROWS), tmp_path / str(stop), second, capsys)
        assert [w.key for w in first.done + second.done] == [w.key for w in whole.done]


def test_a_failure_is_a_result_and_the_sweep_goes_on(tmp_path, capsys):
    engine = PaperEngine(fails={"big": "oom"})
    run(table(ROWS), tmp_path, engine, capsys)
    assert len(engine.done) == 10
    assert "big speed: oom" in capsys.readouterr().out


def test_changed_fresh_and_foreign_studies(tmp_path):
    folder, sweep = tmp_path / "study", table(ROWS)
    open_study(sweep, folder, environment={}, fresh=False).close()
    other = table(ROWS | {"big": {"arch": "efficientvim_m3"}})
    with pytest.raises(
        StoreError, match=r"rows\.big\.arch: 'efficientvim_m2' -> 'efficientvim_m3'"
    ):
        open_study(other, folder, environment={}, fresh=False)
    with (
        open_study(sweep, folder, environment={}, fresh=False),
        pytest.raises(StoreError, match="another process is writing"),
    ):
        open_study(sweep, folder, environment={}, fresh=True)
    open_study(other, folder, environment={}, fresh=True).close()
    aside = [path for path in tmp_path.iterdir() if path.name.startswith("study.")]
    assert len(aside) == 1
    assert (aside[0] / "study.db").exists()


def test_a_target_that_is_not_here_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    devices = [{"device": "cuda"}, {"device": "cpu", "batch_size": 2}]
    head = {"name": "paper", "base": "efficientvim_m1", "rows": {"A": {}}}
    both = sweep_of(head | {"targets": devices})
    setting = prepared(both).setting
    assert list(setting.absent) == [0]
    assert [on.index for on in setting.targets_of(both.reference).values()] == [1]
    with pytest.raises(MeasurementError, match=r"device cuda:0 is not here"):
        prepared(sweep_of(head | {"targets": devices[:1]}))
