"""Any folder of images, a subfolder per class, decoded once to small uint8 arrays."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from evnas.errors import DataError
from evnas.proxy.arrays import ImageArrays
from evnas.proxy.colour_profile import Colours, about_colours
from evnas.proxy.folder_survey import FolderSurvey, Sample, survey
from evnas.proxy.image_file import READING, found_colours, read_rgb

MAX_TRAIN_IMAGES = 50_000
MAX_HELD_OUT_IMAGES = 10_000


def stored_side(resolution: int) -> int:
    """Side in pixels that images are kept at: an eighth more than they are trained at."""
    return resolution + -(-resolution // 8)


def read_folder(root: Path, side: int, *, reading: int = READING) -> ImageArrays:
    """Decode a folder: shorter side to `side` pixels, centre square, RGB.

    At most 50,000 training and 10,000 held-out images are kept (at 64 x 64 pixels 0.74 GB),
    spread evenly over each class.

    Args:
        reading: as `evnas.proxy.image_file.READING`.

    Raises:
        DataError: no such folder, no images in it, classes that differ between the splits, or
            an image that cannot be decoded.
    """
    found = proxy_images(root)
    train, colours = _decode_all(found.train, side, reading)
    held_out, held_out_colours = _decode_all(found.held_out, side, reading)
    return ImageArrays(
        name=f"folder {root}",
        train_images=train,
        train_labels=np.array([label for _, label in found.train]),
        held_out_images=held_out,
        held_out_labels=np.array([label for _, label in found.held_out]),
        classes=found.classes,
        note=f"{found}{about_colours(colours + held_out_colours, of=len(train) + len(held_out))}",
    )


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


def _decode_all(
    samples: Sequence[Sample], side: int, reading: int
) -> tuple[npt.NDArray[np.uint8], Counter[Colours]]:
    """(N, 3, side, side), and how many have a colour profile of each kind. The error names the
    first image that cannot be read, and how many."""
    # threads: Pillow decodes and resizes outside the interpreter lock
    out = np.empty((len(samples), 3, side, side), dtype=np.uint8)
    faults: list[DataError] = []
    colours: Counter[Colours] = Counter()
    with ThreadPoolExecutor() as pool:
        for i, found in enumerate(pool.map(lambda s: _decode(s[0], side, reading), samples)):
            if isinstance(found, DataError):
                faults.append(found)
            else:
                out[i] = np.asarray(found[0]).transpose(2, 0, 1)
                colours[found[1]] += 1
    if len(faults) > 1:
        raise DataError(f"{faults[0]}; {len(faults) - 1} more cannot be read") from faults[0]
    if faults:
        raise faults[0]
    return out, colours


def _decode(path: str, side: int, reading: int) -> tuple[Image.Image, Colours] | DataError:
    """One image's centre square, side x side, resized with antialiasing (bicubic)."""
    try:
        image = read_rgb(path, least_side=side, reading=reading)
    except DataError as e:
        return e
    return square(image, side), found_colours(image)


def square(image: Image.Image, side: int) -> Image.Image:
    """The square in an image's middle, resized with antialiasing (bicubic)."""
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    box = (left, top, left + edge, top + edge)
    return image.resize((side, side), Image.Resampling.BICUBIC, box=box)
