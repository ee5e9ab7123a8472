"""No state of a worker ends or stalls a sweep: each state, killed, stopped and out of memory, once
and always. Ray's part of the matrix is in test_engine_tune.py."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hanging_worker import STATE_OF, serve_hanging

from evnas.errors import WorkerError
from evnas.phases.base import Found, Phase
from evnas.phases.work import Event, Finished, Progress, Work
from evnas.record import Record
from evnas.search.engines import local
from evnas.search.engines.local import (
    AWAY_S,
    MOST_ATTEMPTS,
    MOST_STARTS,
    LocalEngine,
)
from evnas.search.engines.worker import serve_work
from evnas.search.evaluate import Evaluator, silent
from evnas.tables import PHASES

AT_WORK = {state: phase for phase, state in STATE_OF.items()}
STATES = ("starting", "idle", *AT_WORK, "sending")
FAULTS = ("KILL", "STOP", "OOM")
SIGNALS = {"KILL": signal.SIGKILL, "STOP": signal.SIGSTOP}
SAID = {"KILL": "SIGKILL", "STOP": "gave no sign for 60 s", "OOM": "ended with exit code 1"}
WORK = Work(label="A", digest="d", arch={}, phase="count")


class Clock:
    """The engine's, which a test moves on."""

    ahead_s = 0.0
    stopped = 0
    """The number of a process that was stopped: nobody waits for it in earnest."""

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clock: Clock) -> Iterator[LocalEngine]:
    monkeypatch.setenv("EVNAS_TEST_FAULTS", str(tmp_path))
    monkeypatch.setattr(local, "serve_work", serve_hanging)
    made = LocalEngine(workers=1, gpus=0, timeout_s=600.0, clock=clock)
    yield made
    made.close()


@pytest.fixture
def faults(tmp_path: Path, clock: Clock) -> Iterator[Callable[[str, int, str], None]]:
    """Lets the next workers halt in a state, and sends each that does a signal."""
    over = threading.Event()

    def watch(fault: str) -> None:
        while not over.wait(0.01):
            if (tmp_path / "pid").exists():
                pid = int((tmp_path / "pid").read_text())
                (tmp_path / "pid").unlink()
                os.kill(pid, SIGNALS[fault])
                clock.stopped = pid if fault == "STOP" else 0

    def begin(state: str, times: int, fault: str) -> None:
        (tmp_path / "fault").write_text(fault)
        (tmp_path / "state").write_text(state)
        (tmp_path / "left").write_text(str(times))
        if fault in SIGNALS:
            threading.Thread(target=watch, args=(fault,), daemon=True).start()

    yield begin
    over.set()


def ended(engine: LocalEngine, work: Work = WORK) -> tuple[Record, list[Event]]:
    """What became of a piece of work, and all that was heard before."""
    engine.submit(work)
    clock, heard = engine._clock, list[Event]()
    assert isinstance(clock, Clock)
    until = time.monotonic() + 120
    while time.monotonic() < until:
        stands = engine._workers[0].process.pid == clock.stopped
        clock.ahead_s += AWAY_S - 1 if stands else 0.0
        heard += engine.wait(0.01 if stands else 0.25)
        if heard and isinstance(heard[-1], Finished):
            return heard[-1].record, heard
    raise AssertionError("it stalls")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("state", STATES)
def test_a_fault_costs_one_try(engine: LocalEngine, faults, state, fault) -> None:
    faults(state, 1, fault)
    record, heard = ended(engine, replace(WORK, phase=AT_WORK.get(state, "count")))
    assert record.status == "complete"
    again = [e.text for e in heard if isinstance(e, Progress) and "again" in e.text]
    assert len(again) <= 1
    if state in (*AT_WORK, "sending"):
        (said,) = again
        assert SAID[fault] in said


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("state", ["training", "sending"])
def test_what_always_fails_is_lost_and_the_next_work_goes_on(
    engine: LocalEngine, faults, state, fault
) -> None:
    faults(state, MOST_ATTEMPTS, fault)
    work = replace(WORK, phase="proxy")
    record, _ = ended(engine, work)
    assert record.status == "lost"
    assert record.error.endswith(f"{MOST_ATTEMPTS} times")
    assert ended(engine, work)[0].status == "complete"


@pytest.mark.parametrize("fault", FAULTS)
def test_workers_that_never_start_end_with_a_sentence(engine: LocalEngine, faults, fault) -> None:
    faults("starting", 99, fault)
    with pytest.raises(WorkerError, match=f"{MOST_STARTS} in a row did not"):
        ended(engine)


@pytest.mark.parametrize("raised", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
@pytest.mark.parametrize("phase", STATE_OF)
def test_memory_that_ends_in_the_work_itself_is_its_result(
    monkeypatch: pytest.MonkeyPatch, phase: str, raised: Exception
) -> None:
    """The worker lives, and nothing is tried again."""

    def evaluate(self: Phase, *_: object) -> Found:
        raise raised

    monkeypatch.setattr(type(PHASES.get(phase)), "evaluate", evaluate)
    assert Evaluator().run(replace(WORK, phase=phase), silent).record.status == "oom"


def test_a_driver_that_stood_still_blames_nobody(
    engine: LocalEngine, tmp_path: Path, clock: Clock
) -> None:
    """As after Ctrl-Z and fg, or when the lid was closed."""
    for name, text in {"fault": "none", "state": "none", "left": "0"}.items():
        (tmp_path / name).write_text(text)
    assert ended(engine)[0].status == "complete"
    pid = engine._workers[0].process.pid
    clock.ahead_s += 3600.0
    engine.wait(0.0)
    assert ended(engine)[0].status == "complete"
    assert engine._workers[0].process.pid == pid


def test_the_start_of_a_worker_is_not_its_works_time(
    engine: LocalEngine, faults, clock: Clock
) -> None:
    engine._timeout_s = 60.0
    faults("starting", 1, "STOP")
    assert ended(engine)[0].status == "complete"
    assert clock.ahead_s > engine._timeout_s  # until it was replaced


def test_a_worker_whose_driver_is_gone_ends_without_a_word(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Its next beat finds nobody; that it sees the driver's end in time is not sure."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    worker = context.Process(target=serve_work, args=(there,), kwargs={"threads": 1, "added": b""})
    worker.start()
    there.close()
    here.recv()  # it runs
    here.close()
    worker.join(60)
    assert worker.exitcode == 1
    assert capfd.readouterr().err == ""
