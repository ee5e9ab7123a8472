"""What a full training minimises: mixed labels, a teacher, the moving average."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over the batch of -sum(q log softmax(z)); logits and targets (B, classes)."""
    return F.cross_entropy(logits.float(), targets)


def distillation_loss(
    outputs: tuple[Tensor, Tensor], targets: Tensor, *, taught: Tensor, alpha: float
) -> Tensor:
    """Mixed labels for the first head, the teacher's hard labels for the second.

    Args:
        outputs: both heads' logits, each (B, classes).
        targets: (B, classes).
        taught: the teacher's logits on the same mixed images, (B, classes).
        alpha: share of the teacher.

    Source: DeiT, arXiv 2012.12877, eq. 3.
    """
    ours = soft_cross_entropy(outputs[0], targets)
    theirs = F.cross_entropy(outputs[1].float(), taught.argmax(dim=1))
    return (1 - alpha) * ours + alpha * theirs


def mesa_loss(logits: Tensor, images: Tensor, average: nn.Module) -> Tensor:
    """Cross-entropy against the moving average's probabilities on the same images.

    Source: MESA, arXiv 2205.14083, as EfficientViM's released code uses it: temperature 1, the
    average in evaluation mode.
    """
    with torch.no_grad():
        believed = average(images).float().softmax(dim=1)
    return soft_cross_entropy(logits, believed)
