"""What SQLite says of a study, as one sentence with the way out."""

import contextlib
import errno
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from evnas.errors import StoreError

_NO_ACCESS = (
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_AUTH,
)
UNREADABLE = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What Python's module raises of a damaged file: SQLite's errors, and that it cannot tell them."""
_HELD = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_SPARE_BYTES = 64 * 1024
"""What SQLite writes around a record: its pages, the index, the log's frames."""


class StudyInUse(StoreError):
    """A study that another process writes."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}: another process is writing this study; wait or stop it")


class DamagedStudy(StoreError):
    """A study whose file does not hold what was written."""

    def __init__(self, path: Path, what: str) -> None:
        folder = path.parent
        super().__init__(
            f"{path}: damaged: {what}; `evnas store check {folder}` lists all that is, "
            f"`evnas store repair {folder}` keeps every record that verifies"
        )
        self.what = what


@contextlib.contextmanager
def as_sentences(path: Path, *, needed: int = 0) -> Iterator[None]:
    """SQLite's errors as a StoreError; one of our own making keeps its traceback.

    Args:
        path: of the study.
        needed: bytes that are being written; 0 where only reading goes on.
    """
    try:
        yield
    except sqlite3.ProgrammingError:
        raise  # ours: a closed file, a wrong statement
    except (sqlite3.Error, UnicodeDecodeError) as e:
        raise sentence(path, e, needed) from e


def no_access(error: Exception) -> bool:
    """Whether the folder or its rights are at fault, and not what the file holds."""
    return _kind(error) in _NO_ACCESS


def of_what_it_holds(error: Exception) -> bool:
    """Whether it is the file's content that is at fault: not rights, disk or other processes."""
    outside = (*_NO_ACCESS, *_HELD, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
    return _kind(error) not in outside


def full_disk(path: Path, needed: int) -> StoreError:
    """That there is no room, with the bytes that are there and those that it takes."""
    free = shutil.disk_usage(path.parent).free
    return StoreError(
        f"{path}: the disk is full: {free:,} bytes are free and about "
        f"{needed + _SPARE_BYTES:,} are needed; make room, and the same command goes on: nothing "
        "that was recorded is lost"
    )


def no_folder(path: Path, error: OSError | sqlite3.Error, *, needed: int = 0) -> StoreError:
    """That a study cannot be made or written where it is meant to be."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return full_disk(path, needed)
    if isinstance(error, sqlite3.Error) and not no_access(error):
        return sentence(path, error, max(needed, 1))
    return StoreError(f"{path.parent}: must be a writable folder ({error})")


def _kind(error: Exception) -> int:
    """SQLite's own number; 0 where Python's module complains."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def sentence(path: Path, error: Exception, needed: int = 0) -> StoreError:
    """One of SQLite's errors as a StoreError; `needed` as in `as_sentences`."""
    kind = _kind(error)
    if kind == sqlite3.SQLITE_FULL:
        return full_disk(path, needed)
    if kind in _NO_ACCESS:
        right = "written" if needed else "read"
        return StoreError(f"{path}: must be a file that can be {right} ({error})")
    if kind in _HELD:
        return StoreError(f"{path}: another process holds it ({error}); try again when it is done")
    if kind == sqlite3.SQLITE_IOERR:
        verb = "written" if needed else "read"
        return StoreError(
            f"{path}: the disk lets it not be {verb} ({error}); look at the disk, its quota and "
            "limits, then the same command goes on"
        )
    return DamagedStudy(path, f"SQLite says {error}")
