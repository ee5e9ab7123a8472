"""Which images a training is of: a fingerprint of the files, the same wherever the data is equal.

Of a folder, what counts is which images are used, their order, classes and splits, the path of
each below its class, its size, and the contents: of every file up to a gibibyte in all, of an even
sample that makes a gibibyte beyond; and whether its colours are converted, since that makes other
pixels of the same contents. Times of change are no part of it. They only spare reading everything
again: files whose size, inode and times are as noted are taken to be those noted.
"""

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from evnas.errors import DataError, nearest
from evnas.proxy import fashion
from evnas.proxy.colour_profile import Colours, about_colours, can_convert, colours_in
from evnas.proxy.folder import proxy_images, stored_side
from evnas.proxy.folder_survey import FolderSurvey, by_class
from evnas.proxy.image_file import READING, applies_profiles
from evnas.tables import DATASETS
from evnas.words import counted

MOST_BYTES = 2**30
"""Contents that are read: some seconds of a disk."""
SHOWN_CHANGES = 3
ADDED_SIDE = 56
"""Pixels, at which an added set is asked for its images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesOfClass:
    """One class's part."""

    training: int
    held_out: int
    fingerprint: str
    """16 hex digits."""
    converted: int = 0
    """Of those whose contents were read: so many have their colours converted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownImages:
    """The images of a study or a training. JSON through `to_dict` and `from_dict`."""

    fingerprint: str
    """16 hex digits."""
    classes: Mapping[str, ImagesOfClass] = field(default_factory=dict)
    """Of a folder."""
    about: str = ""
    """What was found and left out, in a sentence; "" of a named set."""
    sampled_every: int = 1
    """So many files stand behind each whose contents were read."""
    seen: str = ""
    """Of the files as this machine's disk has them."""
    reading: int = 1
    """How files come to be pixels, as `evnas.proxy.image_file.READING`; notes from before there
    were two say nothing."""
    training: int = 0
    """Training images; 0 where an earlier version noted the images of a named set."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "KnownImages":
        """The inverse of `to_dict`."""
        classes = {name: ImagesOfClass(**part) for name, part in data["classes"].items()}
        training = sum(part.training for part in classes.values())
        return cls(**{"training": training, **data, "classes": classes})

    def changes_since(self, before: "KnownImages") -> str:
        """What differs, in a few words; "" where nothing does."""
        if self.fingerprint == before.fingerprint:
            return ""
        mine, its = self.classes, before.classes
        if not (mine and its):
            return "their contents differ"
        changes = [f"class {name} is new" for name in mine if name not in its]
        changes += [f"class {name} is gone" for name in its if name not in mine]
        for name in mine:
            if name in its and mine[name] != its[name]:
                changes.append(_difference(name, mine[name], its[name]))
        more = len(changes) - SHOWN_CHANGES
        shown = "; ".join(changes[:SHOWN_CHANGES]) or "their classes are in another order"
        return f"{shown}; and {counted(more, 'more class', 'more classes')}" if more > 0 else shown

    @property
    def in_short(self) -> dict[str, Any]:
        """What a worker needs to see whether it has the same images."""
        return replace(self, classes={}, about="").to_dict()

    def cannot_tell(self, before: "KnownImages") -> str:
        """What is to be said where files were written again and only a sample was compared."""
        if self.sampled_every == 1 or self.seen == before.seen:
            return ""
        return (
            "files of the images were written again since the study knows them; names, sizes and "
            f"the contents of one in {self.sampled_every} are as they were; of the others that "
            "cannot be known"
        )


def known_images(
    source: str | Mapping[str, str], *, before: KnownImages | None = None
) -> KnownImages:
    """The images that a sweep's `proxy.data` names.

    Args:
        source: a name of `evnas.tables.DATASETS`, or `{"folder": PATH}`.
        before: what is known from an earlier run, by whose reading these are read too; spares
            reading files that are the same.

    Raises:
        DataError: they are not there, or there are several ways to understand the folder.
    """
    if isinstance(source, Mapping):
        return files_known(proxy_images(Path(source["folder"])), before=before)
    if source == "fashion-mnist":
        arrays = fashion.full_set(fashion.full_set_folders())
        parts = (arrays.train_images, arrays.train_labels, arrays.test_images, arrays.test_labels)
        return KnownImages(
            fingerprint=_digest(part.tobytes() for part in parts),
            training=len(arrays.train_images),
        )
    if source == "fashion-mnist-12k":
        return KnownImages(
            fingerprint=_digest([fashion.SHIPPED_FILE.read_bytes()]),
            training=len(fashion.shipped().train_images),
        )
    return _added_known(source)


def _added_known(name: str) -> KnownImages:
    """Of a set that a package or script added: what it gives is all there is to compare."""
    if name not in DATASETS:
        raise DataError(f"no data set is named {name!r}{nearest(name, DATASETS)}")
    added = DATASETS.get(name)(stored_side(ADDED_SIDE))
    parts = (added.train_images, added.train_labels, added.held_out_images, added.held_out_labels)
    return KnownImages(
        fingerprint=_digest(np.ascontiguousarray(part).tobytes() for part in parts),
        training=len(added.train_images),
    )


def reading_of(before: KnownImages | None) -> int:
    """How files come to be pixels in what goes on from there."""
    return READING if before is None else before.reading


def files_known(found: FolderSurvey, *, before: KnownImages | None = None) -> KnownImages:
    """The images of a survey, all of which are used; `before` as in `known_images`.

    Raises:
        DataError: a file cannot be read.
    """
    stats = {path: _status(path) for path, _ in (*found.train, *found.held_out)}
    lines = [
        f"{p}\0{s.st_size} {s.st_ino} {s.st_mtime_ns} {s.st_ctime_ns}".encode("utf8", "replace")
        for p, s in stats.items()
    ]
    seen = _digest(lines if can_convert() else [*lines, b"colours cannot be converted here"])
    if before is not None and before.seen == seen:
        return before
    every = max(1, -(-sum(s.st_size for s in stats.values()) // MOST_BYTES))
    read = [path for i, path in enumerate(stats) if i % every == 0]
    reading = reading_of(before)
    with ThreadPoolExecutor() as pool:
        each = pool.map(lambda path: _contents(path, applies_profiles(reading)), read)
        contents = dict(zip(read, each, strict=True))
    classes = _classes(found, {p: s.st_size for p, s in stats.items()}, contents)
    colours = Counter(each.colours for each in contents.values())
    parts = [b"read as 1"]  # as it always was: other readings show in the files they change
    parts += [f"{name}\0{part.fingerprint}".encode("utf8", "replace")
              for name, part in classes.items()]  # fmt: skip
    return KnownImages(
        fingerprint=_digest(parts),
        classes=classes,
        about=f"{found}{about_colours(colours, of=len(stats))}",
        sampled_every=every,
        seen=seen,
        reading=reading,
        training=len(found.train),
    )


def _classes(
    found: FolderSurvey, sizes: Mapping[str, int], contents: Mapping[str, "_Contents"]
) -> dict[str, ImagesOfClass]:
    files: dict[int, list[list[str]]] = {}
    for split, samples in enumerate((found.train, found.held_out)):
        for of_class in by_class(samples):
            files.setdefault(of_class[0][1], [[], []])[split] = [path for path, _ in of_class]

    def lines(splits: Sequence[Sequence[str]]) -> Iterator[bytes]:
        for split, paths in enumerate(splits):
            for path in paths:
                name = f"{split}\0{_below_class(path, found)}\0{sizes[path]}\0"
                known = contents[path].known if path in contents else b""
                yield name.encode("utf8", "surrogateescape") + known

    return {
        found.classes[label]: ImagesOfClass(
            training=len(splits[0]),
            held_out=len(splits[1]),
            fingerprint=_digest(lines(splits)),
            converted=sum(
                contents[p].converted for p in (*splits[0], *splits[1]) if p in contents
            ),
        )
        for label, splits in sorted(files.items())
    }


def _below_class(path: str, found: FolderSurvey) -> str:
    """The path below its class's folder, in the form that all systems spell it."""
    below_root = path[len(str(found.root)) :].strip(os.sep).replace(os.sep, "/")
    return unicodedata.normalize("NFC", below_root.split("/", 2 if found.has_splits else 1)[-1])


def _difference(name: str, now: ImagesOfClass, before: ImagesOfClass) -> str:
    counts = [
        f"{counted(after, f'{word} image')} in place of {earlier}"
        for word, after, earlier in (
            ("training", now.training, before.training),
            ("held-out", now.held_out, before.held_out),
            ("colour-converted", now.converted, before.converted),
        )
        if after != earlier
    ]
    return f"class {name} has {' and '.join(counts) or 'other files or other contents'}"


def _status(path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except OSError as e:
        raise DataError(f"{path} must be a file that can be read ({e.strerror})") from e


@dataclass(frozen=True, slots=True)
class _Contents:
    """Of one file."""

    digest: bytes
    colours: Colours

    @property
    def converted(self) -> bool:
        """Whether its pixels are not what the contents say without the profile."""
        return self.colours is Colours.CONVERTED

    @property
    def known(self) -> bytes:
        """What tells its pixels."""
        return self.digest + (b"converted" if self.converted else b"")


def _contents(path: str, applies: bool) -> _Contents:
    try:
        with open(path, "rb") as file:
            raw = file.read()
    except OSError as e:
        raise DataError(f"{path} must be a file that can be read ({e.strerror})") from e
    return _Contents(hashlib.sha256(raw).digest(), colours_in(raw, apply=applies))


def _digest(parts: Iterator[bytes] | Sequence[bytes]) -> str:
    """16 hex digits; of what lengths the parts are is part of it."""
    seen = hashlib.sha256()
    for part in parts:
        seen.update(len(part).to_bytes(8, "little"))
        seen.update(part)
    return seen.hexdigest()[:16]
