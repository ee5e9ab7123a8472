"""Peak memory of one call, a forward or a training step, in MiB."""

import torch
from torch import nn

from evnas.measure.stopwatch import Call
from evnas.measure.timing.profiling import profiled, raw_events

METHODS = {
    "cuda": "weights, buffers and input, plus what torch.cuda.max_memory_allocated rises by in "
    "one call",
    "cpu": "weights, buffers and input, plus the peak of torch's CPU allocations in one call; "
    "what a maths library takes without asking torch is not included",
}
"""How `peak_mib` was found; goes into the conditions."""


def peak_mib(call: Call, model: nn.Module, images: torch.Tensor) -> float:
    """The most memory that one call holds at a time, with its weights and input.

    Args:
        call: one forward or training step of `model` on `images`.
        images: (B, 3, H, W); its device decides the method (`METHODS`).
    """
    resident = _bytes(images) + sum(
        _bytes(tensor) for tensor in (*model.parameters(), *model.buffers())
    )
    forward = _peak_cuda_bytes(call, images.device) if images.is_cuda else _peak_cpu_bytes(call)
    return (resident + forward) / 2**20


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _peak_cuda_bytes(call: Call, device: torch.device) -> int:
    # a difference, since the base of an ablation may lie on the device as well
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    call()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _peak_cpu_bytes(call: Call) -> int:
    """The peak of the running sum of allocations and releases that the profiler sees."""
    profile = profiled(call, cuda=False, memory=True)
    events = [event for event in raw_events(profile) if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak
