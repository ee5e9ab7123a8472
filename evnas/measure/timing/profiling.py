"""One forward under torch's profiler, without the profiler's talk on stderr."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch._C._autograd import DeviceType

from evnas.measure.stopwatch import Call


def profiled(call: Call, *, cuda: bool, memory: bool) -> torch.profiler.profile:
    """Run `call` once under the profiler.

    Args:
        cuda: record kernels on the GPU too.
        memory: record every allocation and release.
    """
    # read when the profiler first starts; without it kineto calls a missing GPU an error
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    activities = [torch.profiler.ProfilerActivity.CPU]
    if cuda:
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    # torch's summary of the events is made when it is asked for: of 100,000 it takes ten seconds
    # the events of its one cycle are kept either way; without acc_events torch 2.11 warns of it
    profile = torch.profiler.profile(activities=activities, profile_memory=memory, acc_events=True)
    with profile:
        call()
    return profile


def raw_events(profile: torch.profiler.profile) -> list[Any]:
    """What the profiler saw, before torch's summary."""
    result = profile.profiler.kineto_results if profile.profiler else None
    if result is None:
        raise RuntimeError("the profiler kept no events")
    return list(result.events())


@dataclass(frozen=True, slots=True)
class Kernel:
    """What a GPU ran once: a kernel, or a copy."""

    name: str
    operator: str
    """The innermost operator that started it; "" where none did, as in a replayed graph."""
    ns: int
    started_ns: int | None
    """When that operator began, on the host's clock; None where none did."""


def kernels_of(events: Sequence[Any]) -> list[Kernel]:
    """What a GPU ran, each thing once, with the operator that it is to be counted to.

    Args:
        events: of `raw_events`.
    """
    on_host = [e for e in events if e.device_type() == DeviceType.CPU]
    # what torch calls ids of operators; the driver's own calls are linked to one of them
    operators = {e.correlation_id(): e for e in on_host if e.linked_correlation_id() == 0}
    found = []
    for e in events:
        if e.device_type() != DeviceType.CUDA or e.is_user_annotation():
            continue
        by = operators.get(e.linked_correlation_id())
        name, start = ("", None) if by is None else (by.name(), by.start_ns())
        found.append(Kernel(e.name(), name, e.duration_ns(), start))
    return found


def self_times_ns(profile: torch.profiler.profile) -> dict[str, int]:
    """Operator -> nanoseconds on the CPU of all its calls, without the operators inside them."""
    events = [
        (e.start_thread_id(), e.start_ns(), -e.end_ns(), e.name()) for e in raw_events(profile)
    ]
    spent: dict[str, int] = {}
    around: list[tuple[int, int, str]] = []  # (thread, end, name) of operators under way
    for thread, start, minus_end, name in sorted(events):
        while around and (around[-1][0] != thread or around[-1][1] <= start):
            around.pop()
        spent[name] = spent.get(name, 0) - minus_end - start
        if around:
            outer = around[-1]
            spent[outer[2]] -= min(-minus_end, outer[1]) - start
        around.append((thread, -minus_end, name))
    return spent
