"""Actors between trials. Tune's own cache drops an idle actor when a trial of another kind waits.

A candidate's phases differ in what they hold (a GPU, a target), so Tune would start a process and
load torch again for almost each. This one keeps them until their room is needed.
"""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

PATIENCE_S = 0.5
"""A trial that waits so long for room takes that of an idle actor."""


class IdleActors:
    """In place of `ray.tune.utils.object_cache._ObjectCache`, with its methods (Ray 2.60)."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._idle: list[tuple[Any, Any]] = []
        """(what it holds, actor), the longest idle first."""
        self._awaited: Counter[Any] = Counter()
        self.waits_for_room: Callable[[], bool] = lambda: False
        self._waits_since: float | None = None
        self._distrusted = False

    def distrust(self) -> None:
        """A worker was lost: those of the same node would be found dead only when reused."""
        self._distrusted = True

    @property
    def num_cached_objects(self) -> int:
        """How many are idle."""
        return len(self._idle)

    @property
    def total_max_objects(self) -> int:
        """How many trials wait for an actor."""
        return sum(self._awaited.values())

    def increase_max(self, key: Any, by: int = 1) -> None:
        """A trial waits for an actor that holds `key`."""
        self._awaited[key] += by

    def decrease_max(self, key: Any, by: int = 1) -> None:
        """It waits no longer."""
        self._awaited[key] -= by

    def has_cached_object(self, key: Any) -> bool:
        """Whether an idle actor holds just this."""
        return any(held == key for held, _ in self._idle)

    def cache_object(self, key: Any, obj: Any) -> bool:
        """Keep an actor; always."""
        self._idle.append((key, obj))
        return True

    def pop_cached_object(self, key: Any) -> Any:
        """The actor that was idle for the shortest time, or None."""
        for i in range(len(self._idle) - 1, -1, -1):
            if self._idle[i][0] == key:
                return self._idle.pop(i)[1]
        return None

    def flush_cached_objects(self, force_all: bool = False) -> list[Any]:
        """Actors to be ended now; asked once a turn of Tune's loop."""
        if force_all or self._distrusted:
            self._distrusted = False
            ended, self._idle = [actor for _, actor in self._idle], []
            return ended
        if not self._room_is_due():
            return []
        spare = next(
            (i for i, (held, _) in enumerate(self._idle) if not self._awaited[held]), None
        )
        return [] if spare is None else [self._idle.pop(spare)[1]]

    def _room_is_due(self) -> bool:
        now = self._clock()
        if not self.waits_for_room():
            self._waits_since = None
        elif self._waits_since is None:
            self._waits_since = now
        elif now - self._waits_since > PATIENCE_S:
            self._waits_since = now
            return True
        return False
