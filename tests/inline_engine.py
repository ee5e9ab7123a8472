"""An engine whose evaluations are made up, one at a time and in this process."""

from collections.abc import Callable

from evnas.phases.work import Event, Finished, Work
from evnas.record import Record


class InlineEngine:
    """Answers each piece of work with the record that a function makes of it."""

    slots = 1

    def __init__(self, found_by: Callable[[Work], Record]) -> None:
        self.found_by = found_by
        self.asked: list[Work] = []

    def submit(self, work: Work) -> None:
        self.asked.append(work)

    def wait(self, timeout_s: float) -> list[Event]:
        return [Finished(self.asked[-1], self.found_by(self.asked[-1]))]

    def close(self) -> None:
        pass
