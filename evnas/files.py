"""Paths as people give them (`~`, `${HOME}`, where a relative one is meant), files that are there
whole or not at all, and who holds the lock of one."""

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evnas.errors import SpecError, StoreError

_DRAFT = re.compile(r"\.\d+\..+")
"""What `whole` calls a file until it is written."""
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?%?")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet takes for the beginning of a formula, also within quotes."""


def expanded(path: str | Path) -> Path:
    """A path with `~` and every `${NAME}` replaced.

    Raises:
        SpecError: a variable is not set.
    """

    def value_of(found: re.Match[str]) -> str:
        name = found.group(1)
        if name not in os.environ:
            raise SpecError(f"{path}: must name variables that are set, {name} is not")
        return os.environ[name]

    return Path(os.path.expanduser(_VARIABLE.sub(value_of, str(path))))


def placed(path: str | Path, folder: Path) -> Path:
    """The same as an absolute path; a relative one lies in `folder`."""
    return Path(os.path.abspath(folder / expanded(path)))


def shown(path: str | Path) -> str:
    """A path for a message: from the working directory where it lies below, else whole."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else str(path)


def csv_cell(value: object) -> object:
    """A cell of a CSV file that no spreadsheet runs: a text that looks like a formula gets an
    apostrophe, numbers stay numbers."""
    if not isinstance(value, str) or not value.startswith(_FORMULA) or _NUMBER.fullmatch(value):
        return value
    return f"'{value}"


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that nobody ever sees half of it: beside its place, then moved there.

    Args:
        content: text, which becomes UTF-8, or bytes.

    Raises:
        SpecError: it is a folder, or would lie in none.
        StoreError: there is no room for it.
        OSError: the folder cannot be written.
    """
    raw = content.encode() if isinstance(content, str) else content
    with whole(path, needed=len(raw)) as draft, draft.open("wb") as file:
        file.write(raw)


@contextlib.contextmanager
def whole(path: Path, *, needed: int | None = None) -> Iterator[Path]:
    """A draft to be written, which becomes `path` when the block ends well. What is no plain file
    (a pipe, /dev/stdout) is written as it is.

    Args:
        needed: bytes that are going to be written, where that is known.

    Raises:
        SpecError: it is a folder, or would lie in none.
        StoreError: there is no room for it.
    """
    must_have_a_place(path)
    place = Path(os.path.realpath(path))  # a link stays one
    plain = place.is_file() or not place.exists()
    draft = place.with_name(f".{os.getpid()}.{place.name}") if plain else path  # as it ends
    try:
        yield draft
        if plain:
            _put_in_place(draft, place)
    except OSError as e:
        if e.errno in NO_ROOM:
            raise no_room(path, e, needed=needed) from e
        raise
    finally:
        if plain:
            draft.unlink(missing_ok=True)


def must_have_a_place(path: Path) -> None:
    """A file may be written at `path`, as far as folders tell: asked before long work, too.

    Raises:
        SpecError: it is a folder, or would lie in none.
    """
    place = Path(os.path.realpath(path))
    if place.is_dir():
        raise SpecError(f"{path}: must be a file to write, it is a folder; name a file in it")
    if not place.parent.is_dir():
        what = "is a file" if place.parent.exists() else "is not there; make it first"
        raise SpecError(f"{path}: must lie in a folder, {path.parent} {what}")


def make_folder_of(path: Path) -> None:
    """Make the folder that a file is going to lie in, where there is none.

    Raises:
        StoreError: it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise StoreError(f"{path.parent}: must be a folder that can be made ({e.strerror})") from e


def drafts_in(folder: Path) -> list[Path]:
    """Drafts that killed writers left behind, or that somebody else is writing just now."""
    return [path for path in folder.glob(".*") if _DRAFT.fullmatch(path.name)]


def _put_in_place(draft: Path, place: Path) -> None:
    with draft.open("rb") as file:
        os.fsync(file.fileno())  # after a power cut the name must not stand for nothing
    draft.replace(place)


@dataclass(frozen=True, slots=True)
class HeldLock:
    """A file lock of flock(2) that a process holds."""

    pid: int
    device: str
    """Of the file's filesystem, `fe:00`; some (btrfs, overlays) have another one in `stat`."""
    inode: int


def held_locks(locks: Path = Path("/proc/locks")) -> list[HeldLock]:
    """What the kernel lists, so that nobody has to take a lock to learn whether it is held; empty
    where it lists nothing (not Linux). Processes of other containers are not among them."""
    try:
        lines = locks.read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    # "1: FLOCK  ADVISORY  WRITE 2636 fe:00:1234 0 EOF"; one that waits has an arrow
    fields = [line.split() for line in lines if "->" not in line]
    found = [(int(f[4]), f[5].rpartition(":")) for f in fields if len(f) > 5 and f[1] == "FLOCK"]
    return [HeldLock(pid, device, int(inode)) for pid, (device, _, inode) in found]


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""A full disk, a quota that is used up, a limit on the size of files."""


NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
"""Another's file or folder, or a disk that is only read."""


def no_room(path: Path, error: OSError, *, needed: int | None) -> StoreError:
    """That a file finds no room, with the bytes that are free and those that it takes."""
    around = next(folder for folder in path.absolute().parents if folder.exists())
    free = shutil.disk_usage(around).free
    takes = "" if needed is None else f" and {needed:,} are needed"
    mend = "raise `ulimit -f`" if error.errno == errno.EFBIG else "make room"
    return StoreError(
        f"{path}: no room for it ({error.strerror}): {free:,} bytes are free{takes}; {mend}, and "
        "run the same command again"
    )
