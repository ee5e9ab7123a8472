"""A runtime of another package: eager torch, called from a tape."""

from collections.abc import Callable

import torch

from evnas.measure.target import Target
from evnas.runtime import Runtime


def taped(model: torch.nn.Module, images: torch.Tensor, target: Target) -> Callable[[], object]:
    """Play one call."""

    def call() -> object:
        with torch.inference_mode():
            return model(images)

    return call


RUNTIME = Runtime(prepare=taped)
