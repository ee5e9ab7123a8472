"""Any folder of images, a subfolder per class, decoded once to small uint8 arrays."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from evnas.errors import DataError
from evnas.proxy.arrays import ImageArrays
from evnas.proxy.folder_survey import FolderSurvey, Sample, survey
from evnas.proxy.image_file import has_other_colours, read_rgb

MAX_TRAIN_IMAGES = 50_000
MAX_HELD_OUT_IMAGES = 10_000


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
    found = proxy_images(root)
    train, other_train = _decode_all(found.train, side)
    held_out, other_held_out = _decode_all(found.held_out, side)
    return ImageArrays(
        name=f"folder {root}",
        train_images=train,
        train_labels=np.array([label for _, label in found.train]),
        held_out_images=held_out,
        held_out_labels=np.array([label for _, label in found.held_out]),
        classes=found.classes,
        note=f"{found}{_of_colours(other_train + other_held_out)}",
    )


def _of_colours(count: int) -> str:
    """What is to be said of images that have a colour profile of their own."""
    if not count:
        return ""
    images = "1 image embeds" if count == 1 else f"{count} images embed"
    return f"; {images} a colour profile other than sRGB, which is not applied"


def proxy_images(root: Path) -> FolderSurvey:
    """The images of a folder that a proxy uses. Raises DataError as `survey` does."""
    found = survey(root)
    return replace(
        found,
        train=_spread(found.train, MAX_TRAIN_IMAGES),
        held_out=_spread(found.held_out, MAX_HELD_OUT_IMAGES),
        of=(len(found.train), len(found.held_out)),
    )


def _spread(samples: Sequence[Sample], limit: int) -> list[Sample]:
    """At most `limit` samples, evenly spaced; as they lie by class, each class gives its share."""
    if len(samples) <= limit:
        return list(samples)
    return [samples[i * len(samples) // limit] for i in range(limit)]


def _decode_all(samples: Sequence[Sample], side: int) -> tuple[npt.NDArray[np.uint8], int]:
    """(N, 3, side, side), and how many have a colour profile other than sRGB. The error names the
    first image that cannot be read, and how many."""
    # threads: Pillow decodes and resizes outside the interpreter lock
    out = np.empty((len(samples), 3, side, side), dtype=np.uint8)
    faults: list[DataError] = []
    other_colours = 0
    with ThreadPoolExecutor() as pool:
        for i, image in enumerate(pool.map(lambda sample: _decode(sample[0], side), samples)):
            if isinstance(image, DataError):
                faults.append(image)
            else:
                out[i] = np.asarray(image).transpose(2, 0, 1)
                other_colours += has_other_colours(image)
    if len(faults) > 1:
        raise DataError(f"{faults[0]}; {len(faults) - 1} more cannot be read") from faults[0]
    if faults:
        raise faults[0]
    return out, other_colours


def _decode(path: str, side: int) -> Image.Image | DataError:
    """One image's centre square, side x side, resized with antialiasing (bicubic)."""
    try:
        return square(read_rgb(path, least_side=side), side)
    except DataError as e:
        return e


def square(image: Image.Image, side: int) -> Image.Image:
    """The square in an image's middle, resized with antialiasing (bicubic)."""
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    box = (left, top, left + edge, top + edge)
    return image.resize((side, side), Image.Resampling.BICUBIC, box=box)
