"""CIFAR-10 and CIFAR-100 from the files that torchvision unpacks.

They are pickles. Only arrays, lists, text and numbers are read out of them: no code of theirs
runs.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

import io
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evnas.errors import DataError
from evnas.proxy.arrays import Bytes, ImageArrays, Labels


@dataclass(frozen=True, slots=True)
class _Files:
    folder: str
    train: tuple[str, ...]
    test: str
    meta: str
    labels: str
    names: str


CIFAR10 = _Files(
    folder="cifar-10-batches-py",
    train=tuple(f"data_batch_{i}" for i in range(1, 6)),
    test="test_batch",
    meta="batches.meta",
    labels="labels",
    names="label_names",
)
CIFAR100 = _Files(
    folder="cifar-100-python",
    train=("train",),
    test="test",
    meta="meta",
    labels="fine_labels",
    names="fine_label_names",
)


def _latin1(text: str, encoding: str) -> bytes:
    """Bytes, as Python 3 spells them in Python 2's pickles."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it holds text in {encoding}")
    return text.encode("latin1")


_PLAIN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
    **{
        (f"numpy.{core}.multiarray", "_reconstruct"): np.zeros(1).__reduce__()[0]
        for core in ("core", "_core")
    },
}
"""All that a pickle of arrays calls."""


def cifar10(folders: Sequence[Path] | None = None) -> ImageArrays:
    """The 50,000 + 10,000 images of ten classes, 32 x 32 pixels.

    Args:
        folders: where to look; None for torchvision's usual roots.

    Raises:
        DataError: they are not there, or a file is broken.
    """
    return _read("cifar10", CIFAR10, usual_folders() if folders is None else folders)


def cifar100(folders: Sequence[Path] | None = None) -> ImageArrays:
    """The 50,000 + 10,000 images of a hundred classes; otherwise as `cifar10`."""
    return _read("cifar100", CIFAR100, usual_folders() if folders is None else folders)


def usual_folders() -> tuple[Path, ...]:
    """Roots that torchvision's examples name."""
    return (Path("data"), Path.home() / ".cache" / "torchvision", Path.home() / "data")


def _read(name: str, files: _Files, folders: Sequence[Path]) -> ImageArrays:
    found = next((f / files.folder for f in folders if (f / files.folder).is_dir()), None)
    if found is None:
        looked = ", ".join(str(folder / files.folder) for folder in folders)
        raise DataError(
            f"data {name} needs the files that torchvision unpacks, found in none of {looked}; "
            f"get them by torchvision.datasets.{name.upper()}('data', download=True)"
        )
    train = [_batch(found / part, files.labels) for part in files.train]
    test = _batch(found / files.test, files.labels)
    classes = _plain(found / files.meta).get(files.names)
    if not isinstance(classes, list) or not classes:
        raise DataError(f"{found / files.meta} must hold {files.names}; unpack the files again")
    return ImageArrays(
        name=name,
        train_images=np.concatenate([images for images, _ in train]),
        train_labels=np.concatenate([labels for _, labels in train]),
        held_out_images=test[0],
        held_out_labels=test[1],
        classes=tuple(map(str, classes)),
    )


def _batch(path: Path, labels: str) -> tuple[Bytes, Labels]:
    """Images (N, 3, 32, 32) and labels (N,)."""
    held = _plain(path)
    data, numbers = held.get("data"), held.get(labels)
    if (
        not isinstance(data, np.ndarray)
        or data.dtype != np.uint8
        or data.ndim != 2
        or data.shape[1] != 3 * 32 * 32
        or not isinstance(numbers, list)
        or len(numbers) != len(data)
    ):
        raise DataError(
            f"{path} must hold data (N, 3072) of bytes and N {labels}; unpack the files again"
        )
    return data.reshape(-1, 3, 32, 32), np.array(numbers)


def _plain(path: Path) -> dict[str, Any]:
    try:
        held = _PlainUnpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except OSError as e:
        raise DataError(f"{path} must be a file that can be read ({e.strerror})") from e
    except Exception as e:  # a damaged pickle raises anything
        raise DataError(f"{path} must be a pickle of arrays alone ({e}); unpack it again") from e
    if not isinstance(held, dict):
        raise DataError(f"{path} must hold a mapping, got {type(held).__name__}")
    return held


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """What a pickle of arrays needs; all else is refused."""
        if (module, name) not in _PLAIN:
            raise pickle.UnpicklingError(f"it holds {module}.{name}")
        return _PLAIN[module, name]
