"""What a data set gives: all of its images, small, as arrays of bytes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evnas.errors import DataError

Bytes = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.integer]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageArrays:
    """Two splits of one set, in any order: images (N, C, H, W) uint8 with C = 1 or 3, labels (N,).

    Raises:
        DataError: an array of another form, or a label that is no class.
    """

    name: str
    train_images: Bytes
    train_labels: Labels
    held_out_images: Bytes
    held_out_labels: Labels
    classes: tuple[str, ...]
    note: str = ""
    """What was left out or split off; "" where the set is as it came."""

    def __post_init__(self) -> None:
        self._must_fit("train", self.train_images, self.train_labels)
        self._must_fit("held-out", self.held_out_images, self.held_out_labels)
        if self.train_images.shape[1:] != self.held_out_images.shape[1:]:
            raise DataError(
                f"data {self.name}: held-out images must be of the training images' (C, H, W), "
                f"{self.train_images.shape[1:]}, got {self.held_out_images.shape[1:]}"
            )

    def _must_fit(self, split: str, images: Bytes, labels: Labels) -> None:
        where, shape = f"data {self.name}", images.shape
        if (
            images.dtype != np.uint8
            or len(shape) != 4
            or not len(images)
            or shape[1] not in (1, 3)
        ):
            raise DataError(
                f"{where}: {split} images must be (N, C, H, W) uint8 with N over 0 and C 1 or 3, "
                f"got {shape} {images.dtype}"
            )
        if labels.shape != shape[:1] or labels.dtype.kind not in "iu":
            raise DataError(
                f"{where}: {split} labels must be {len(images)} whole numbers, got "
                f"{labels.shape} {labels.dtype}"
            )
        if labels.min() < 0 or labels.max() >= len(self.classes):
            raise DataError(
                f"{where}: {split} labels must be from 0 to {len(self.classes) - 1}, a class "
                f"each, got {labels.min()} to {labels.max()}"
            )
