"""SIGTERM and SIGUSR1 ask a training to save and leave: batch systems send
them before they kill."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

EXIT_CODE = 75
"""Of a training that was asked to leave and can go on: `EX_TEMPFAIL` of sysexits.h."""
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


@dataclass(slots=True)
class StopRequest:
    """Whether somebody asked."""

    signal_name: str = ""

    @property
    def came(self) -> bool:
        """Since the training began."""
        return bool(self.signal_name)


@contextmanager
def listening() -> Iterator[StopRequest]:
    """Note both signals within; a second one of a kind does what it did before.

    Signals reach a process's main thread alone: elsewhere nothing is heard.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def note(number: int, frame: FrameType | None) -> None:
        request.signal_name = signal.Signals(number).name
        signal.signal(number, before[signal.Signals(number)])

    before = {one: signal.signal(one, note) for one in SIGNALS}
    try:
        yield request
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
