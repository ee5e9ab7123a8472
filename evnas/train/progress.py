"""How far a training is, in a line now and then."""

import resource
import sys
import time
from collections.abc import Callable

import torch

EVERY_S = 10.0
"""Between two lines."""


class EpochProgress:
    """Counts images and time, and says how long the rest takes."""

    def __init__(
        self,
        tell: Callable[[str], None],
        *,
        steps: int,
        epochs: int,
        images_per_step: int,
        device: torch.device,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tell, self._clock, self._device = tell, clock, device
        self._steps, self._epochs, self._images = steps, epochs, images_per_step
        self._said_at = self._began = clock()
        self._done = 0
        """Steps since this process began."""

    def due(self) -> bool:
        """One more step is done; whether a line is due."""
        self._done += 1
        return self._clock() - self._said_at >= EVERY_S

    def say(self, epoch: int, step: int, loss: float) -> None:
        """A line: `epoch` from 0, `step` steps of it done, the mean loss of the epoch so far."""
        now = self._clock()
        self._said_at = now
        rate = self._done / max(now - self._began, 1e-9)
        left = (self._epochs - epoch) * self._steps - step
        self._tell(
            f"epoch {epoch + 1} of {self._epochs}, step {step} of {self._steps}: loss {loss:.4f}, "
            f"{rate * self._images:.0f} images/s, {duration(left / rate)} left, "
            f"{memory_mib(self._device) / 1024:.1f} GiB"
        )


def duration(seconds: float) -> str:
    """`3 d 4 h`, `2 h 10 min`, `40 s`."""
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86400
    if days >= 1:
        return f"{int(days)} d {int(hours % 24)} h"
    if hours >= 1:
        return f"{int(hours)} h {int(minutes % 60)} min"
    return f"{minutes:.0f} min" if minutes >= 2 else f"{seconds:.0f} s"


def memory_mib(device: torch.device) -> float:
    """The most memory so far: of the device's allocator, or this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
