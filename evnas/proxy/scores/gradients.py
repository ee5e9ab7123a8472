"""Scores from the gradients of one batch."""

import copy
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evnas.proxy.scores.undisturbed import as_in_training, gradients, logits_of


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
    found = gradients(linear, logits_of(linear(ones)).sum())
    flow = sum((p.detach() * g).sum().item() for p, g in found)
    return math.log(flow) if flow > 0 else -math.inf


def jacob_cov(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """How little the images' input Jacobians correlate: -sum(log(v + k) + 1 / (v + k)).

    v are the eigenvalues of the correlation matrix of the Jacobians of the summed logits,
    k = 1e-5.

    Args:
        images: (B, C, H, W), B >= 2.

    Source: J. Mellor et al., arXiv 2006.04647v1, eq. 2; arXiv 2101.08134 calls it jacob_cov.
    """
    with as_in_training(model):
        leaf = images.detach().clone().requires_grad_(True)
        (jacobian,) = torch.autograd.grad(logits_of(model(leaf)).sum(), leaf)
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
    with as_in_training(model):
        found = gradients(model, _loss(model, images, labels))
    return float(sum(g.double().norm().item() for _, g in found))


def snip(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Logarithm of the sum over parameters of |theta * dL/dtheta|, L the cross-entropy.

    Args:
        images: (B, C, H, W).
        labels: (B,) int64.

    Source: N. Lee et al., arXiv 1810.02340, eq. 6; as a score of architectures, arXiv 2101.08134,
    eq. 1. Deviation: the logarithm, which keeps every order.
    """
    with as_in_training(model):
        found = gradients(model, _loss(model, images, labels))
    total = sum((p.detach() * g).abs().double().sum().item() for p, g in found)
    return math.log(total) if total > 0 else -math.inf


RATIO_CAP = 1e4
"""Of mean over spread of a gradient in `zico`: where both halves agree, the spread is 0."""


def zico(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Sum over layers of log sum |mean| / spread of each weight's gradient over two half batches.

    A layer is a parameter of two or more axes that takes part. The halves are every other image in
    the order of their sums, so that the order they come in does not matter.

    Args:
        images: (B, C, H, W), B >= 4.
        labels: (B,) int64.

    Source: G. Li et al., arXiv 2301.11300, eq. 9. Deviations: two halves of one batch in place of
    two batches; a ratio is at most 1e4; mixers' own matrices are layers too.
    """
    order = images.flatten(1).double().sum(1).argsort()
    halves = []
    with as_in_training(model):
        for start in (0, 1):
            value = _loss(model, images[order[start::2]], labels[order[start::2]])
            halves.append(torch.autograd.grad(value, _weights(model), allow_unused=True))
    layers = [(a, b) for a, b in zip(*halves, strict=True) if a is not None and b is not None]
    sums = [_ratios((a, b)) for a, b in layers]
    return math.fsum(math.log(s) for s in sums if s > 0)


def _ratios(pair: Sequence[Tensor]) -> float:
    first, second = (g.double() for g in pair)
    spread = (first - second).abs() / 2
    ratio = ((first + second).abs() / 2 / spread).nan_to_num(0.0, posinf=RATIO_CAP)
    return float(ratio.clamp(max=RATIO_CAP).sum())


def _weights(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.ndim > 1 and p.requires_grad]


def _loss(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits_of(model(images)), labels)
