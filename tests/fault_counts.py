"""How many damaged things are tried: a few with every run, all of them by `make test-faults`."""

import os
import time
from collections.abc import Callable, Iterator

EVERY = os.environ.get("EVNAS_FAULTS") == "every"
LIMIT_S = 0 if EVERY else 1500
"""Of one test, its whole count included; 0 is none."""


class Cases:
    """Numbers of the cases that one test tries.

    The whole count takes as long as it is given and no longer, so that a slow machine tries fewer
    and says so, and `make test-faults` has an end. `EVNAS_FAULTS=every` has none: all are tried.
    """

    def __init__(self, note: Callable[[str, object], None]) -> None:
        """`note` keeps how many were tried: pytest's `record_property`."""
        self._note = note

    def __call__(
        self, usual: int, whole: int, *, minutes: float, part: int = 0, parts: int = 1
    ) -> Iterator[int]:
        """Numbers from `part` on, each `parts`th.

        Args:
            usual: how many there are in all with every run.
            whole: the same of `make test-faults`.
            minutes: wall time of the whole count, of one part.
        """
        is_whole = EVERY or os.environ.get("EVNAS_FAULTS") == "whole"
        began, tried = time.monotonic(), 0
        numbers = range(part, whole if is_whole else usual, parts)
        try:
            for number in numbers:
                if is_whole and not EVERY and time.monotonic() - began > 60 * minutes:
                    break
                yield number
                tried += 1
        finally:
            took_s = time.monotonic() - began
            self._note("tried", f"{tried} of {len(numbers)} in {took_s:.0f} s")
