"""An engine around another: work that ended badly is tried again, as often as its kind of end may
be, before anybody hears of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from evnas.phases.work import Event, Finished, Progress, Work
from evnas.record import Status
from evnas.search.engines.base import Engine


@dataclass(slots=True)
class RetryingEngine:
    """See the module. What a killed driver had tried is not known to the next one."""

    inner: Engine
    retries: Mapping[Status, int]
    """Status -> how often work that ended so is tried again."""
    _before: dict[object, list[Finished]] = field(default_factory=dict)
    """By the work's key, how it ended so far; of work under way."""

    @property
    def slots(self) -> int:
        """The other's."""
        return self.inner.slots

    def submit(self, work: Work) -> None:
        """Start a piece of work."""
        self.inner.submit(work)

    def wait(self, timeout_s: float) -> list[Event]:
        """What happened; an end that is tried again is progress."""
        return [
            self._heard(event) if isinstance(event, Finished) else event
            for event in self.inner.wait(timeout_s)
        ]

    def close(self) -> None:
        """Stop everything."""
        self.inner.close()

    def _heard(self, event: Finished) -> Event:
        status, before = event.record.status, self._before.setdefault(event.work.key, [])
        if sum(b.record.status == status for b in before) < self.retries.get(status, 0):
            before.append(event)
            self.inner.submit(event.work)
            said = f"again: it ended {status} ({_last_line(event.record.error)})"
            return Progress(event.work, 0.0, said)
        del self._before[event.work.key]
        return _with_earlier_tries(event, before) if before else event


def _with_earlier_tries(event: Finished, before: list[Finished]) -> Finished:
    """Its record says what was tried, and took as long as all tries together."""
    record = event.record
    tries = [
        {
            "status": b.record.status,
            "error": _last_line(b.record.error),
            "seconds": b.record.seconds,
        }
        for b in before
    ]
    seconds = record.seconds + sum(b.record.seconds for b in before)
    details = {**record.details, "earlier_tries": tries}
    return Finished(
        event.work,
        replace(record, started=before[0].record.started, seconds=seconds, details=details),
        event.busy_s + sum(b.busy_s for b in before),
    )


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason was given"])[-1]
