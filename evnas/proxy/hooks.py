"""What the caller of a training may do between its steps, and the time spent meanwhile."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from evnas.proxy.budget import CurvePoint, TrainingProgress


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Callables around the chunks (a few steps, or one batch of evaluation) of a training."""

    device_lock: Callable[[], AbstractContextManager[object]] = nullcontext
    """Entered for each chunk; what it waits is not counted as training."""
    on_progress: Callable[[TrainingProgress], None] = lambda _: None
    on_point: Callable[[CurvePoint], None] = lambda _: None
    should_stop: Callable[[], bool] = lambda: False
    """True ends the training as `pruned`."""
    clock: Callable[[], float] = time.perf_counter


class WorkTime:
    """Takes the lock and adds up the seconds spent inside."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self.seconds = 0.0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._hooks.device_lock():
            start = self._hooks.clock()
            yield
            self.seconds += self._hooks.clock() - start
