"""The local engine: worker processes on this machine, replaced when they die."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from evnas.measure.timing.cpu_limits import usable_cores
from evnas.phases.work import Event, Finished, Progress, Work
from evnas.record import Status
from evnas.registry import pickled_additions
from evnas.search.engines.worker import serve_work

MOST_ATTEMPTS = 2
"""Work whose worker died is tried once more before it ends as `lost`."""


@dataclass(slots=True)
class _Worker:
    process: SpawnProcess
    pipe: "Connection[Work | None, Event | None]"
    ready: bool = False
    work: Work | None = None
    began: float = 0.0
    attempt: int = 1


class LocalEngine:
    """Workers that keep torch loaded, a piece of work each at a time."""

    def __init__(self, *, workers: int, gpus: int, timeout_s: float) -> None:
        """Workers that start with the first work: what is done already needs none.

        Args:
            workers: how many processes.
            gpus: GPUs of this machine; with several workers they are dealt out in turn.
            timeout_s: work that takes longer is stopped and ends as `timeout`.
        """
        self._context = multiprocessing.get_context("spawn")
        self._gpus = gpus
        self._timeout_s = timeout_s
        self._threads = 0 if workers == 1 else max(1, usable_cores() // workers)
        self._count = workers
        self._workers: list[_Worker] = []

    @property
    def slots(self) -> int:
        """How many pieces of work run at a time."""
        return self._count

    def submit(self, work: Work) -> None:
        """Hand work to an idle worker."""
        if not self._workers:
            self._workers = [self._start(i, self._count) for i in range(self._count)]
        worker = next(w for w in self._workers if w.work is None)
        self._give(worker, work, attempt=1)

    def wait(self, timeout_s: float) -> list[Event]:
        """Progress, results, and what became of workers that died or took too long."""
        ears: list[Any] = [x for w in self._workers for x in (w.pipe, w.process.sentinel)]
        wait(ears, timeout=timeout_s)
        return [event for i in range(len(self._workers)) for event in self._heard(i)]

    def close(self) -> None:
        """Stop the workers at once."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()

    def _heard(self, index: int) -> Iterator[Event]:
        worker = self._workers[index]
        try:
            while worker.pipe.poll():
                event = worker.pipe.recv()
                if event is None:
                    worker.ready = True
                elif isinstance(event, Finished):
                    worker.work = None
                    yield event
                else:
                    yield event
        except (EOFError, OSError):
            yield from self._bury(index)
            return
        late = worker.work is not None and time.monotonic() - worker.began > self._timeout_s
        if late:
            yield from self._stopped(index)

    def _bury(self, index: int) -> Iterator[Event]:
        """The worker is gone: start another, and try its work once more or give it up."""
        worker = self._workers[index]
        worker.process.join()
        why = _last_words(worker.process.exitcode or 0)
        if not worker.ready:
            # it died while starting: the next one would too, and that is our bug or theirs
            raise RuntimeError(f"a worker could not start: it {why}")
        self._replace(index)
        if worker.work is None:
            return
        if worker.attempt < MOST_ATTEMPTS:
            self._give(self._workers[index], worker.work, attempt=worker.attempt + 1)
            yield Progress(worker.work, 0.0, f"again: its worker {why}")
        else:
            yield self._ended(worker, "lost", f"its worker {why}, {MOST_ATTEMPTS} times")

    def _stopped(self, index: int) -> Iterator[Event]:
        worker = self._workers[index]
        worker.process.kill()
        worker.process.join()
        self._replace(index)
        yield self._ended(
            worker, "timeout", f"took more than engine.timeout_s, {self._timeout_s:g} s"
        )

    def _ended(self, worker: _Worker, status: Status, error: str) -> Finished:
        assert worker.work is not None
        seconds = time.monotonic() - worker.began
        record = worker.work.record(
            status, error=error, started=time.time() - seconds, seconds=seconds
        )
        return Finished(worker.work, record)

    def _give(self, worker: _Worker, work: Work, *, attempt: int) -> None:
        worker.work, worker.attempt, worker.began = work, attempt, time.monotonic()
        worker.pipe.send(work)

    def _replace(self, index: int) -> None:
        self._workers[index].pipe.close()
        self._workers[index] = self._start(index, self._count)

    def _start(self, index: int, workers: int) -> _Worker:
        mine, theirs = self._context.Pipe()
        process = self._context.Process(
            target=serve_work,
            args=(theirs,),
            kwargs={"threads": self._threads, "added": pickled_additions()},
            name=f"evnas-worker-{index}",
            daemon=True,
        )
        card = str(index % self._gpus) if workers > 1 and self._gpus > 1 else None
        with _deaf_to_interrupts(), _environment("CUDA_VISIBLE_DEVICES", card):
            process.start()
        theirs.close()
        return _Worker(process, mine)


def _last_words(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    hint = " (the system's out-of-memory killer does this)" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """A process started within ignores Ctrl-C from its first moment."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers; the worker sets its own a little later
        return
    old = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, old)


@contextmanager
def _environment(name: str, value: str | None) -> Iterator[None]:
    """A variable for processes started within; None leaves it as it is."""
    old = os.environ.get(name)
    if value is None:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        if old is None:
            del os.environ[name]
        else:
            os.environ[name] = old
