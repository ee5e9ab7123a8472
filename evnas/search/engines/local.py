"""The local engine: worker processes on this machine, replaced when they die or fall silent."""

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from evnas.errors import WorkerError
from evnas.measure.timing.cpu_limits import usable_cores
from evnas.phases.work import Event, Finished, Progress, Work
from evnas.record import Status
from evnas.registry import pickled_additions
from evnas.search.engines.worker import FromWorker, Sign, serve_work

MOST_ATTEMPTS = 2
"""Work whose worker died or fell silent is tried once more before it ends as `lost`."""
MOST_STARTS = 3
"""Workers that die one after another before they are ready end the sweep."""
SILENCE_S = 60.0
"""A worker that gives no sign for so long is replaced; it beats once a second."""
START_SILENCE_S = 300.0
"""The same of one that starts: a library may hold the interpreter while it loads."""
EXIT_S = 5.0
"""How long a worker that said its last word may take to end."""
AWAY_S = 5.0
"""A driver that did not listen for so long was itself stopped, or its machine slept."""


@dataclass(slots=True)
class _Worker:
    """A process, a thread that listens to it, and the work it has.

    Listening blocks within a message that a stopped worker has half sent, so it has a thread of
    its own.
    """

    process: SpawnProcess
    pipe: "Connection[Work | None, FromWorker]"
    heard_at: float
    """When it last gave a sign, on the engine's clock."""
    ready: bool = False
    work: Work | None = None
    began: float = 0.0
    attempt: int = 1
    has_gone: bool = False
    said: "queue.SimpleQueue[FromWorker]" = field(default_factory=queue.SimpleQueue)

    def listen(self, wake: threading.Event) -> None:
        """Take what it says, until it is gone. Nobody else closes the pipe: a number that is
        free again could be the next worker's."""
        try:
            while True:
                self.said.put(self.pipe.recv())
                wake.set()
        except (EOFError, OSError):
            self.has_gone = True
            wake.set()
        finally:
            self.pipe.close()

    def send(self, work: Work) -> None:
        """Hand it work; that it has died meanwhile is heard by who listens."""
        with suppress(OSError):
            self.pipe.send(work)


class LocalEngine:
    """Workers that keep torch loaded, a piece of work each at a time."""

    def __init__(
        self,
        *,
        workers: int,
        gpus: int,
        timeout_s: float,
        silence_s: float = SILENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Workers that start with the first work: what is done already needs none.

        Args:
            workers: how many processes.
            gpus: GPUs of this machine; with several workers they are dealt out in turn.
            timeout_s: work that takes longer is stopped and ends as `timeout`; the start of its
                worker does not count.
            silence_s: a worker that gives no sign for so long is replaced.
        """
        self._context = multiprocessing.get_context("spawn")
        self._gpus = gpus
        self._timeout_s = timeout_s
        self._silence_s = silence_s
        self._clock = clock
        self._threads = 0 if workers == 1 else max(1, usable_cores() // workers)
        self._count = workers
        self._workers: list[_Worker] = []
        self._wake = threading.Event()
        self._listened_at = clock()
        self._failed_starts = 0

    @property
    def slots(self) -> int:
        """How many pieces of work run at a time."""
        return self._count

    def submit(self, work: Work) -> None:
        """Hand work to an idle worker."""
        if not self._workers:
            self._listened_at = self._clock()
            self._workers = [self._start(i, self._count) for i in range(self._count)]
        index = next(i for i, w in enumerate(self._workers) if w.work is None)
        if self._workers[index].has_gone:
            self._workers[index] = self._start(index, self._count)
        self._give(self._workers[index], work, attempt=1)

    def wait(self, timeout_s: float) -> list[Event]:
        """Progress, results, and what became of workers that died, hang or took too long.

        Raises:
            WorkerError: workers die while they start.
        """
        self._wake.wait(timeout_s)
        self._wake.clear()
        self._forgive_absence()
        return [event for i in range(len(self._workers)) for event in self._heard(i)]

    def close(self) -> None:
        """Stop the workers at once."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()

    def _forgive_absence(self) -> None:
        """Time in which this process stood still counts against nobody."""
        now = self._clock()
        away_s = now - self._listened_at
        self._listened_at = now
        if away_s > AWAY_S:
            for worker in self._workers:
                worker.heard_at += away_s
                worker.began += away_s

    def _heard(self, index: int) -> Iterator[Event]:
        worker = self._workers[index]
        has_gone = worker.has_gone  # if so, all that it said is in the queue
        while not worker.said.empty():
            yield from self._take(worker, worker.said.get())
        if has_gone:
            worker.process.join(EXIT_S)
            worker.process.kill()  # it may have closed its pipe and live
            worker.process.join()
            yield from self._replaced(index, _last_words(worker.process.exitcode or 0))
            return
        now = self._clock()
        most_s = self._silence_s if worker.ready else max(self._silence_s, START_SILENCE_S)
        if now - worker.heard_at > most_s:
            self._kill(worker)
            yield from self._replaced(index, f"gave no sign for {most_s:g} s (stopped, or hung)")
        elif worker.ready and worker.work is not None and now - worker.began > self._timeout_s:
            self._kill(worker)
            self._workers[index] = self._start(index, self._count)
            why = f"took more than engine.timeout_s, {self._timeout_s:g} s"
            yield self._ended(worker, "timeout", why)

    def _take(self, worker: _Worker, message: FromWorker) -> Iterator[Event]:
        worker.heard_at = self._clock()
        if message is Sign.READY:
            worker.ready, worker.began = True, worker.heard_at
            self._failed_starts = 0
        elif isinstance(message, Finished):
            worker.work = None
            yield message
        elif isinstance(message, Progress):
            yield message

    def _replaced(self, index: int, why: str) -> Iterator[Event]:
        """The worker is gone: start another, and try its work once more or give it up."""
        worker = self._workers[index]
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= MOST_STARTS:
                raise WorkerError(
                    f"a worker process must start, and {self._failed_starts} in a row did not: "
                    f"the last {why}; its own words, if it had any, stand above"
                )
        self._workers[index] = self._start(index, self._count)
        if worker.work is None:
            return
        attempt = worker.attempt + worker.ready  # one that never started did not try
        if attempt <= MOST_ATTEMPTS:
            self._give(self._workers[index], worker.work, attempt=attempt)
            yield Progress(worker.work, 0.0, f"again: its worker {why}")
        else:
            yield self._ended(worker, "lost", f"its worker {why}, {MOST_ATTEMPTS} times")

    def _ended(self, worker: _Worker, status: Status, error: str) -> Finished:
        assert worker.work is not None
        seconds = self._clock() - worker.began
        record = worker.work.record(
            status, error=error, started=time.time() - seconds, seconds=seconds
        )
        return Finished(worker.work, record)

    def _give(self, worker: _Worker, work: Work, *, attempt: int) -> None:
        worker.work, worker.attempt, worker.began = work, attempt, self._clock()
        worker.send(work)

    def _kill(self, worker: _Worker) -> None:
        worker.process.kill()
        worker.process.join()

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
        worker = _Worker(process, mine, heard_at=self._clock())
        threading.Thread(target=worker.listen, args=(self._wake,), daemon=True).start()
        return worker


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
