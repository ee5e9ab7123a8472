"""One forward under torch's profiler, without the profiler's talk on stderr."""

import os

import torch

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
    profile = torch.profiler.profile(activities=activities, profile_memory=memory, acc_events=True)
    with profile:
        call()
    return profile
