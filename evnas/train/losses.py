"""What a training minimises: labels, a teacher, the moving average."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evnas.train.recipe import Recipe

Outputs = Tensor | tuple[Tensor, Tensor]
"""Logits (B, classes), or those of both heads."""


def heads(outputs: Outputs) -> tuple[Tensor, ...]:
    """The logits of each head, (B, classes)."""
    return outputs if isinstance(outputs, tuple) else (outputs,)


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over the batch of -sum(q log softmax(z)); logits and targets (B, classes)."""
    return F.cross_entropy(logits.float(), targets)


def label_loss(logits: Tensor, targets: Tensor, *, smoothing: float) -> Tensor:
    """Cross-entropy with labels.

    Args:
        logits: (B, classes).
        targets: numbers of classes (B,), which are smoothed here; or shares (B, classes), which
            mixing has smoothed.
        smoothing: share that goes to all classes alike.
    """
    if targets.ndim == 1:
        return F.cross_entropy(logits.float(), targets, label_smoothing=smoothing)
    return soft_cross_entropy(logits, targets)


def hard_distillation(logits: Tensor, taught: Tensor) -> Tensor:
    """Cross-entropy with the teacher's most probable class; both (B, classes).

    Source: DeiT, arXiv 2012.12877, eq. 3.
    """
    return F.cross_entropy(logits.float(), taught.argmax(dim=1))


def soft_distillation(logits: Tensor, taught: Tensor, *, temperature: float) -> Tensor:
    """T² times the mean over the batch of KL(teacher || student) at temperature T.

    Args:
        logits: (B, classes).
        taught: the teacher's, (B, classes).
        temperature: T.

    Source: DeiT, arXiv 2012.12877, eq. 2, after Hinton et al., arXiv 1503.02531. DeiT's released
    code divides by the number of logits in place of images.
    """
    student = F.log_softmax(logits.float() / temperature, dim=1)
    teacher = F.log_softmax(taught.float() / temperature, dim=1)
    return F.kl_div(student, teacher, reduction="batchmean", log_target=True) * temperature**2


def distillation_loss(
    outputs: Outputs, targets: Tensor, *, taught: Tensor, recipe: Recipe
) -> Tensor:
    """Labels for the first head, the teacher for the last; for a single head both.

    Args:
        outputs: logits of one head or two, each (B, classes).
        targets: as `label_loss` takes them.
        taught: the teacher's logits on the same mixed images, (B, classes).
        recipe: the kind, the teacher's share and the temperature.
    """
    first, *_, last = (*heads(outputs), heads(outputs)[-1])
    ours = label_loss(first, targets, smoothing=recipe.label_smoothing)
    if recipe.distillation == "hard":
        theirs = hard_distillation(last, taught)
    else:
        theirs = soft_distillation(last, taught, temperature=recipe.distillation_temperature)
    return (1 - recipe.distillation_share) * ours + recipe.distillation_share * theirs


def mesa_loss(logits: Tensor, images: Tensor, average: nn.Module) -> Tensor:
    """Cross-entropy against the moving average's probabilities on the same images.

    Source: MESA, arXiv 2205.14083, as EfficientViM's released code uses it: temperature 1, the
    average in evaluation mode.
    """
    with torch.no_grad():
        believed = average(images).float().softmax(dim=1)
    return soft_cross_entropy(logits, believed)


def training_loss(
    outputs: Outputs,
    targets: Tensor,
    *,
    recipe: Recipe,
    images: Tensor,
    teacher: nn.Module | None,
    average: nn.Module | None,
) -> Tensor:
    """The whole loss of a batch.

    Args:
        outputs: logits of one head or two.
        targets: as `label_loss` takes them.
        recipe: smoothing, distillation and MESA's weight.
        images: (B, 3, H, W), as the network saw them.
        teacher: asked with distillation.
        average: the moving average where MESA counts, else None.
    """
    if teacher is not None:
        with torch.no_grad():
            taught = teacher(images)
        loss = distillation_loss(outputs, targets, taught=taught, recipe=recipe)
    else:
        # without a teacher, both heads of a model for distillation learn the labels
        each = [label_loss(z, targets, smoothing=recipe.label_smoothing) for z in heads(outputs)]
        loss = torch.stack(each).mean()
    if average is not None and recipe.mesa:
        each = [mesa_loss(z, images, average) for z in heads(outputs)]
        loss = loss + recipe.mesa * torch.stack(each).mean()
    return loss
