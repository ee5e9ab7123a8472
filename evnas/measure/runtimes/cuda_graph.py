"""One captured CUDA graph: eager's kernels without the launches from Python.

A graph reads its images at the place where they lay when it was captured. So each call copies them
there first, as `torch.compile`'s graphs do (mode max-autotune), and both are timed with that copy.
"""

import torch
from torch import nn

from evnas.measure.runtimes.torch_eager import eager
from evnas.measure.stopwatch import Call
from evnas.measure.target import Target

CALLS_BEFORE_CAPTURE = 3
"""Kernels are tuned and caches filled before the capture, on its stream, as torch asks."""


def cuda_graph(model: nn.Module, images: torch.Tensor, target: Target) -> Call:
    """A call that runs `model` on what `images` (on CUDA) hold then; the output stays in place."""
    place = images.clone()
    call = eager(model, place, target)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(images.device):
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call] # torch's own
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(CALLS_BEFORE_CAPTURE):
                call()
        torch.cuda.current_stream().wait_stream(side)
        # torch's own stream for captures lies on the first GPU that a process captured on
        with torch.cuda.graph(graph, stream=side):
            output = call()

    def replay() -> object:
        place.copy_(images)
        graph.replay()
        return output

    return replay
