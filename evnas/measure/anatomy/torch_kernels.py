"""Times of torch's operators in an eager forward on a GPU: of the kernels that each started.

A GPU works behind the calls, so that a clock around an operator sees its launch alone. Each
operator is run within a numbered range instead, and what the profiler saw the GPU run belongs to
the range in which the operator began that started it. Operators and ranges are on the host's side
of a profile: only what the GPU ran is added up.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch._C._autograd import DeviceType

from evnas.measure.anatomy.operator_time import OperatorTime
from evnas.measure.anatomy.torch_operators import noted_operators
from evnas.measure.timing.profiling import kernels_of, profiled, raw_events

RANGE = "evnas operator "
"""The names of ranges begin so; their number follows."""


def operator_times(call: Callable[[], object], model: nn.Module) -> list[OperatorTime]:
    """One forward's operators in their order, with the time of their kernels.

    Args:
        call: one eager forward of `model`, on a GPU.
    """
    noted: list[OperatorTime] = []
    forward = profiled(
        lambda: noted.extend(noted_operators(call, model, _in_a_range)), cuda=True, memory=False
    )
    spent = kernel_ns(raw_events(forward))
    return [replace(each, ms=spent.get(i, 0) / 1e6) for i, each in enumerate(noted)]


def _in_a_range(number: int, operator: Callable[[], Any]) -> tuple[Any, float]:
    with torch.profiler.record_function(f"{RANGE}{number}"):
        return operator(), 0.0


def kernel_ns(events: Sequence[Any]) -> dict[int, int]:
    """Number of a range -> nanoseconds of what the GPU ran for it, each kernel and copy once.

    Args:
        events: of `evnas.measure.timing.profiling.raw_events`.
    """
    ranges = sorted(
        (e.start_ns(), e.end_ns(), int(e.name().removeprefix(RANGE)))
        for e in events
        if e.device_type() == DeviceType.CPU and e.name().startswith(RANGE)
    )
    starts = [start for start, _, _ in ranges]
    spent: dict[int, int] = {}
    for kernel in kernels_of(events):
        if kernel.started_ns is None:
            continue
        at = bisect_right(starts, kernel.started_ns) - 1
        if at >= 0 and kernel.started_ns < ranges[at][1]:
            number = ranges[at][2]
            spent[number] = spent.get(number, 0) + kernel.ns
    return spent
