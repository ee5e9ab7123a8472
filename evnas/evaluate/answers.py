"""What a model answers to images, kept image by image, so that models can be paired."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evnas.errors import DataError
from evnas.words import counted

TOP = 5
"""Of top-5."""

Logits = Callable[[Tensor], tuple[Tensor, float]]
"""Images (B, 3, H, W) -> logits (B, classes) float32 on the CPU, and the forward's seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Of N images, in their order."""

    labels: NDArray[np.int64]
    likeliest: NDArray[np.int64]
    """The class with the largest logit."""
    right: NDArray[np.bool_]
    """False where a logit is not finite, which `finite` tells apart."""
    right_in_five: NDArray[np.bool_]
    loss: NDArray[np.float64]
    """Cross-entropy in nats; NaN where a logit is not finite."""
    finite: NDArray[np.bool_]
    classes: int
    """Logits an image."""
    forward_s: tuple[float, ...]
    """A whole batch's forward, batch by batch, in seconds."""
    batch_size: int

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def forward_img_s(self) -> float | None:
        """Images a second over the forwards, the first one (which warms up) left out where there
        are others; None without any whole batch."""
        timed = self.forward_s[1:] or self.forward_s
        total = sum(timed)
        return self.batch_size * len(timed) / total if total > 0 else None


def answers_of(
    logits_of: Logits, batches: Iterable[tuple[Tensor, Tensor]], *, batch_size: int, where: str
) -> Answers:
    """Run a model over batches.

    Args:
        logits_of: the model.
        batches: images and labels (B,), each of `batch_size` but for the last.
        where: begins a complaint.

    Raises:
        DataError: a label has no logit, or there are no images.
    """
    kept: list[tuple[Tensor, ...]] = []
    seconds = []
    for images, labels in batches:
        logits, forward_s = logits_of(images)
        _must_have_a_logit(labels, logits, where)
        kept.append((labels, *_judged(logits, labels)))
        if len(labels) == batch_size:
            seconds.append(forward_s)
        classes = logits.shape[1]
    if not kept:
        raise DataError(f"{where}: there are no images to answer")
    truth, likeliest, right, in_five, loss, finite = (
        torch.cat(column).numpy() for column in zip(*kept, strict=True)
    )
    return Answers(
        labels=truth,
        likeliest=likeliest,
        right=right,
        right_in_five=in_five,
        loss=loss,
        finite=finite,
        classes=classes,
        forward_s=tuple(seconds),
        batch_size=batch_size,
    )


def _judged(logits: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
    finite = logits.isfinite().all(dim=1)
    known = torch.where(finite[:, None], logits.double(), 0.0)
    likeliest = known.argmax(dim=1)
    best = known.topk(min(TOP, known.shape[1]), dim=1).indices
    right = (likeliest == labels) & finite
    in_five = ((best == labels[:, None]).any(dim=1) | right) & finite
    losses = torch.logsumexp(known, dim=1) - known.gather(1, labels[:, None])[:, 0]
    return likeliest, right, in_five, losses.masked_fill(~finite, torch.nan), finite


def _must_have_a_logit(labels: Tensor, logits: Tensor, where: str) -> None:
    if logits.ndim != 2 or len(logits) != len(labels):
        raise DataError(
            f"{where} must give logits (B, classes), it gives {tuple(logits.shape)} for "
            f"{counted(len(labels), 'image')}"
        )
    if int(labels.max()) >= logits.shape[1]:
        raise DataError(
            f"{where} has {logits.shape[1]} classes, and an image is of class "
            f"{int(labels.max()) + 1}"
        )
