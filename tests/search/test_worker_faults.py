"""No state of a worker ends or stalls a sweep: each state, killed and stopped, once and always."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hanging_worker import serve_hanging

from evnas.errors import WorkerError
from evnas.phases.work import Event, Finished, Progress, Work
from evnas.record import Record
from evnas.search.engines import local, worker
from evnas.search.engines.local import MOST_ATTEMPTS, MOST_STARTS, LocalEngine

STATES = ("starting", "idle", "working", "sending")
SIGNALS = (signal.SIGKILL, signal.SIGSTOP)
SILENCE_S = 1.5
WORK = Work(label="A", digest="d", arch={}, phase="count")


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalEngine]:
    monkeypatch.setenv("EVNAS_TEST_FAULTS", str(tmp_path))
    monkeypatch.setattr(local, "serve_work", serve_hanging)
    monkeypatch.setattr(local, "START_SILENCE_S", SILENCE_S)
    made = LocalEngine(workers=1, gpus=0, timeout_s=600.0, silence_s=SILENCE_S)
    yield made
    made.close()


@pytest.fixture
def faults(tmp_path: Path) -> Iterator[Callable[[str, int, signal.Signals], None]]:
    """Lets the next workers halt in a state, and sends each that does a signal."""
    over = threading.Event()

    def watch(sent: signal.Signals) -> None:
        while not over.wait(0.01):
            if (tmp_path / "pid").exists():
                os.kill(int((tmp_path / "pid").read_text()), sent)
                (tmp_path / "pid").unlink()

    def begin(state: str, times: int, sent: signal.Signals) -> None:
        (tmp_path / "state").write_text(state)
        (tmp_path / "left").write_text(str(times))
        threading.Thread(target=watch, args=(sent,), daemon=True).start()

    yield begin
    over.set()


def ended(engine: LocalEngine, work: Work = WORK) -> tuple[Record, list[Event]]:
    """What became of a piece of work, and all that was heard before."""
    engine.submit(work)
    heard: list[Event] = []
    until = time.monotonic() + 60
    while time.monotonic() < until:
        heard += engine.wait(0.25)
        if heard and isinstance(heard[-1], Finished):
            return heard[-1].record, heard
    raise AssertionError("it stalls")


@pytest.mark.parametrize("sent", SIGNALS, ids=lambda sent: sent.name)
@pytest.mark.parametrize("state", STATES)
def test_a_fault_costs_one_try(engine: LocalEngine, faults, state, sent) -> None:
    faults(state, 1, sent)
    record, heard = ended(engine)
    assert record.status == "complete"
    again = [e.text for e in heard if isinstance(e, Progress) and "again" in e.text]
    assert len(again) <= 1
    if state in ("working", "sending"):
        (said,) = again
        assert ("SIGKILL" if sent is signal.SIGKILL else "gave no sign for 1.5 s") in said


@pytest.mark.parametrize("sent", SIGNALS, ids=lambda sent: sent.name)
@pytest.mark.parametrize("state", ["working", "sending"])
def test_what_always_fails_is_lost_and_the_next_work_goes_on(
    engine: LocalEngine, faults, state, sent
) -> None:
    faults(state, MOST_ATTEMPTS, sent)
    record, _ = ended(engine)
    assert record.status == "lost"
    assert record.error.endswith(f"{MOST_ATTEMPTS} times")
    assert ended(engine)[0].status == "complete"


@pytest.mark.parametrize("sent", SIGNALS, ids=lambda sent: sent.name)
def test_workers_that_never_start_end_with_a_sentence(engine: LocalEngine, faults, sent) -> None:
    faults("starting", 99, sent)
    with pytest.raises(WorkerError, match=f"{MOST_STARTS} in a row did not"):
        ended(engine)


def test_a_driver_that_stood_still_blames_nobody(
    engine: LocalEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after Ctrl-Z and fg, or when the lid was closed."""
    (tmp_path / "state").write_text("none")
    (tmp_path / "left").write_text("0")
    monkeypatch.setattr(worker, "BEAT_EVERY_S", 0.1)
    assert ended(engine)[0].status == "complete"
    pid = engine._workers[0].process.pid
    later = [3600.0]
    engine._clock = lambda: time.monotonic() + later[0]
    engine.wait(0.0)
    assert ended(engine)[0].status == "complete"
    assert engine._workers[0].process.pid == pid


def test_the_start_of_a_worker_is_not_its_works_time(engine: LocalEngine, faults) -> None:
    engine._timeout_s = 0.5
    faults("starting", 1, signal.SIGSTOP)  # 1.5 s pass before it is replaced
    assert ended(engine)[0].status == "complete"
