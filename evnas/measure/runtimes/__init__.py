"""Ways to run a model, one file each; a new one is a file and a line in `RUNTIMES`."""

from collections.abc import Callable, Mapping

import torch
from torch import nn

from evnas.measure.runtimes.cuda_graph import cuda_graph
from evnas.measure.runtimes.onnx_runtime import onnx_runtime
from evnas.measure.runtimes.torch_compile import compiled
from evnas.measure.runtimes.torch_eager import eager
from evnas.measure.runtimes.training_step import training_step
from evnas.measure.stopwatch import Call
from evnas.measure.target import Runtime, Target

RUNTIMES: Mapping[Runtime, Callable[[nn.Module, torch.Tensor, Target], Call]] = {
    "torch": eager,
    "compile": compiled,
    "cuda_graph": cuda_graph,
    "onnx": onnx_runtime,
}


def call_for(model: nn.Module, images: torch.Tensor, target: Target) -> Call:
    """The call that a target times: a forward by its runtime, or a training step."""
    if target.mode == "training":
        return training_step(model, images, target)
    return RUNTIMES[target.runtime](model, images, target)
