"""Signals that ask a sweep to end: they end it as Ctrl-C does, with what is found kept."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

ASKING = (signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """The process was asked to end; its text is the signal's name."""


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Within, SIGTERM and SIGHUP raise `Stopped` in the main thread, the first time.

    A signal that is ignored stays so: under `nohup` a terminal may hang up.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers, and none but it gets the signal
        return
    old: dict[signal.Signals, Any] = {s: signal.getsignal(s) for s in ASKING}
    heard = [s for s, handler in old.items() if handler is not signal.SIG_IGN]

    def stop(number: int, frame: FrameType | None) -> None:
        for one in heard:  # while it ends, it is not to be ended again
            signal.signal(one, signal.SIG_IGN)
        raise Stopped(signal.Signals(number).name)

    for one in heard:
        signal.signal(one, stop)
    try:
        yield
    finally:
        for one in heard:
            signal.signal(one, old[one])
