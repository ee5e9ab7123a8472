"""What a user did wrong, in one sentence with the mend; `evnas.cli` prints these and exits with 2.

A failure of our own is never one of these: it keeps its traceback.
"""

import difflib
from collections.abc import Iterable


class EvnasError(Exception):
    """Base of every error that a user can mend."""


class SpecError(EvnasError, ValueError):
    """A specification (architecture, sweep, space) that cannot hold.

    `path` names the place in the path language (`stages[1].dim`), "" for the whole.
    """

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.reason = reason
        self.path = path


class KernelUnavailable(EvnasError, RuntimeError):
    """A kernel asked for by name that cannot run here, and why."""


class MeasurementError(EvnasError, RuntimeError):
    """A measurement that cannot be taken under the conditions asked for."""


class WorkerError(EvnasError, RuntimeError):
    """Processes that evaluate candidates cannot be had."""


class ClusterGone(WorkerError):
    """The cluster that this process joined is gone; Ray ends such a process within a minute."""


class StoreError(EvnasError, RuntimeError):
    """A study that cannot be opened, written or continued."""


class DataError(EvnasError, OSError):
    """Images or weights that are not where or what they were said to be."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint such as "; did you mean 'hsm_ssd'?", or "" when nothing is near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
