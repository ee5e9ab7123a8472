"""Any folder of images, a subfolder a class, decoded once to small uint8 arrays.

`train/` beside `val/` (or `test/`) is the split; a folder of classes alone is split here.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from evnas.errors import DataError
from evnas.proxy.arrays import ImageArrays

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
MAX_TRAIN_IMAGES = 50_000
MAX_HELD_OUT_IMAGES = 10_000
HELD_OUT_EVERY = 6
"""Without a split of its own, every sixth image of a class is held out."""

Sample = tuple[Path, int]


def stored_side(resolution: int) -> int:
    """Side in pixels that images are kept at: an eighth more than they are trained at."""
    return resolution + -(-resolution // 8)


def read_folder(root: Path, side: int) -> ImageArrays:
    """Decode a folder: shorter side to `side` pixels, centre square, RGB.

    At most 50,000 training and 10,000 held-out images are kept (at 64 x 64 pixels 0.74 GB),
    spread evenly over each class.

    Raises:
        DataError: no such folder, no images in it, classes that differ between the splits, or
            an image that cannot be decoded.
    """
    if not root.is_dir():
        raise DataError(f"data folder {root} must be a folder of images, there is none; make it "
                        "or use fashion-mnist-12k")  # fmt: skip
    train, held_out, classes, note = _splits(root)
    kept_train = _spread(train, MAX_TRAIN_IMAGES)
    kept_held_out = _spread(held_out, MAX_HELD_OUT_IMAGES)
    if (len(kept_train), len(kept_held_out)) != (len(train), len(held_out)):
        note += (
            f"{len(kept_train)} of {len(train)} training and {len(kept_held_out)} of "
            f"{len(held_out)} held-out images are used. "
        )
    return ImageArrays(
        name=f"folder {root}",
        train_images=_decode_all(kept_train, side),
        train_labels=np.array([label for _, label in kept_train]),
        held_out_images=_decode_all(kept_held_out, side),
        held_out_labels=np.array([label for _, label in kept_held_out]),
        classes=classes,
        note=note.strip(),
    )


def _splits(root: Path) -> tuple[list[Sample], list[Sample], tuple[str, ...], str]:
    if not (root / "train").is_dir():
        samples, classes = _samples(root)
        note = f"Every {HELD_OUT_EVERY}th image of each class is held out. "
        return *_split_off(samples), classes, note
    held_out_root = next((p for p in (root / "val", root / "test") if p.is_dir()), None)
    if held_out_root is None:
        raise DataError(f"{root} holds train/ and must hold val/ or test/ beside it; add one")
    train, classes = _samples(root / "train")
    held_out, held_out_classes = _samples(held_out_root)
    if held_out_classes != classes:
        differ = sorted(set(classes) ^ set(held_out_classes))
        raise DataError(
            f"{held_out_root} must hold the classes of {root / 'train'}, they differ in "
            f"{', '.join(differ[:3])}; add the missing folders or take away the others"
        )
    return train, held_out, classes, ""


def _samples(root: Path) -> tuple[list[Sample], tuple[str, ...]]:
    """Files with labels, by class and then by path: the same on every machine."""
    classes = tuple(sorted(p.name for p in root.iterdir() if p.is_dir()))
    samples: list[Sample] = []
    for label, name in enumerate(classes):
        files = sorted(p for p in (root / name).rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        if not files:
            raise DataError(f"{root / name} must hold images (.jpg, .png, ...), it holds none")
        samples += [(file, label) for file in files]
    if len(classes) < 2:
        raise DataError(
            f"{root} must hold a subfolder for each of at least two classes, got {len(classes)}"
        )
    return samples, classes


def _by_class(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    for label in sorted({label for _, label in samples}):
        yield [sample for sample in samples if sample[1] == label]


def _split_off(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    train: list[Sample] = []
    held_out: list[Sample] = []
    for of_class in _by_class(samples):
        if len(of_class) < HELD_OUT_EVERY:
            raise DataError(
                f"{of_class[0][0].parent} must hold at least {HELD_OUT_EVERY} images to hold some "
                f"out, it holds {len(of_class)}; add images, or split into train/ and val/"
            )
        held_out += of_class[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]
        train += [s for i, s in enumerate(of_class, start=1) if i % HELD_OUT_EVERY]
    return train, held_out


def _spread(samples: Sequence[Sample], limit: int) -> list[Sample]:
    """At most `limit` samples, evenly spaced; as they lie by class, each class gives its share."""
    if len(samples) <= limit:
        return list(samples)
    return [samples[i * len(samples) // limit] for i in range(limit)]


def _decode_all(samples: Sequence[Sample], side: int) -> npt.NDArray[np.uint8]:
    # threads: Pillow decodes and resizes outside the interpreter lock
    out = np.empty((len(samples), 3, side, side), dtype=np.uint8)
    with ThreadPoolExecutor() as pool:
        decoded = pool.map(lambda sample: _decode(sample[0], side), samples)
        for i, image in enumerate(decoded):
            out[i] = image
    return out


def _decode(path: Path, side: int) -> npt.NDArray[np.uint8]:
    """One image as (3, side, side): centre square, resized with antialiasing (bicubic)."""
    try:
        with Image.open(path) as image:
            image.draft("RGB", (side, side))  # a JPEG may be decoded at a fraction of its size
            rgb = image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as e:
        raise DataError(f"{path} must be an image, it cannot be decoded ({e}); remove it") from e
    return np.asarray(square(rgb, side)).transpose(2, 0, 1)


def square(image: Image.Image, side: int) -> Image.Image:
    """The square in an image's middle, resized with antialiasing (bicubic)."""
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    box = (left, top, left + edge, top + edge)
    return image.resize((side, side), Image.Resampling.BICUBIC, box=box)
