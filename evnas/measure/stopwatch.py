"""Stopwatches: seconds that calls take on a device. The clock is an argument."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

Call = Callable[[], object]


class Stopwatch(Protocol):
    """Times calls on one device."""

    def now(self) -> float:
        """Seconds on a monotonic clock."""
        ...

    def time(self, call: Call, repeats: int) -> float:
        """Seconds that `repeats` calls in a row take, all of their work done."""
        ...


@dataclass(frozen=True, slots=True)
class CpuStopwatch:
    """Wall time; a CPU's work is done when the call returns."""

    clock: Callable[[], float] = time.perf_counter

    def now(self) -> float:
        """Seconds on the clock."""
        return self.clock()

    def time(self, call: Call, repeats: int) -> float:
        """Seconds between the first call's start and the last one's end."""
        start = self.clock()
        for _ in range(repeats):
            call()
        return self.clock() - start


@dataclass(frozen=True, slots=True)
class CudaStopwatch:
    """Time between two events on the device's current stream, so launches overlap as in use."""

    device: torch.device
    clock: Callable[[], float] = time.perf_counter

    def now(self) -> float:
        """Seconds on the host's clock."""
        return self.clock()

    def time(self, call: Call, repeats: int) -> float:
        """Seconds of device time from before the first call to after the last."""
        with torch.cuda.device(self.device):
            # torch.cuda.Event is not annotated
            start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call] # torch's own
            end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call] # torch's own
            torch.cuda.synchronize()
            start.record()
            for _ in range(repeats):
                call()
            end.record()
            torch.cuda.synchronize()
            return float(start.elapsed_time(end)) / 1e3


def stopwatch_for(device: torch.device | str) -> Stopwatch:
    """The stopwatch of a torch device."""
    device = torch.device(device)
    return CpuStopwatch() if device.type == "cpu" else CudaStopwatch(device)
