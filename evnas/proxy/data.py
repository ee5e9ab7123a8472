"""The proxy's images: whole sets as uint8 tensors on one device, with what a training must know.

Order is part of the data: any prefix of a split is as class-balanced as the split allows, so
"the first 500 held-out images" is a fair subset.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from evnas.errors import DataError, nearest
from evnas.files import placed
from evnas.proxy import folder
from evnas.proxy.arrays import ImageArrays
from evnas.proxy.image_file import READING
from evnas.tables import DATASETS


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSet:
    """One split: images (N, C, H, W) uint8 with C = 1 or 3, labels (N,) int64."""

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.dtype != torch.uint8:
            raise ValueError(
                f"images must be (N, C, H, W) uint8, got {tuple(self.images.shape)} "
                f"{self.images.dtype}"
            )
        if self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"labels must be ({len(self.images)},), got {tuple(self.labels.shape)}"
            )

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device | str) -> "ImageSet":
        """The same images on another device."""
        return ImageSet(images=self.images.to(device), labels=self.labels.to(device))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyData:
    """A training and a held-out split of one set."""

    name: str
    train: ImageSet
    held_out: ImageSet
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    """Per channel, of the training images over 255."""
    std: tuple[float, ...]
    """Per channel, of the training images over 255."""
    flip: bool = True
    """Whether a mirrored image is still of its class."""
    note: str = ""
    """What was found in a folder, and left out; "" of a named set."""

    def to(self, device: torch.device | str) -> "ProxyData":
        """The same data on another device."""
        return replace(self, train=self.train.to(device), held_out=self.held_out.to(device))

    @property
    def fingerprint(self) -> str:
        """12 hex digits of the images and labels, to tell whether a training may go on."""
        seen = hashlib.sha256()
        for split in (self.train, self.held_out):
            seen.update(split.images.cpu().contiguous().numpy().data)
            seen.update(split.labels.cpu().contiguous().numpy().data)
        return seen.hexdigest()[:12]


def load_data(
    source: str | Mapping[str, str],
    *,
    resolution: int = 56,
    device: torch.device | str = "cpu",
    base_folder: Path = Path(),
    reading: int = READING,
) -> ProxyData:
    """The images that a sweep's `proxy.data` names.

    Args:
        source: a name of `evnas.tables.DATASETS`, or `{"folder": PATH}`.
        resolution: side in pixels at which folders will be trained; they are decoded once, a
            little larger. Fashion-MNIST keeps its 28 x 28 pixels.
        device: where the tensors shall live.
        base_folder: what a relative PATH is relative to; `~` and `${NAME}` are replaced.
        reading: of a folder's files, as `evnas.proxy.image_file.READING`.

    Raises:
        DataError: there is no such set, or its files are not there or broken.
    """
    if isinstance(source, Mapping):
        if set(source) != {"folder"}:
            raise DataError(f"data must be a name or {{folder: PATH}}, got {dict(source)}")
        root, side = placed(source["folder"], base_folder), folder.stored_side(resolution)
        arrays = folder.read_folder(root, side, reading=reading)
        return from_arrays(arrays).to(device)
    if source not in DATASETS:
        raise DataError(
            f"data must be {', '.join(DATASETS)} or {{folder: PATH}}, got {source!r}"
            f"{nearest(source, DATASETS)}"
        )
    named = DATASETS.get(source)(folder.stored_side(resolution))
    if not isinstance(named, ImageArrays):
        raise DataError(f"data {source} must be given as ImageArrays, got {named!r:.60}")
    return from_arrays(named).to(device)


def from_arrays(arrays: ImageArrays) -> ProxyData:
    """Balance the order of both splits and take the statistics of the training images."""
    train = _image_set(arrays.train_images, arrays.train_labels)
    mean, std = channel_statistics(train.images)
    return ProxyData(
        name=arrays.name,
        train=train,
        held_out=_image_set(arrays.held_out_images, arrays.held_out_labels),
        classes=arrays.classes,
        mean=mean,
        std=std,
        note=arrays.note,
    )


def _image_set(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.integer]) -> ImageSet:
    order = balanced_order(labels)
    return ImageSet(
        images=torch.from_numpy(images[order]),
        labels=torch.from_numpy(labels[order].astype(np.int64)),
    )


def balanced_order(labels: npt.NDArray[np.integer]) -> npt.NDArray[np.intp]:
    """An order in which every prefix holds each class in proportion to its size.

    Each image gets the place (rank within its class + 1/2) / class size; ties go by class.
    """
    place = np.empty(len(labels))
    for label in np.unique(labels):
        where = np.flatnonzero(labels == label)
        place[where] = (np.arange(len(where)) + 0.5) / len(where)
    return np.lexsort((labels, place))


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of uint8 images (N, C, H, W), over 255."""
    levels = torch.arange(256, dtype=torch.float64) / 255
    means, stds = [], []
    for channel in images.unbind(1):
        share = torch.bincount(channel.flatten(), minlength=256).double() / channel.numel()
        mean = (share * levels).sum()
        means.append(mean.item())
        stds.append((share * (levels - mean) ** 2).sum().sqrt().item())
    return tuple(means), tuple(max(std, 1e-3) for std in stds)  # a blank channel has no spread
