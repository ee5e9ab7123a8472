"""kill -9 of the driver and of workers at random instants: every record that was printed is kept,
once, and the search ends as the unbroken one; nothing is left running."""

import os
import random
import re
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from driver_nest import Nest
from fault_counts import LIMIT_S, Cases
from tiny_search import outcomes, records, tiny_search, write

from evnas.errors import StoreError
from evnas.record import Record
from evnas.search.engines.local import MOST_STARTS, LocalEngine, _Worker
from evnas.search.runner import run_sweep
from evnas.sweep.sweep import load_sweep

pytestmark = pytest.mark.timeout(LIMIT_S)  # of the whole count
MARK = "EVNAS_TEST_KILLS"
"""In the environment of all that a test starts."""
RESULT = re.compile(r"^(\d+) (count|speed|proxy): .* left$", re.M)
TARGET = {"device": "cpu", "resolution": 32, "batch_size": 2, "budget_s": 0.2}


@pytest.fixture(scope="module")
def mark(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("mark"))


@pytest.fixture(scope="module")
def nest(mark: str) -> Iterator[Nest]:
    made = Nest(**{MARK: mark})
    yield made
    made.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It counts, measures and trains; nothing that is compared was measured."""
    folder = tmp_path_factory.mktemp("search")
    return write(folder / "tiny.yaml", tiny_search() | {"targets": [TARGET]})


@pytest.fixture(scope="module")
def unbroken(
    nest: Nest, file: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, float]:
    """Its results, and the seconds that it took."""
    results = tmp_path_factory.mktemp("whole")
    began = time.monotonic()
    assert nest.wait(nest.start(words(file, results), results / "stderr")) == 0
    return results, time.monotonic() - began


def words(file: Path, results: Path) -> list[str]:
    return ["sweep", str(file), "--results", str(results)]


def kept(results: Path) -> list[Record]:
    """What a study holds; before it is one, nothing."""
    if not (results / "tiny" / "study.db").exists():
        return []
    try:
        return records(results)
    except StoreError:  # killed while the file was made
        assert (results / "tiny" / "study.db").stat().st_size == 0
        return []


def left_running(mark: str, *, but: int) -> list[int]:
    """Processes that carry the mark."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit() and int(place.name) != but:
            with suppress(OSError):
                if f"{MARK}={mark}\0".encode() in (place / "environ").read_bytes():
                    found.append(int(place.name))
    return found


def must_be_sound(results: Path, stderr: Path, before: list[Record]) -> list[Record]:
    """What holds after every kill; returns the records that there are."""
    said, now = stderr.read_text(), kept(results)
    assert "Traceback" not in said and "Warning" not in said, said
    assert now[: len(before)] == before
    assert max(Counter(r.key for r in now).values(), default=1) == 1
    assert set(RESULT.findall(said)) <= {(r.label, r.phase) for r in now}
    return now


def test_drivers_killed_at_random_instants(
    nest: Nest, mark: str, file: Path, unbroken: tuple[Path, float], tmp_path: Path, cases: Cases
) -> None:
    whole, took_s = unbroken
    results, before = tmp_path / "results", list[Record]()
    for number in cases(1, 100, minutes=12):
        killed, rng = False, random.Random(number)
        while not killed:
            stderr = tmp_path / "stderr"
            stderr.write_text("")
            driver = nest.start(words(file, results), stderr)
            time.sleep(rng.uniform(0, took_s))
            os.kill(driver, signal.SIGKILL)  # it is there, dead or alive, until it is waited for
            ended = nest.wait(driver)
            before = must_be_sound(results, stderr, before)
            killed = ended == -signal.SIGKILL
            if not killed:  # it was through already
                assert ended == 0, stderr.read_text()
                assert outcomes(results) == outcomes(whole)
                shutil.rmtree(results)
                before = []
    assert nest.wait(nest.start(words(file, results), tmp_path / "stderr")) == 0
    must_be_sound(results, tmp_path / "stderr", before)
    assert outcomes(results) == outcomes(whole)
    until = time.monotonic() + 30
    while left_running(mark, but=nest.pid):
        assert time.monotonic() < until, left_running(mark, but=nest.pid)
        time.sleep(0.2)


class Hunted(LocalEngine):
    """Each of its workers is killed some time after it began, no work twice."""

    def __init__(self, rng: random.Random, *, within_s: float, most: int) -> None:
        super().__init__(workers=1, gpus=0, timeout_s=600.0)
        self._rng, self._within_s = rng, within_s
        self._hit: set[object] = set()
        self.kills, self._most = 0, most

    def _start(self, index: int, workers: int) -> _Worker:
        worker = super()._start(index, workers)
        hunter = threading.Timer(
            self._rng.uniform(0, self._within_s), self._kill_at_last, [worker]
        )
        hunter.daemon = True
        hunter.start()
        return worker

    def _kill_at_last(self, worker: _Worker) -> None:
        work = None if worker.work is None else worker.work.key
        spared = work in self._hit or self._failed_starts >= MOST_STARTS - 1
        if self.kills < self._most and not spared and worker.process.is_alive():
            self._hit |= {work} if worker.ready else set()
            self.kills += 1
            worker.process.kill()


def test_workers_killed_at_random_instants(
    file: Path, unbroken: tuple[Path, float], tmp_path: Path, cases: Cases
) -> None:
    whole, took_s = unbroken
    numbers, killed = cases(1, 100, minutes=10), 0
    for number in numbers:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OMP_NUM_THREADS", "1")  # sums depend on it
            engine = Hunted(random.Random(number), within_s=took_s / 2, most=3)
            run_sweep(
                load_sweep(file),
                results=tmp_path / str(number),
                fresh=False,
                began=time.monotonic(),
                make_engine=lambda spec, engine=engine: engine,  # type: ignore[misc]
            )
        assert outcomes(tmp_path / str(number)) == outcomes(whole)
        killed += engine.kills
        for _ in range(engine.kills - 1):  # each counts
            next(numbers, None)
    assert killed
