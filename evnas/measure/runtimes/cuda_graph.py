"""One captured CUDA graph: eager's kernels without the launches from Python."""

import torch
from torch import nn

from evnas.measure.runtimes.torch_eager import eager
from evnas.measure.stopwatch import Call
from evnas.measure.target import Target

CALLS_BEFORE_CAPTURE = 3
"""Kernels are tuned and caches filled before the capture, on a side stream, as torch asks."""


def cuda_graph(model: nn.Module, images: torch.Tensor, target: Target) -> Call:
    """A call that replays `model` on `images` (on CUDA); the output stays in place."""
    call = eager(model, images, target)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(images.device):
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call] # torch's own
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(CALLS_BEFORE_CAPTURE):
                call()
        torch.cuda.current_stream().wait_stream(side)
        with torch.cuda.graph(graph):
            output = call()

    def replay() -> object:
        graph.replay()
        return output

    return replay
