"""A connection that reads a study and needs no right to write, to its file nor to its folder."""

import contextlib
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path

from evnas.errors import StoreError
from evnas.store.faults import UNREADABLE, no_access
from evnas.store.schema import connect


def reader_of(path: Path, held: contextlib.ExitStack) -> sqlite3.Connection:
    """Open a study for reading.

    Args:
        held: holds what the connection needs, and lets go of it when it is closed.

    Raises:
        StoreError: it may not be read.
    """
    try:
        return _looked_into(connect(path, "ro"))
    except sqlite3.OperationalError as e:
        if not no_access(e):
            raise
        error = e
    try:
        return _as_it_lies(path, held)
    except (OSError, sqlite3.OperationalError) as e:
        raise StoreError(f"{path}: must be a file that can be read ({e})") from error


def _looked_into(db: sqlite3.Connection) -> sqlite3.Connection:
    """The connection, if it may read; what it reads is for others to judge."""
    try:
        db.execute("SELECT name FROM sqlite_schema LIMIT 1").fetchone()
    except UNREADABLE as e:
        if no_access(e):
            db.close()
            raise
    return db


def _as_it_lies(path: Path, held: contextlib.ExitStack) -> sqlite3.Connection:
    """Of a folder that cannot be written. What is in the log of a writer that was killed is read
    from a copy, which SQLite may write."""
    log = path.with_name(f"{path.name}-wal")
    if not log.exists() or not log.stat().st_size:
        return _looked_into(connect(path, "ro&immutable=1"))
    folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="evnas-")))
    return _looked_into(connect(_copied(path, log, folder), "rw"))


def _copied(path: Path, log: Path, folder: Path) -> Path:
    """A study and its log, copied while neither changed."""
    copy = folder / path.name
    for _ in range(10):
        before = _states(path, log)
        shutil.copyfile(path, copy)
        shutil.copyfile(log, folder / log.name)
        if _states(path, log) == before:
            return copy
        time.sleep(0.1)
    raise StoreError(
        f"{path}: is being written, and reading along needs a folder that can be written; whoever "
        f"may write it makes a copy with `evnas store backup {path.parent} FOLDER`"
    )


def _states(*paths: Path) -> list[tuple[int, int]]:
    found = [path.stat() for path in paths]
    return [(state.st_size, state.st_mtime_ns) for state in found]
