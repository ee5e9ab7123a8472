"""A worker process: keeps torch loaded, does one piece of work at a time, dies with its driver."""

import os
import signal
import threading
import time
from dataclasses import dataclass, field
from enum import Enum
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection

from evnas.phases.work import Event, Progress, Work
from evnas.registry import adopt_pickled

PROGRESS_EVERY_S = 0.2
BEAT_EVERY_S = 1.0


class Sign(Enum):
    """What a worker says of itself."""

    READY = "torch is loaded"
    BEAT = "the process runs"


FromWorker = Event | Sign


def serve_work(pipe: "Connection[FromWorker, Work | None]", *, threads: int, added: bytes) -> None:
    """Take work from the pipe and send back progress and results, until None comes.

    A beat a second says that the process runs, whatever its work is at; it stops where the
    process is stopped or hangs with the interpreter held.

    Args:
        threads: CPU threads for torch; 0 leaves torch's own choice, within a container's quota.
        added: pickled, what the driver's script registered; what cannot be had here is left, and
            work that needs it is recorded as failed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to handle
    mouth = _Mouth(pipe)
    threading.Thread(target=_die_with_driver, daemon=True).start()
    threading.Thread(target=mouth.beat, daemon=True).start()
    import torch  # here, so that the driver does not wait for it

    from evnas.measure.timing.allocator import keep_freed_memory
    from evnas.measure.timing.cpu_limits import heed_quota
    from evnas.search.evaluate import Evaluator

    keep_freed_memory()  # trainings too would pay for the same pages again and again

    if threads:
        torch.set_num_threads(threads)
    else:
        heed_quota()
    evaluator = Evaluator()
    adopt_pickled(added)
    mouth.send(Sign.READY)
    while (work := mouth.hear()) is not None:
        mouth.send(evaluator.run(work, _Teller(mouth, work)))


@dataclass(slots=True)
class _Mouth:
    """Two threads speak through one pipe, one message at a time."""

    pipe: "Connection[FromWorker, Work | None]"
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, message: FromWorker) -> None:
        """Say it to the driver; a process without one ends here, without a word."""
        with self._lock:
            try:
                self.pipe.send(message)
            except OSError:  # its end of the pipe is closed: it is gone, or has given this one up
                os._exit(1)

    def hear(self) -> "Work | None":
        """What the driver wants next; None is the end. Without a driver the process ends here."""
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            os._exit(1)

    def beat(self) -> None:
        """Say once a second that the process runs."""
        while True:
            self.send(Sign.BEAT)
            time.sleep(BEAT_EVERY_S)


class _Teller:
    """Sends progress, but not every step of it."""

    def __init__(self, mouth: _Mouth, work: Work) -> None:
        self._mouth = mouth
        self._work = work
        self._next = 0.0

    def __call__(self, fraction: float, text: str) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + PROGRESS_EVERY_S
            self._mouth.send(Progress(self._work, fraction, text))


def _die_with_driver() -> None:
    """A driver that was killed can tell nobody: its end is seen here."""
    driver = parent_process()
    assert driver is not None
    connection.wait([driver.sentinel])
    os._exit(1)
