"""Fashion-MNIST as arrays: the 12,000 images that evnas ships, and the full set where it is.

Source: Fashion-MNIST, Xiao, Rasul and Vollgraf, arXiv 1708.07747; MIT licence, Copyright 2017
Zalando SE, its text beside the data (`data_files/LICENSE.fashion-mnist.txt`).
"""

import gzip
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evnas.errors import DataError
from evnas.proxy.arrays import Bytes, ImageArrays

SHIPPED_FILE = Path(__file__).with_name("data_files") / "fashion-mnist-12k.npz"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


@dataclass(frozen=True, slots=True)
class FashionArrays:
    """Images (N, 28, 28) uint8 and labels (N,) uint8."""

    train_images: Bytes
    train_labels: Bytes
    test_images: Bytes
    test_labels: Bytes


def shipped() -> FashionArrays:
    """`fashion-mnist-12k`: 10,000 training and 2,000 test images, balanced over ten classes.

    The first 1,000 training and 200 test images of each class; made by
    `scripts/make_fashion_mnist_12k.py`.
    """
    with np.load(SHIPPED_FILE, allow_pickle=False) as archive:
        return FashionArrays(
            archive["train_images"],
            archive["train_labels"],
            archive["test_images"],
            archive["test_labels"],
        )


def small_set(side: int) -> ImageArrays:
    """`fashion-mnist-12k`, at its 28 x 28 pixels."""
    return _named("fashion-mnist-12k", shipped())


def whole_set(side: int) -> ImageArrays:
    """`fashion-mnist`, at its 28 x 28 pixels. Raises DataError where it is not installed."""
    return _named("fashion-mnist", full_set(full_set_folders()))


def _named(name: str, images: FashionArrays) -> ImageArrays:
    return ImageArrays(
        name=name,
        train_images=images.train_images[:, None],
        train_labels=images.train_labels,
        held_out_images=images.test_images[:, None],
        held_out_labels=images.test_labels,
        classes=CLASSES,
    )


def full_set_folders() -> tuple[Path, ...]:
    """Where the full set is looked for: Debian's package, then torchvision's usual roots."""
    homes = (Path("data"), Path.home() / ".cache" / "torchvision", Path.home() / "data")
    return (DEBIAN_FOLDER, *(home / "FashionMNIST" / "raw" for home in homes))


def full_set(folders: Sequence[Path]) -> FashionArrays:
    """The 60,000 + 10,000 images from the first of `folders` that holds them.

    Raises:
        DataError: none does, or a file there is broken.
    """
    for folder in folders:
        if _find(folder, "train-images-idx3-ubyte") is not None:
            return read_idx_folder(folder)
    looked = ", ".join(str(folder) for folder in folders)
    raise DataError(
        f"data fashion-mnist needs the full Fashion-MNIST files, found in none of {looked}; "
        "install Debian's dataset-fashion-mnist, or use fashion-mnist-12k, which evnas ships"
    )


def read_idx_folder(folder: Path) -> FashionArrays:
    """The four files of Fashion-MNIST, gzipped (Debian) or not (torchvision)."""
    parts = [
        _read_idx(folder, f"{split}-{kind}")
        for split in ("train", "t10k")
        for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
    ]
    return FashionArrays(*parts)


def _find(folder: Path, name: str) -> Path | None:
    return next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)


def _read_idx(folder: Path, name: str) -> Bytes:
    """The idx format: two zero bytes, type 8 (uint8), rank, big-endian sizes, the bytes."""
    path = _find(folder, name)
    if path is None:
        raise DataError(f"{folder} must hold {name} or {name}.gz, it holds neither")
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        zero, kind, rank = struct.unpack_from(">HBB", raw)
        shape: tuple[Any, ...] = struct.unpack_from(f">{rank}I", raw, 4)
        if (zero, kind) != (0, 8):
            raise ValueError("not an idx file of bytes")
        return np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * rank).reshape(shape)
    except (OSError, EOFError, ValueError, struct.error) as e:
        raise DataError(f"{path} must be an idx file of bytes: {e}; install it again") from e
