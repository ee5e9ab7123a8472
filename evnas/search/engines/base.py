"""What an engine is: it takes work and gives back events. The driver alone writes the store."""

from typing import Protocol

from evnas.phases.work import Event, Work


class Engine(Protocol):
    """Runs work somewhere."""

    @property
    def slots(self) -> int:
        """How many pieces of work it holds at a time."""
        ...

    def submit(self, work: Work) -> None:
        """Start a piece of work; at most `slots` at a time."""
        ...

    def wait(self, timeout_s: float) -> list[Event]:
        """What happened since the last call; waits up to `timeout_s` for something."""
        ...

    def close(self) -> None:
        """Stop everything, work under way included."""
        ...
