"""Images as batches of a model's inputs."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from evnas.errors import DataError
from evnas.train.data import ImageData, Split, is_stream, open_dataset
from evnas.train.loaders import NO_LABEL, View, evaluation_batches


def labelled_batches(
    images: ImageData,
    view: View,
    *,
    batch_size: int,
    workers: int = 0,
    skip_broken: bool = False,
    label_of: Sequence[int] | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Held-out images (B, 3, H, W) float32 with labels (B,) int64.

    Args:
        skip_broken: leave out images that cannot be read.
        label_of: the model's class of each class of the images; None where they are the same.

    Raises:
        DataError: an image cannot be read.
    """
    places = None if label_of is None else torch.tensor(label_of)
    found = evaluation_batches(
        images.held_out, view, batch_size=batch_size, workers=workers, skip_broken=skip_broken
    )
    for batch in found:
        known = batch.labels != NO_LABEL
        labels = batch.labels[known]
        if len(labels):
            yield batch.images[known], labels if places is None else places[labels]


def training_pixels(source: str | Path, view: View, *, count: int) -> Tensor:
    """Training images as a model in evaluation sees them, (count, 3, H, W) float32, evenly over
    their order; few come several times.

    Raises:
        DataError: there are none, or one cannot be read.
    """
    split = open_dataset(source).train
    if is_stream(split) or not len(split):
        raise DataError(
            f"{source} must hold training images that can be picked, to calibrate with"
        )
    return pixels_of(split, view, count=count)


def pixels_of(split: Split, view: View, *, count: int) -> Tensor:
    """The same of any split."""
    transform = view.transform()
    places = np.linspace(0, len(split) - 1, count).round().astype(int).tolist()
    return torch.stack([transform(split[i][0]) for i in places])
