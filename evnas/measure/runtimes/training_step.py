"""One training step less its optimizer: forward, loss and backward."""

from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from evnas.errors import MeasurementError
from evnas.measure.runtimes.compiler import no_word_of_cuda
from evnas.measure.runtimes.torch_eager import autocast
from evnas.measure.stopwatch import Call
from evnas.measure.target import Target


def training_step(model: nn.Module, images: torch.Tensor, target: Target) -> Call:
    """A call that runs `model` forward and backward on `images`, and leaves no gradients.

    The loss is the cross-entropy with random labels, drawn once with a fixed seed; of a distilled
    model the sum over its two heads. Below float32 the forward and the loss run under autocast,
    weights and their gradients are float32; float16's loss is not scaled, which costs no time.

    Args:
        model: in training mode, without stochastic depth unless it was built with it; its batch
            norms keep learning.
        images: (B, 3, S, S).

    Raises:
        MeasurementError: by the call, where a batch norm sees a single value a channel.

    Source: VMamba, arXiv 2401.10166, Section 5.1, "Train TP.", which excludes the optimizer as
    well; what it says of its precision and images is not followed.
    """
    generator = torch.Generator().manual_seed(0)
    draws = torch.rand(len(images), generator=generator).to(images.device)  # (B,), in [0, 1)
    run = model
    if target.runtime == "compile":
        run = cast(nn.Module, torch.compile(model, dynamic=False))

    def call() -> torch.Tensor:
        with autocast(images, target, mixed=target.precision != "float32"):
            loss = _loss(_outputs(run, images), draws)
        loss.backward()  # type: ignore[no-untyped-call] # torch's own
        model.zero_grad(set_to_none=True)
        return loss.detach()

    if run is not model:
        with no_word_of_cuda():
            call()  # compiled here
    return call


def _loss(outputs: torch.Tensor | tuple[torch.Tensor, ...], draws: torch.Tensor) -> torch.Tensor:
    heads = outputs if isinstance(outputs, tuple) else (outputs,)  # each (B, classes)
    losses = [F.cross_entropy(logits, (draws * logits.shape[1]).long()) for logits in heads]
    return torch.stack(losses).sum()


def _outputs(run: nn.Module, images: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
    try:
        outputs: torch.Tensor | tuple[torch.Tensor, ...] = run(images)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise MeasurementError(
            "a training step of a model with batch norms needs a batch_size of at least 2, "
            f"got {len(images)}"
        ) from error
    return outputs
