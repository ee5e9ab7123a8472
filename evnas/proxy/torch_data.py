"""A data set of one's own as torch `Dataset`s of (image, label)."""

import io
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from evnas.errors import DataError
from evnas.proxy.arrays import Bytes, ImageArrays, Labels
from evnas.proxy.folder import square
from evnas.proxy.folder_survey import HELD_OUT_EVERY
from evnas.tables import DATASETS


@dataclass(frozen=True)
class TorchData:
    """Reads two `Dataset`s when a training asks for them."""

    name: str
    train: Any
    """Of (image, label), by `len` and index, as torch's map-style sets and lists are."""
    held_out: Any
    """The same; None holds every sixth image of each class of `train` out."""
    classes: tuple[str, ...]
    """Their names; () for as many as there are labels."""

    def __call__(self, side: int) -> ImageArrays:
        """All images, as they are where all have one size of at most `side` pixels a side, else
        the square in their middle at that side.

        Raises:
            DataError: an item is no image with a label.
        """
        train_images, train_labels = self._read(self.train, "train")
        note = ""
        if self.held_out is None:
            held_out = held_out_places(train_labels)
            note = f"Every {HELD_OUT_EVERY}th image of each class is held out."
            held_images = [train_images[i] for i in np.flatnonzero(held_out)]
            held_labels = train_labels[held_out]
            train_images = [train_images[i] for i in np.flatnonzero(~held_out)]
            train_labels = train_labels[~held_out]
        else:
            held_images, held_labels = self._read(self.held_out, "held_out")
        is_even = len({i.shape for i in (*train_images, *held_images)}) == 1
        keep = is_even and max(train_images[0].shape[1:]) <= side
        count = 1 + max(int(labels.max()) for labels in (train_labels, held_labels))
        return ImageArrays(
            name=self.name,
            train_images=_stacked(train_images, None if keep else side),
            train_labels=train_labels,
            held_out_images=_stacked(held_images, None if keep else side),
            held_out_labels=held_labels,
            classes=self.classes or tuple(map(str, range(count))),
            note=note,
        )

    def _read(self, items: Any, split: str) -> tuple[list[Bytes], Labels]:
        if not len(items):
            raise DataError(f"data {self.name}: {split} must hold images, it holds none")
        images, labels = [], []
        for i in range(len(items)):
            where = f"data {self.name}: {split}[{i}]"
            try:
                image, label = items[i]
            except (TypeError, ValueError):
                raise DataError(f"{where} must be (image, label), got {items[i]!r:.60}") from None
            images.append(_bytes(image, where))
            labels.append(_label(label, where))
        return images, np.array(labels)


def add_dataset(
    name: str,
    train: Any,
    held_out: Any = None,
    *,
    classes: Sequence[str] = (),
) -> None:
    """Make torch `Dataset`s a data set that sweeps name as `proxy.data`.

    They give images as they are stored, neither augmented nor normalised: trainings do both. They
    are read once per process, whole. A study keeps the name alone, so a set that changes needs a
    new one.

    Args:
        name: letters, digits and `_`.
        train: map-style: `len(train)`, and `train[i]` is (image, label). An image is PIL's, a
            uint8 tensor (C, H, W), or a float tensor (C, H, W) from 0 to 1; C is 1 or 3. A label
            is a whole number from 0.
        held_out: the same for the images that accuracy is measured on; None holds every sixth of
            each class of `train` out.
        classes: their names, in the order of the labels.

    Raises:
        PluginError: the name is taken, or is none.
        DataError: they cannot be sent to worker processes.
    """
    data = TorchData(name, train, held_out, tuple(classes))
    try:
        pickle.Pickler(_Nowhere()).dump(data)
    except (pickle.PicklingError, AttributeError, TypeError) as e:
        raise DataError(
            f"data {name} must be sent to worker processes, and cannot be pickled ({e}); define "
            "its class and transforms by `class` and `def` in a module or script"
        ) from None
    DATASETS.add(name, data)


class _Nowhere(io.RawIOBase):
    """Takes all and keeps nothing."""

    def write(self, data: Any) -> int:
        return len(memoryview(data).cast("B"))


def held_out_places(labels: Labels) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """True for every sixth of each class, (N,), as folders without a split are read."""
    found = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        found[np.flatnonzero(labels == label)[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]] = True
    if not found.any():
        raise DataError(
            f"train must hold at least {HELD_OUT_EVERY} images of a class to hold some out; add "
            "images, or give held_out"
        )
    return found


def _bytes(image: Any, where: str) -> Bytes:
    """(C, H, W) uint8."""
    if isinstance(image, Image.Image):
        return _planes(image)
    if not isinstance(image, torch.Tensor) or image.ndim != 3 or image.shape[0] not in (1, 3):
        got = tuple(image.shape) if isinstance(image, torch.Tensor) else type(image).__name__
        raise DataError(
            f"{where} must hold a PIL image or a tensor (C, H, W) with C 1 or 3, got {got}"
        )
    if image.is_floating_point():
        if not 0 <= float(image.min()) <= float(image.max()) <= 1:
            span = f"{float(image.min()):.3g} to {float(image.max()):.3g}"
            raise DataError(
                f"{where} must be from 0 to 1, got {span}; leave normalising to the training"
            )
        image = (image * 255).round().to(torch.uint8)
    elif image.dtype != torch.uint8:
        raise DataError(f"{where} must be uint8, or float from 0 to 1, got {image.dtype}")
    found: Bytes = image.cpu().numpy()
    return found


def _label(label: Any, where: str) -> int:
    value = label.item() if isinstance(label, torch.Tensor | np.generic) else label
    if isinstance(value, bool) or not isinstance(value, int):
        raise DataError(f"{where} must have a whole number as label, got {label!r:.60}")
    return value


def _planes(image: Image.Image) -> Bytes:
    """(1, H, W) of a grey image, else (3, H, W)."""
    if image.mode == "L":
        return np.asarray(image)[None]
    return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


def _stacked(images: Sequence[Bytes], side: int | None) -> Bytes:
    """(N, C, H, W); each cut to its middle square of `side` pixels, where one is given."""
    if side is None:
        return np.stack(images)
    channels = {image.shape[0] for image in images}
    found = np.empty((len(images), max(channels), side, side), dtype=np.uint8)
    for i, image in enumerate(images):
        grey = image.shape[0] == 1
        picture = Image.fromarray(image[0] if grey else image.transpose(1, 2, 0))
        found[i] = _planes(square(picture, side))
    return found
