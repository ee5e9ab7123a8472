"""torch.compile with its default mode; compiling counts as warm-up."""

from typing import cast

import torch
from torch import nn

from evnas.measure.runtimes.compiler import no_word_of_cuda
from evnas.measure.runtimes.torch_eager import eager
from evnas.measure.stopwatch import Call
from evnas.measure.target import Target


def compiled(model: nn.Module, images: torch.Tensor, target: Target) -> Call:
    """A call that runs the compiled `model`; it is compiled here, for this very shape."""
    call = eager(cast(nn.Module, torch.compile(model, dynamic=False)), images, target)
    with no_word_of_cuda():
        call()
    return call
