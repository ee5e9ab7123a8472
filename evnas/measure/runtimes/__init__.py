"""Ways to run a model, one file each; `evnas.tables.RUNTIMES` has them by name."""

import torch
from torch import nn

from evnas.measure.runtimes.training_step import training_step
from evnas.measure.stopwatch import Call
from evnas.measure.target import Target
from evnas.tables import RUNTIMES


def call_for(model: nn.Module, images: torch.Tensor, target: Target) -> Call:
    """The call that a target times: a forward by its runtime, or a training step."""
    if target.mode == "training":
        return training_step(model, images, target)
    return RUNTIMES.get(target.runtime).call(model, images, target)
