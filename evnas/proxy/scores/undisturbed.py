"""A model looked at as it trains, and left as it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def as_in_training(model: nn.Module) -> Iterator[None]:
    """Training mode within; mode and buffers (batch statistics) as before afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    buffers: list[tuple[Tensor, Any]] = [(b, b.detach().clone()) for b in model.buffers()]
    model.train()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


def logits_of(output: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    """(B, classes): of a model with a distillation head the mean of its two, as in inference."""
    return output if isinstance(output, Tensor) else (output[0] + output[1]) / 2


def gradients(model: nn.Module, value: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Each parameter that `value` depends on with its gradient."""
    wanted = [p for p in model.parameters() if p.requires_grad]
    found = torch.autograd.grad(value, wanted, allow_unused=True)
    return [(p, g) for p, g in zip(wanted, found, strict=True) if g is not None]
