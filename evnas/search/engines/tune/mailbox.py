"""Where the driver's thread and Ray Tune's meet: work goes in, events come out. Knows no Ray."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from evnas.phases.work import Event, Finished, Progress, Work
from evnas.record import Status


class Closed(Exception):
    """The engine was closed: Tune's thread ends by this, wherever it is."""


@dataclass(slots=True, eq=False)
class Job:
    """A piece of work until its end was reported."""

    work: Work
    failures: int = 0
    """Workers that it lost."""
    node: str = ""
    """The target's resource that holds it to a node; "" where any node will do."""
    began: float | None = None
    """When a worker took it; None while it waits for one."""
    starts_since: float | None = None
    """When a new worker began to start for it; None while none does."""
    over: bool = False
    trial: Any = None
    """Tune's, while it has one."""


class Mailbox:
    """Work and events between two threads; jobs belong to Tune's alone."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._submitted: SimpleQueue[Work | None] = SimpleQueue()
        self._events: SimpleQueue[Event | BaseException] = SimpleQueue()
        self._again: deque[Job] = deque()
        self.closing = False

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune writes its settings to a file, from which nothing is ever taken up."""
        return {}

    def submit(self, work: Work) -> None:
        """Driver: hand in work."""
        self._submitted.put(work)

    def wait(self, timeout_s: float) -> list[Event]:
        """Driver: what happened, after at most `timeout_s`.

        Raises:
            RuntimeError: Tune has ended by itself.
        """
        found: list[Event] = []
        try:
            item = self._events.get(timeout=timeout_s)
            while True:
                if isinstance(item, BaseException):
                    raise RuntimeError("Ray Tune ended by itself") from item
                found.append(item)
                item = self._events.get_nowait()
        except Empty:
            return found

    def close(self) -> None:
        """Driver: nothing more will be handed in, and nothing more is wanted."""
        self.closing = True
        self._submitted.put(None)  # wakes Tune's thread where it waits for work

    def broke(self, error: BaseException) -> None:
        """Tune: it has ended; the driver is to raise this."""
        self._events.put(error)

    def next_job(self, *, patient: bool) -> Job | None:
        """Tune: a job that waits to be run; a patient one waits for it.

        Raises:
            Closed: the driver has closed the engine.
        """
        if self._again:
            return self._again.popleft()
        try:
            work = self._submitted.get(block=patient)
        except Empty:
            return None
        if work is None:
            if patient:
                raise Closed
            return None  # `Keeper` ends what runs, and then all
        return Job(work)

    def take_back(self, job: Job) -> None:
        """Tune: a job is to be run again, before what was handed in later."""
        job.trial, job.began, job.starts_since = None, None, None
        self._again.append(job)

    def again(self, job: Job, why: str) -> None:
        """Tune: tell the driver that a job starts again."""
        self._events.put(Progress(job.work, 0.0, f"again: {why}"))

    def end(self, job: Job, finished: Finished) -> None:
        """Tune: tell the driver how a job ended; what a job says after its end is not heard."""
        if not job.over:
            job.over = True
            self._events.put(finished)

    def give_up(self, job: Job, status: Status, error: str) -> None:
        """Tune: end a job with a record of what became of it."""
        seconds = 0.0 if job.began is None else self._clock() - job.began
        record = job.work.record(
            status, error=error, started=time.time() - seconds, seconds=seconds
        )
        self.end(job, Finished(job.work, record))
