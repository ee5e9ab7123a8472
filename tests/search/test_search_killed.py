"""A real search whose driver, or worker, is killed under way ends as an unbroken one."""

import os
import signal
import time
from pathlib import Path

import pytest
from tiny_search import TRIALS, killed_after, outcomes, records, start, tiny_search, write

from evnas.phases.work import Event, Progress
from evnas.search.engines.local import LocalEngine
from evnas.search.runner import run_sweep
from evnas.sweep.parts import EngineSpec
from evnas.sweep.sweep import load_sweep


class Mortal(LocalEngine):
    """Its worker is killed in the middle of each of trial 2's first trainings, `deaths` times."""

    def __init__(self, deaths: int) -> None:
        super().__init__(workers=1, gpus=0, timeout_s=600.0)
        self.deaths = deaths

    def wait(self, timeout_s: float) -> list[Event]:
        events = super().wait(timeout_s)
        for event in events:
            under_way = isinstance(event, Progress) and event.fraction > 0
            if (
                under_way
                and event.work.phase == "proxy"
                and event.work.label == "2"
                and self.deaths
            ):
                self.deaths -= 1
                pid = self._workers[0].process.pid
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
        return events


def run_here(file: Path, results: Path, *, deaths: int = 0) -> Path:
    """The search run to its end here, with a worker of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # as in `start`; sums depend on it
        engine = Mortal(deaths)

    def engine_for(spec: EngineSpec) -> LocalEngine:
        return engine

    sweep = load_sweep(file)
    run_sweep(sweep, results=results, fresh=False, began=time.monotonic(), make_engine=engine_for)
    assert engine.deaths == 0
    return results


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("search") / "tiny.yaml", tiny_search())


@pytest.fixture(scope="module")
def unbroken(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_here(file, tmp_path_factory.mktemp("whole"))


def test_a_killed_driver(file: Path, unbroken: Path, tmp_path: Path) -> None:
    for said in ("1 proxy: ", "3 count: "):  # twice, in the first training and later in a trial
        killed_after(start(file, tmp_path), said)
    kept = records(tmp_path)
    assert 7 <= len(kept) < 2 * TRIALS
    run_here(file, tmp_path)
    assert records(tmp_path)[: len(kept)] == kept
    assert outcomes(tmp_path) == outcomes(unbroken)
    assert (tmp_path / "tiny" / "front" / "front.json").exists()


def test_a_killed_worker(file: Path, unbroken: Path, tmp_path: Path) -> None:
    assert outcomes(run_here(file, tmp_path, deaths=1)) == outcomes(unbroken)
