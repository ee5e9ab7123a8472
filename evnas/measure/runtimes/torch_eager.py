"""Plain torch, operator by operator."""

import torch
from torch import nn

from evnas.measure.stopwatch import Call
from evnas.measure.target import Target


def eager(model: nn.Module, images: torch.Tensor, target: Target) -> Call:
    """A call that runs `model` on `images`, under autocast below float32."""
    precision = getattr(torch, target.precision)
    mixed = precision is not torch.float32

    def call() -> object:
        with (
            torch.inference_mode(),
            torch.autocast(images.device.type, precision if mixed else None, enabled=mixed),
        ):
            return model(images)

    return call
