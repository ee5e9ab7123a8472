"""A training-free score of another package."""

import torch


def weight_mass(model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Mean magnitude of the parameters, and which images they saw."""
    sizes = [p.detach().abs().mean() for p in model.parameters()]
    return float(torch.stack(sizes).mean()) + float(images.shape[1] + labels.max())
