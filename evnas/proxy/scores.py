"""Training-free scores of an untrained model: cheap rivals that a proxy has to beat.

Higher means better in all of them. None knows the labels' meaning but `grad_norm`; whether any
ranks better than counting FLOPs is what `evnas.proxy.audit` asks.
"""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evnas.tables import SCORES

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU)


def params(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Number of parameters; images and labels are not looked at."""
    return float(sum(p.numel() for p in model.parameters()))


def synflow(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Logarithm of the synaptic flow: sum over parameters of theta * dR/dtheta.

    R is the sum of the logits for one image of ones, all parameters replaced by their absolute
    values. Computed in float64 on a copy in evaluation mode.

    Args:
        images: (B, C, H, W), of which only the shape of one is used.

    Source: H. Tanaka et al., arXiv 2006.05467, Section 6, eq. 2; as a score of architectures,
    M. Abdelfattah et al., arXiv 2101.08134, eq. 1. Deviations: batch norms stay, with running
    mean 0 and variance 1 they are near the identity; the logarithm, which keeps every order.
    """
    linear = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        for parameter in linear.parameters():
            parameter.abs_()
    ones = torch.ones_like(images[:1], dtype=torch.float64)
    gradients = _gradients(linear, linear(ones).sum())
    flow = sum((p.detach() * g).sum().item() for p, g in gradients)
    return math.log(flow) if flow > 0 else -math.inf


def naswot(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """log |det K|: K counts the activation units on which two images agree to be on or off.

    Units are those of ReLU, ReLU6, SiLU and GELU modules (on: input above 0), batch statistics
    in use as in training; activations called as functions inside mixers are not seen.

    Args:
        images: (B, C, H, W), B >= 2.

    Returns:
        The score; minus infinity where two images switch all units alike.

    Raises:
        ValueError: the model has no such module.

    Source: J. Mellor et al., arXiv 2006.04647v3, Section 3. Deviation: SiLU and GELU count too.
    """
    kernel = torch.zeros(len(images), len(images), dtype=torch.float64, device=images.device)

    def watch(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        on = (inputs[0].detach() > 0).flatten(1).double()
        kernel.add_(on @ on.T + (1 - on) @ (1 - on).T)

    watched = [m for m in model.modules() if isinstance(m, ACTIVATIONS)]
    if not watched:
        names = ", ".join(kind.__name__ for kind in ACTIVATIONS)
        raise ValueError(f"naswot needs a model with modules of {names}, it has none")
    with _as_in_training(model), torch.no_grad():
        handles = [module.register_forward_pre_hook(watch) for module in watched]
        try:
            model(images)
        finally:
            for handle in handles:
                handle.remove()
    return float(torch.linalg.slogdet(kernel).logabsdet.item())


def jacob_cov(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """How little the images' input Jacobians correlate: -sum(log(v + k) + 1 / (v + k)).

    v are the eigenvalues of the correlation matrix of the Jacobians of the summed logits,
    k = 1e-5.

    Args:
        images: (B, C, H, W), B >= 2.

    Source: J. Mellor et al., arXiv 2006.04647v1, eq. 2; arXiv 2101.08134 calls it jacob_cov.
    """
    with _as_in_training(model):
        leaf = images.detach().clone().requires_grad_(True)
        (jacobian,) = torch.autograd.grad(model(leaf).sum(), leaf)
    correlation = torch.corrcoef(jacobian.flatten(1).double())
    shifted = torch.linalg.eigvalsh(correlation) + 1e-5
    return float(-(shifted.log() + 1 / shifted).sum().item())


def grad_norm(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Sum over parameter tensors of the L2 norm of the cross-entropy's gradient, one batch.

    Args:
        images: (B, C, H, W).
        labels: (B,) int64.

    Source: M. Abdelfattah et al., arXiv 2101.08134, Section 3.2.
    """
    with _as_in_training(model):
        gradients = _gradients(model, F.cross_entropy(model(images), labels))
    return float(sum(g.double().norm().item() for _, g in gradients))


def training_free_scores(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Every score of an untrained model that comes out finite.

    The model is left as it was: parameters, batch statistics and mode.

    Args:
        images: (B, 3, H, W) float32, normalised, B >= 2.
        labels: (B,) int64.
    """
    found = {name: SCORES.get(name)(model, images, labels) for name in SCORES}
    return {name: value for name, value in found.items() if math.isfinite(value)}


@contextmanager
def _as_in_training(model: nn.Module) -> Iterator[None]:
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


def _gradients(model: nn.Module, value: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Each parameter that `value` depends on with its gradient."""
    wanted = [p for p in model.parameters() if p.requires_grad]
    found = torch.autograd.grad(value, wanted, allow_unused=True)
    return [(p, g) for p, g in zip(wanted, found, strict=True) if g is not None]
