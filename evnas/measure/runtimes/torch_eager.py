"""Plain torch, operator by operator."""

from contextlib import AbstractContextManager

import torch
from torch import nn

from evnas.measure.stopwatch import Call
from evnas.measure.target import Target


def eager(model: nn.Module, images: torch.Tensor, target: Target) -> Call:
    """A call that runs `model` on `images`, under autocast below float32."""

    def call() -> object:
        with torch.inference_mode(), autocast(images, target):
            return model(images)

    return call


def autocast(images: torch.Tensor, target: Target) -> AbstractContextManager[object]:
    """torch's autocast to the target's precision, off for float32."""
    precision = getattr(torch, target.precision)
    mixed = precision is not torch.float32
    return torch.autocast(images.device.type, precision if mixed else None, enabled=mixed)
