"""Held-out images, in one order for all models, so that their answers can be paired. No torch."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evnas.errors import SpecError
from evnas.proxy.colour_profile import Colours, about_colours, colours_in
from evnas.proxy.image_file import READING, applies_profiles
from evnas.train.data import FileSplit, ImageData, Item, Split, is_stream, open_dataset

LOOKED_INTO = 500
"""Files whose colour profiles are counted before anything is evaluated."""


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


def held_out_images(
    source: str | Path, *, most: int | None = None, reading: int = READING
) -> ImageData:
    """The held-out images that `--data` names, without training images.

    Args:
        source: as `evnas.train.data.open_dataset` takes it.
        most: about so many, evenly over their order; None takes all.
        reading: of files, as `evnas.proxy.image_file.READING`.

    Raises:
        DataError: they are not there.
        SpecError: some are wanted of a stream, whose images come in any order.
    """
    found = open_dataset(source, held_out_only=True, reading=reading)
    if isinstance(found.held_out, FileSplit):
        found = replace(found, note=f"{found.note}{_about_colours(found.held_out)}")
    if most is None:
        return found
    if is_stream(found.held_out):
        raise SpecError(f"--images needs images that can be picked, and {source} is a stream")
    some = evenly(found.held_out, most)
    note = f"{found.note}; {len(some)} of the held-out ones are taken"
    return replace(found, held_out=some, note=note)


def _about_colours(split: FileSplit) -> str:
    some = evenly(split, LOOKED_INTO)
    apply = applies_profiles(split.reading)
    files = (Path(some.name(i)) for i in range(len(some)))
    return about_colours(Counter(_colours_at(file, apply) for file in files), of=len(split))


def _colours_at(file: Path, apply: bool) -> Colours:
    try:
        return colours_in(file.read_bytes(), apply=apply)
    except OSError:  # whoever decodes it says so
        return Colours.SRGB


def evenly(split: Split, count: int) -> Split:
    """So many images spread evenly over a split's order; the split itself where it has no more."""
    if count >= len(split):
        return split
    return SomeOf(split, np.linspace(0, len(split) - 1, count).round().astype(int).tolist())
