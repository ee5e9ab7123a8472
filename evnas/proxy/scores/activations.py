"""Scores from what one batch does to the activations."""

import math

import timm.layers
import torch
from timm.models.metaformer import StarReLU
from torch import Tensor, nn

from evnas.proxy.scores.undisturbed import as_in_training

ACTIVATIONS = (
    nn.ReLU,
    nn.ReLU6,
    nn.SiLU,
    nn.GELU,
    timm.layers.Swish,
    timm.layers.GELU,
    timm.layers.GELUTanh,
    StarReLU,
)
"""Ours, and timm's own modules of the same functions."""


def naswot(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """log |det K|: K counts the activation units on which two images agree to be on or off.

    Units are those of ReLU, ReLU6, SiLU, GELU and StarReLU modules (on: input above 0), batch
    statistics in use as in training; activations called as functions inside mixers are not seen.

    Args:
        images: (B, C, H, W), B >= 2.

    Returns:
        The score; minus infinity where two images switch all units alike.

    Raises:
        ValueError: the model has no such module.

    Source: J. Mellor et al., arXiv 2006.04647v3, Section 3. Deviation: SiLU, GELU and StarReLU
    count too.
    """
    kernel = torch.zeros(len(images), len(images), dtype=torch.float64, device=images.device)

    def watch(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        on = (inputs[0].detach() > 0).flatten(1).double()
        kernel.add_(on @ on.T + (1 - on) @ (1 - on).T)

    watched = [m for m in model.modules() if isinstance(m, ACTIVATIONS)]
    if not watched:
        names = ", ".join(kind.__name__ for kind in ACTIVATIONS[:4])
        raise ValueError(f"naswot needs a model with modules of {names}, it has none")
    with as_in_training(model), torch.no_grad():
        handles = [module.register_forward_pre_hook(watch) for module in watched]
        try:
            model(images)
        finally:
            for handle in handles:
                handle.remove()
    return float(torch.linalg.slogdet(kernel).logabsdet.item())


STEP = 0.01
"""Size of the noise that `zen` adds to the images."""


def zen(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """How much the last map changes with its input, with the scales that batch norms took out.

    log of the mean |f(x) - f(x + 0.01 e)| over the last map, plus, summed over batch norms, the
    log of the root mean square over channels of the deviation of their input. e is Gaussian
    noise from torch's global generator on the CPU, the same for all images.

    Args:
        images: (B, C, H, W), B >= 2.

    Returns:
        The score; minus infinity of a model that maps all inputs alike.

    Source: M. Lin et al., arXiv 2102.01063, Algorithm 1. Deviations: images in place of Gaussian
    noise, the model's own initialisation, and residual branches stay.
    """
    scales: list[float] = []

    def watch(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].detach().double()
        variance = x.var(dim=[d for d in range(x.ndim) if d != 1], unbiased=False)
        scales.append(0.5 * math.log(max(variance.mean().item(), 1e-300)))

    noise = STEP * torch.randn(images.shape[1:]).to(images)
    with as_in_training(model), torch.no_grad():
        batch_norms = (nn.BatchNorm1d, nn.BatchNorm2d)
        watched = [m for m in model.modules() if isinstance(m, batch_norms)]
        handles = [module.register_forward_pre_hook(watch) for module in watched]
        try:
            before = _last_map(model, images)
        finally:
            for handle in handles:
                handle.remove()
        change = (before - _last_map(model, images + noise)).abs().double().mean().item()
    return math.log(change) + math.fsum(scales) if change > 0 else -math.inf


def _last_map(model: nn.Module, images: Tensor) -> Tensor:
    """What goes into the head: (B, C, H, W) or tokens; the output of a model without features."""
    features = getattr(model, "forward_features", model)(images)
    last: Tensor = features[0][-1] if isinstance(features, tuple) else features
    return last
