"""Plain torch, operator by operator."""

from contextlib import AbstractContextManager

import torch
from torch import nn

from evnas.errors import MeasurementError
from evnas.measure.stopwatch import Call
from evnas.measure.target import Target


def eager(model: nn.Module, images: torch.Tensor, target: Target) -> Call:
    """A call that runs `model` on `images`, under autocast where `mixed_precision` says so.

    Raises:
        MeasurementError: a deployed form has another precision than the target.
    """
    mixed = mixed_precision(model, target)

    def call() -> object:
        with torch.inference_mode(), autocast(images, target, mixed=mixed):
            return model(images)

    return call


def mixed_precision(model: nn.Module, target: Target) -> bool:
    """Whether a model runs under autocast: the plain form below float32. A deployed form has the
    target's precision in its weights.

    Raises:
        MeasurementError: it has another one.
    """
    precision: torch.dtype = getattr(torch, target.precision)
    if target.form == "plain":
        return precision is not torch.float32
    found = next((p.dtype for p in model.parameters() if p.ndim > 1), precision)
    if found is not precision:
        raise MeasurementError(
            f"a form deployed for {target.precision} must have weights of it, it has {found}; "
            f"deploy(model, dtype={precision})"
        )
    return False


def autocast(
    images: torch.Tensor, target: Target, *, mixed: bool
) -> AbstractContextManager[object]:
    """torch's autocast to the target's precision, off unless `mixed`."""
    precision = getattr(torch, target.precision)
    return torch.autocast(images.device.type, precision if mixed else None, enabled=mixed)
