"""Images of a whole training or an evaluation, from wherever they lie, decoded one at a time.

Nothing is augmented here; `evnas.train.loaders` does that.
"""

import hashlib
import importlib.util
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image
from typing_extensions import TypeIs

from evnas.errors import DataError, nearest
from evnas.files import expanded
from evnas.proxy.arrays import Bytes, ImageArrays, Labels
from evnas.proxy.fingerprint import KnownImages, files_known, reading_of
from evnas.proxy.folder import stored_side
from evnas.proxy.folder_survey import Sample, survey, survey_held_out
from evnas.proxy.image_file import READING, read_rgb
from evnas.tables import DATASETS
from evnas.train.cifar import cifar10, cifar100
from evnas.words import counted

Item = tuple[Image.Image, int]
NAMED: dict[str, Callable[[], ImageArrays]] = {"cifar10": cifar10, "cifar100": cifar100}
"""Sets of trainings beside those of `evnas.tables.DATASETS`."""
STREAMS = ("wds/",)
FROM_TIMM = ("hfds/", *STREAMS)
NEEDS = {"hfds/": "datasets", "wds/": "webdataset"}
HELD_OUT_SPLITS = ("validation", "val", "valid", "test")
NOTED = "images.json"
"""What a training's folder calls the file that says what it was trained on."""


class Split(Protocol):
    """Images in a fixed order, read by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Item:
        """An RGB image and the number of its class. Raises DataError where it cannot be read."""
        ...

    def name(self, index: int) -> str:
        """What to call an image in a message: its path, or its place."""
        ...


class Stream(Protocol):
    """Images that come one after the other, shuffled and shared out by timm's reader."""

    images: int
    """How many there are in all."""

    def read(self, epoch: int, seed: int) -> Iterator[Item]:
        """This process's share, shuffled as these numbers say and nothing else."""
        ...

    def read_by(self, workers: int, *, batch: int) -> None:
        """So many worker processes read, in batches of so many images."""
        ...


def is_stream(found: "Split | Stream") -> TypeIs[Stream]:
    """Whether images come one after the other."""
    return hasattr(found, "read_by")


def image_count(found: "Split | Stream") -> int:
    """Images of either."""
    return found.images if is_stream(found) else len(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageData:
    """A training and a held-out split."""

    name: str
    train: "Split | Stream"
    """Empty where only held-out images were asked for."""
    held_out: "Split | Stream"
    classes: tuple[str, ...]
    """() of shards that do not say."""
    note: str
    """What was found, in a sentence."""
    identify: Callable[[KnownImages | None], KnownImages] = field(repr=False)
    """The images as a fingerprint, given what was known before."""

    def __str__(self) -> str:
        return self.note


def images_noted(output: Path) -> KnownImages | None:
    """What the training in a folder was trained on; None of one that begins.

    Raises:
        DataError: it is noted and cannot be read.
    """
    path = output / NOTED
    if not path.exists():
        return None
    try:
        return KnownImages.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, OSError) as e:
        raise DataError(
            f"{path} must say what was trained on, it cannot be read ({e}); delete it if the "
            "images are the same"
        ) from e


def open_dataset(
    source: str | Path, *, held_out_only: bool = False, reading: int = READING
) -> ImageData:
    """The images that `--data` names.

    Args:
        source: `fashion-mnist`, `fashion-mnist-12k`, `cifar10`, `cifar100` or a set that was
            added; `hfds/PATH`, a folder that Hugging Face's `datasets` loads; `wds/PATH`, a folder
            of WebDataset shards with timm's `_info.json`; else a folder with `train/` and `val/`.
        held_out_only: of a folder, its `val/` or `test/` alone, or all images of a folder without
            splits; for evaluation.
        reading: of files and rows, as `evnas.proxy.image_file.READING`. Shards are decoded by
            timm, which applies no colour profile.

    Raises:
        DataError: they are not there, or cannot be understood in one way.
    """
    text = str(source)
    if text in NAMED:
        return _of_arrays(NAMED[text]())
    if text in DATASETS:
        return _of_arrays(DATASETS.get(text)(stored_side(224)))
    prefix = next((p for p in FROM_TIMM if text.startswith(p)), None)
    if prefix is not None:
        root = expanded(text.removeprefix(prefix))
        return _of_timm(prefix, root, held_out_only=held_out_only, reading=reading)
    return _of_folder(expanded(text), held_out_only=held_out_only, reading=reading)


def _of_folder(root: Path, *, held_out_only: bool, reading: int) -> ImageData:
    if not root.exists():
        known = [*DATASETS, *NAMED]
        raise DataError(
            f"data folder {root} must be a folder of images, there is none; it may also be "
            f"{', '.join(known)}, hfds/PATH or wds/PATH{nearest(str(root), known)}"
        )
    found = survey_held_out(root) if held_out_only else survey(root, may_split=False)
    return ImageData(
        name=str(root),
        train=FileSplit(found.train, reading),
        held_out=FileSplit(found.held_out, reading),
        classes=found.classes,
        note=str(found),
        identify=lambda before: files_known(found, before=before),
    )


@dataclass(frozen=True, slots=True)
class FileSplit:
    """Files of a folder."""

    samples: Sequence[Sample]
    reading: int = READING

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Item:
        """Decoded as a proxy decodes it."""
        path, label = self.samples[index]
        return read_rgb(path, reading=self.reading), label

    def name(self, index: int) -> str:
        """Its path."""
        return self.samples[index][0]


def _of_arrays(arrays: ImageArrays) -> ImageData:
    train, held_out = len(arrays.train_images), len(arrays.held_out_images)
    note = (
        f"{arrays.name}: {train} training and {counted(held_out, 'held-out image')} of "
        f"{counted(len(arrays.classes), 'class', 'classes')}"
    )
    return ImageData(
        name=arrays.name,
        train=ArraySplit(arrays.name, arrays.train_images, arrays.train_labels),
        held_out=ArraySplit(arrays.name, arrays.held_out_images, arrays.held_out_labels),
        classes=arrays.classes,
        note=f"{note}; {arrays.note}" if arrays.note else note,
        identify=lambda before: KnownImages(fingerprint=_digest_of(arrays)),
    )


@dataclass(frozen=True, slots=True)
class ArraySplit:
    """Images (N, C, H, W) uint8 that lie in memory, C = 1 or 3."""

    of: str
    images: Bytes
    labels: Labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Item:
        """Grey images become RGB."""
        pixels = self.images[index]
        image = (
            Image.fromarray(pixels[0]).convert("RGB")
            if len(pixels) == 1
            else Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
        )
        return image, int(self.labels[index])

    def name(self, index: int) -> str:
        """Its place."""
        return f"{self.of}[{index}]"


def _digest_of(arrays: ImageArrays) -> str:
    seen = hashlib.sha256()
    parts = (arrays.train_images, arrays.train_labels, arrays.held_out_images,
             arrays.held_out_labels)  # fmt: skip
    for part in parts:
        seen.update(f"{part.shape} {part.dtype}".encode())
        seen.update(np.ascontiguousarray(part).tobytes())
    return seen.hexdigest()[:16]


def _of_timm(prefix: str, root: Path, *, held_out_only: bool, reading: int) -> ImageData:
    package = NEEDS[prefix]
    where = f"data {prefix}{root}"
    if not is_installed(package):
        raise DataError(f"{where} needs {package}, which is not installed: pip install {package}")
    if not root.is_dir():
        raise DataError(f"{where} must be a folder here, there is none; nothing is downloaded")
    kind = ShardStream if prefix in STREAMS else RowSplit
    held_out = _first_split(kind, prefix, root, HELD_OUT_SPLITS)
    classes = held_out.class_names()
    train: Split | Stream = FileSplit(())
    if not held_out_only:
        train = _first_split(kind, prefix, root, ("train",))
    for split in (train, held_out):
        if isinstance(split, RowSplit):
            split.reading = reading
    counts = [image_count(train), image_count(held_out)]
    named = f" of {counted(len(classes), 'class', 'classes')}" if classes else ""
    known = hashlib.sha256(repr((counts, classes)).encode()).hexdigest()[:16]
    return ImageData(
        name=f"{prefix}{root}",
        train=train,
        held_out=held_out,
        classes=classes,
        note=f"{prefix}{root}: {counts[0]} training and {counted(counts[1], 'held-out image')}"
        f"{named}; whether they are the same another time is known by their number and classes "
        "alone",
        identify=lambda before: KnownImages(fingerprint=known, reading=reading_of(before)),
    )


def is_installed(package: str) -> bool:
    """Whether it can be imported; it is not."""
    return importlib.util.find_spec(package) is not None


def _first_split(
    kind: Any, prefix: str, root: Path, names: Sequence[str]
) -> "ShardStream | RowSplit":
    """The first split of one of these names that timm can open."""
    why: Exception | None = None
    for name in names:
        try:
            found: ShardStream | RowSplit = kind(prefix, root, name)
            return found
        except Exception as e:  # another package's reader raises whatever it meets
            why = why or e
    reason = str(why).splitlines()[0] if str(why) else type(why).__name__
    raise DataError(
        f"data {prefix}{root} must hold a split called {' or '.join(names)}: {reason}"
    ) from why


class RowSplit:
    """Rows of a set of Hugging Face's `datasets`, with columns `image` and `label`."""

    def __init__(self, prefix: str, root: Path, split: str) -> None:
        from timm.data.dataset_factory import create_dataset

        self.where = f"{prefix}{root}:{split}"
        self.dataset: Any = create_dataset(f"{prefix}{root}", root=None, split=split)
        self.reader = self.dataset.reader
        self.reading = READING
        if not len(self.reader):
            raise DataError("it holds no image")

    def class_names(self) -> tuple[str, ...]:
        """From the column's own list; () where it has none."""
        return tuple(self.reader.class_to_idx)

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, index: int) -> Item:
        """Decoded as a file is."""
        file, label = self.reader[index]
        try:
            return read_rgb(io.BytesIO(file.read()), reading=self.reading), int(label)
        except DataError as e:
            cause = e.__cause__ or e
            raise DataError(f"{self.name(index)} must be an image, it cannot be read ({cause})"
                            ) from e  # fmt: skip
        finally:
            file.close()

    def name(self, index: int) -> str:
        """Its place."""
        return f"{self.where}[{index}]"


class ShardStream:
    """WebDataset shards: `.jpg`, `.png` or `.webp` with a `.cls` beside it."""

    def __init__(self, prefix: str, root: Path, split: str) -> None:
        from timm.data.dataset_factory import create_dataset

        self.where = f"{prefix}{root}:{split}"
        self.is_training = split == "train"
        self.dataset: Any = create_dataset(
            prefix, root=str(root), split=split, is_training=self.is_training
        )
        self.reader = self.dataset.reader
        self.images = int(self.reader.num_samples)
        if not self.images:
            raise DataError("_info.json must say num_samples")
        if not self.is_training:  # every process reads all of them: shares would not be exact
            self.reader.dist_rank, self.reader.dist_num_replicas = 0, 1

    def class_names(self) -> tuple[str, ...]:
        """Of `_info.json`'s `class_names`, or as many as its `num_classes`; () without."""
        info = self.reader.info
        count = info.get("num_classes", 0)
        return tuple(map(str, info.get("class_names") or range(int(count))))

    def read_by(self, workers: int, *, batch: int) -> None:
        """Say who reads: timm rounds a worker's share up to whole batches."""
        self.reader.batch_size = batch
        self.dataset.set_loader_cfg(num_workers=workers)

    def read(self, epoch: int, seed: int) -> Iterator[Item]:
        """timm shuffles shards by the epoch, and what is in them by a seed of the process."""
        from torch.utils.data import get_worker_info

        reader, info = self.reader, get_worker_info()
        self.dataset.set_epoch(epoch)
        reader.ds = None  # begun again: its generator would go on from the epoch before
        if info is not None:
            reader.worker_info, reader.worker_id = info, info.id
            reader.num_workers = info.num_workers
        place = f"{seed}/shards/{epoch}/{reader.dist_rank}/{reader.worker_id}"
        reader.worker_seed = int(hashlib.sha256(place.encode()).hexdigest()[:8], 16)
        return iter(self.dataset)
