"""Whether the cluster's head is there, and how much room its nodes have.

A thread of its own asks: a call to a head that is gone does not return, and after a minute Ray
ends the process that made it.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from evnas.errors import ClusterGone
from evnas.search.engines.tune.cluster import room

LOOK_EVERY_S = 0.5
GONE_S = 20.0
"""A head that does not answer for so long is gone: less than Ray's minute."""
STEP_S = 1.0
"""At most so much of the time between two questions counts: a driver that was itself stopped
blames nobody."""

Nodes = Sequence[Mapping[str, float]]


class Head:
    """What is known of the cluster, at most `LOOK_EVERY_S` old while it answers."""

    def __init__(
        self,
        look: Callable[[], Nodes],
        needs: Mapping[str, float],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask a first time, here.

        Args:
            look: what each node has in all; may raise, or never return.
            needs: what a piece of work takes.
        """
        self._look, self._needs, self._clock = look, needs, clock
        self.room = room(look(), needs)
        """Pieces of work that the nodes hold at a time."""
        self._answers = 0
        self._heard, self._silent_s, self._asked_at = 0, 0.0, clock()
        self._over = threading.Event()
        threading.Thread(target=self._watch, name="head", daemon=True).start()

    def must_answer(self) -> None:
        """Called again and again by the driver.

        Raises:
            ClusterGone: the head is gone.
        """
        now = self._clock()
        self._silent_s += min(now - self._asked_at, STEP_S)
        self._asked_at = now
        if self._answers != self._heard:
            self._heard, self._silent_s = self._answers, 0.0
        if self._silent_s > GONE_S:
            raise gone()

    def answers_within(self, seconds: float) -> bool:
        """Whether it answers from now on."""
        before, until = self._answers, self._clock() + seconds
        while self._answers == before and self._clock() < until:
            time.sleep(LOOK_EVERY_S / 5)
        return self._answers != before

    def close(self) -> None:
        """Ask no more."""
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            try:
                self.room = room(self._look(), self._needs)
            except Exception:  # whatever Ray raises of a head that is not there
                continue
            self._answers += 1


def gone() -> ClusterGone:
    """That the head is gone, and what to do."""
    return ClusterGone(
        "the head of the Ray cluster must answer, and it is gone; what is recorded stays: start "
        "the cluster again (`ray start --head`), and the same command goes on"
    )
