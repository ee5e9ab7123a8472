"""Held-out images, in one order for all models, so that their answers can be paired."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from evnas.errors import DataError, SpecError
from evnas.train.data import ImageData, Item, Split, open_dataset
from evnas.train.loaders import NO_LABEL, View, evaluation_batches


@dataclass(frozen=True, slots=True)
class SomeOf:
    """Some images of a split, in its order."""

    split: Split
    indices: Sequence[int]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Item:
        """As the split has it."""
        return self.split[self.indices[index]]

    def name(self, index: int) -> str:
        """As the split has it."""
        return self.split.name(self.indices[index])


def held_out_images(source: str | Path, *, most: int | None = None) -> ImageData:
    """The held-out images that `--data` names, without training images.

    Args:
        source: as `evnas.train.data.open_dataset` takes it.
        most: about so many, evenly over their order; None takes all.

    Raises:
        DataError: they are not there.
        SpecError: some are wanted of a stream, whose images come in any order.
    """
    found = open_dataset(source, held_out_only=True)
    if most is None:
        return found
    if hasattr(found.held_out, "begin_epoch"):
        raise SpecError(f"--images needs images that can be picked, and {source} is a stream")
    some = evenly(found.held_out, most)
    note = f"{found.note}; {len(some)} of the held-out ones are taken"
    return replace(found, held_out=some, note=note)


def evenly(split: Split, count: int) -> Split:
    """So many images spread evenly over a split's order; the split itself where it has no more."""
    if count >= len(split):
        return split
    return SomeOf(split, np.linspace(0, len(split) - 1, count).round().astype(int).tolist())


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
    if hasattr(split, "begin_epoch") or not len(split):
        raise DataError(
            f"{source} must hold training images that can be picked, to calibrate with"
        )
    return pixels_of(split, view, count=count)


def pixels_of(split: Split, view: View, *, count: int) -> Tensor:
    """The same of any split."""
    transform = view.transform()
    places = np.linspace(0, len(split) - 1, count).round().astype(int).tolist()
    return torch.stack([transform(split[i][0]) for i in places])
