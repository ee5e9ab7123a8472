"""What a folder of images holds: splits, classes, files, and what is left out of it. No pixels.

`train/` beside `val/` (or `test/`) is the split, under any of their usual names; a folder of
classes alone is split here. A class is a folder, with all images in and below it.
"""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evnas.errors import DataError
from evnas.words import counted

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
TRAIN_NAMES = ("train", "training")
HELD_OUT_NAMES = (("val", "valid", "validation"), ("test", "testing"))
"""In order of preference; in any case of letters, as the training's."""
HELD_OUT_EVERY = 6
"""Without a split of its own, every sixth image of a class is held out."""
_SYSTEMS_OWN = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found")
"""Folders that systems leave behind, beside those whose name begins with a dot."""
SHOWN_CLASSES = 10

Sample = tuple[str, int]
"""A file's path (text: of a million, `Path`s take seconds) and the number of its class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSurvey:
    """Two splits of one folder, each by class and then by path: the same on every machine."""

    root: Path
    train: Sequence[Sample]
    held_out: Sequence[Sample]
    classes: tuple[str, ...]
    split: str
    """How the two came about: `train/ and val/`, or the rule."""
    has_splits: bool
    """Whether classes lie below a folder of their split, or right in the root."""
    left_out: tuple[str, ...] = ()
    """What lies there and is not read, as short phrases."""
    of: tuple[int, int] | None = None
    """Training and held-out images that there are, where only some are used."""

    def __str__(self) -> str:
        """One sentence, for whoever starts a training."""
        names = ", ".join(self.classes[:SHOWN_CLASSES])
        more = len(self.classes) - SHOWN_CLASSES
        names += f" and {more} more" if more > 0 else ""
        used = (len(self.train), len(self.held_out))
        train, held_out = (
            f"{n} of {there}" if n < there else f"{n}"
            for n, there in zip(used, self.of or used, strict=True)
        )
        found = (
            f"{self.root}: {train} training and {held_out} held-out images ({self.split}) of "
            f"{len(self.classes)} classes: {names}"
        )
        return f"{found}; left out: {', '.join(self.left_out)}" if self.left_out else found


@dataclass(slots=True)
class _Passed:
    """What was seen on the way and is not read."""

    folders: list[str] = field(default_factory=list)
    hidden: int = 0
    loops: int = 0
    stray: int = 0
    """Images beside class folders."""
    other: Counter[str] = field(default_factory=Counter)
    """Files of other kinds, by suffix."""

    def phrases(self) -> tuple[str, ...]:
        kinds = ", ".join(sorted(self.other))
        passed = (
            (self.hidden, "hidden file or folder", "hidden files and folders"),
            (self.loops, "link to a folder around it", "links to folders around them"),
            (self.stray, "image in no class's folder", "images in no class's folder"),
            (self.other.total(), f"file of another kind ({kinds})",
             f"files of other kinds ({kinds})"),
        )  # fmt: skip
        found = [f"{name}/" for name in self.folders]
        found += [counted(n, one, several) for n, one, several in passed if n]
        return tuple(found)


def survey(root: Path, *, may_split: bool = True) -> FolderSurvey:
    """Find splits, classes and images. Links are followed; hidden files and folders are not read.

    Args:
        may_split: hold images out where the folder has no split of its own.

    Raises:
        DataError: no such folder, no images in it, or several ways to understand it.
    """
    if not root.is_dir():
        raise DataError(f"data folder {root} must be a folder of images, there is none; make it "
                        "or use fashion-mnist-12k")  # fmt: skip
    root = Path(os.path.abspath(root))
    passed = _Passed()
    folders = [entry.name for entry in _entries(root, _Passed()) if entry.is_dir()]
    train_name, held_out_name = _split_names(root, folders)
    if train_name and held_out_name:
        passed.folders += [n for n in folders if n not in (train_name, held_out_name)]
        _pass_files(root, passed)
        train, classes = _samples(root / train_name, passed)
        held_out, held_out_classes = _samples(root / held_out_name, passed)
        _must_be_the_same(root, (train_name, classes), (held_out_name, held_out_classes))
        split = f"{train_name}/ and {held_out_name}/"
    elif may_split:
        samples, classes = _samples(root, passed)
        train, held_out = _split_off(samples)
        split = f"every {HELD_OUT_EVERY}th of a class is held out"
    else:
        raise DataError(f"{root} must hold train/ and val/, folders with a subfolder of images a "
                        f"class; it holds {_listed(folders)}")  # fmt: skip
    return FolderSurvey(
        root=root,
        train=train,
        held_out=held_out,
        classes=classes,
        split=split,
        has_splits=bool(train_name),
        left_out=passed.phrases(),
    )


def survey_held_out(root: Path) -> FolderSurvey:
    """The held-out images of a folder alone: of its `val/` or `test/`, else all that it holds.

    Returns:
        A survey without training images.

    Raises:
        DataError: as `survey` does.
    """
    if not root.is_dir():
        raise DataError(f"data folder {root} must be a folder of images, there is none")
    root = Path(os.path.abspath(root))
    passed = _Passed()
    folders = [entry.name for entry in _entries(root, _Passed()) if entry.is_dir()]
    name = next(filter(None, (_one_of(root, folders, n) for n in HELD_OUT_NAMES)), "")
    if not (name and _holds_folders(root / name)):
        name = ""
    samples, classes = _samples(root / name, passed)
    return FolderSurvey(
        root=root,
        train=(),
        held_out=samples,
        classes=classes,
        split=f"{name}/" if name else "all are held out",
        has_splits=bool(name),
        left_out=passed.phrases(),
    )


def _listed(folders: Sequence[str]) -> str:
    shown = ", ".join(f"{name}/" for name in folders[:3])
    return shown + (", ..." if len(folders) > 3 else "") if folders else "no folder"


def _split_names(root: Path, folders: Sequence[str]) -> tuple[str, str]:
    """The names of the training's and the held-out folder; two empty ones where there are none."""
    train = _one_of(root, folders, TRAIN_NAMES)
    held_out = next(filter(None, (_one_of(root, folders, n) for n in HELD_OUT_NAMES)), "")
    if train and held_out:
        return train, held_out
    alone = train or held_out
    if not alone or not _holds_folders(root / alone):
        return "", ""  # a class may be called train: its images lie right in it
    missing = "val/ or test/" if train else "train/"
    raise DataError(f"{root} holds {alone}/ and must hold {missing} beside it; add one")


def _one_of(root: Path, folders: Sequence[str], names: Sequence[str]) -> str:
    found = [name for name in folders if name.lower() in names]
    if len(found) > 1:
        several = " and ".join(f"{name}/" for name in found)
        raise DataError(
            f"{root} must hold one split of a kind, it holds {several}; take one of them away"
        )
    return found[0] if found else ""


def _holds_folders(folder: Path) -> bool:
    return any(entry.is_dir() for entry in _entries(folder, _Passed()))


def _must_be_the_same(
    root: Path, train: tuple[str, Sequence[str]], held_out: tuple[str, Sequence[str]]
) -> None:
    (train_name, classes), (held_out_name, held_out_classes) = train, held_out
    if held_out_classes != classes:
        differ = sorted(set(classes) ^ set(held_out_classes))
        raise DataError(
            f"{root / held_out_name} must hold the classes of {root / train_name}, they differ in "
            f"{', '.join(differ[:3])}; add the missing folders or take away the others"
        )


def _samples(root: Path, passed: _Passed) -> tuple[list[Sample], tuple[str, ...]]:
    """Files with labels, by class and then by path."""
    names = sorted(entry.name for entry in _entries(root, _Passed()) if entry.is_dir())
    _pass_files(root, passed)
    if len(names) < 2:
        lies = f", and {counted(passed.stray, 'image')} in none" if passed.stray else ""
        raise DataError(
            f"{root} must hold a subfolder for each of at least two classes, got {len(names)}"
            f"{lies}{_wrapped(root, names)}"
        )
    samples: list[Sample] = []
    for label, name in enumerate(names):
        _must_be_a_class(root / name)
        before = passed.other.copy()
        files = list(_images(root / name, passed, above=()))
        if not files:
            others = ", ".join(sorted(passed.other - before))
            holds = f"only files of other kinds ({others})" if others else "none"
            raise DataError(f"{root / name} must hold images (.jpg, .png, ...), it holds {holds}")
        samples += [(file, label) for file in files]
    classes = tuple(unicodedata.normalize("NFC", name) for name in names)
    if len(set(classes)) < len(classes):
        raise DataError(f"{root} must name its classes differently, two look the same; rename one")
    return samples, classes


def _wrapped(root: Path, names: Sequence[str]) -> str:
    """A hint where the one folder is the data set itself, as archives unpack."""
    if len(names) != 1:
        return ""
    inside = [e.name for e in _entries(root / names[0], _Passed()) if e.is_dir()]
    return f"; name {root / names[0]}, which holds {_listed(inside)}" if len(inside) > 1 else ""


def _must_be_a_class(folder: Path) -> None:
    inside = [e.name.lower() for e in _entries(folder, _Passed()) if e.is_dir()]
    held_out = {name for names in HELD_OUT_NAMES for name in names}
    if set(inside) & set(TRAIN_NAMES) and set(inside) & held_out:
        raise DataError(
            f"{folder} must hold the images of one class, it holds splits ({_listed(inside)}); "
            "splits hold the classes: train/CLASS/ and val/CLASS/"
        )


def _pass_files(root: Path, passed: _Passed) -> None:
    """Note what lies beside folders that are read."""
    for entry in _entries(root, passed):
        if not entry.is_dir():
            if _is_named_an_image(entry.name):
                passed.stray += 1
            else:
                passed.other[_suffix(entry.name)] += 1


def _images(
    folder: Path | str, passed: _Passed, *, above: Sequence[tuple[int, int]]
) -> Iterator[str]:
    """Paths of the images in and below a folder, ordered by each part of their paths.

    Args:
        above: device and inode of the folders around it; a link to one of them is not followed.
    """
    status = os.stat(folder)
    here = (status.st_dev, status.st_ino)
    if here in above:
        passed.loops += 1
        return
    for entry in _entries(folder, passed):
        if entry.is_dir():
            yield from _images(entry.path, passed, above=(*above, here))
        elif not _is_named_an_image(entry.name):
            passed.other[_suffix(entry.name)] += 1
        elif entry.is_file():
            yield entry.path
        else:
            raise DataError(f"{entry.path} must be an image, it is a link to nothing; remove it")


def _entries(folder: Path | str, passed: _Passed) -> list[os.DirEntry[str]]:
    """What a folder shows, by name; what is hidden is counted."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as e:
        raise DataError(f"{folder} must be a folder that can be read ({e.strerror})") from e
    shown = [e for e in entries if not e.name.startswith(".") and e.name not in _SYSTEMS_OWN]
    passed.hidden += len(entries) - len(shown)
    return shown


def _is_named_an_image(name: str) -> bool:
    return _suffix(name) in IMAGE_SUFFIXES


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower() or "without suffix"


def by_class(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    """The samples of each class, which lie together."""
    start = 0
    for i in range(1, len(samples) + 1):
        if i == len(samples) or samples[i][1] != samples[start][1]:
            yield list(samples[start:i])
            start = i


def _split_off(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    train: list[Sample] = []
    held_out: list[Sample] = []
    for of_class in by_class(samples):
        if len(of_class) < HELD_OUT_EVERY:
            folder = os.path.dirname(of_class[0][0])
            raise DataError(
                f"{folder} must hold at least {HELD_OUT_EVERY} images to hold some out, it holds "
                f"{len(of_class)}; add images, or split into train/ and val/"
            )
        held_out += of_class[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]
        train += [s for i, s in enumerate(of_class, start=1) if i % HELD_OUT_EVERY]
    return train, held_out
