"""The tables of a study's file, how it is opened, and how an older one becomes today's.

Schema 1 had no checksums; it is read as it is, and becomes 2 when it is written, with a copy kept.
"""

import contextlib
import json
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evnas.errors import StoreError
from evnas.store.checksums import checksum
from evnas.store.faults import UNREADABLE, DamagedStudy, no_access, of_what_it_holds, sentence

SCHEMA_VERSION = 2

COLUMNS = ("label", "digest", "phase", "status", "seed", "budget", "target", "started", "seconds")
"""Of a record, those that have a column of their own; the rest is `payload`, JSON."""
LINE = ", ".join(("id", *COLUMNS, "payload"))
"""A record's line, as SQL has it."""
FLOATS = ("budget", "started", "seconds")
"""Of these columns, floats."""
TALLY = "tally"
"""The note of how many records were ever appended."""
NOTED = "noted"
"""The note of all other notes' keys."""

_TYPED_LINE = """
    label TEXT NOT NULL, digest TEXT NOT NULL, phase TEXT NOT NULL, status TEXT NOT NULL,
    seed INTEGER NOT NULL, budget REAL NOT NULL, target TEXT NOT NULL,
    started REAL NOT NULL, seconds REAL NOT NULL,
    payload TEXT NOT NULL"""
_SET_ASIDE = f"CREATE TABLE set_aside (id INTEGER PRIMARY KEY, {_TYPED_LINE}, checksum INTEGER);"
_SCHEMA = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER) WITHOUT ROWID;
CREATE TABLE archs (digest TEXT PRIMARY KEY, arch TEXT NOT NULL, checksum INTEGER) WITHOUT ROWID;
CREATE TABLE records (
    id INTEGER PRIMARY KEY, {_TYPED_LINE}, checksum INTEGER,
    UNIQUE (label, digest, phase, seed, budget, target)
);
{_SET_ASIDE}
"""


def write_empty(path: Path, meta: Mapping[str, object]) -> None:
    """A whole study without records; closed, so that no log of SQLite's lies beside it."""
    with contextlib.closing(connect(path, "rwc")) as db:
        db.executescript(_SCHEMA)
        db.execute("PRAGMA journal_mode=WAL")
        with db:
            write_meta(db, {**meta, TALLY: 0, NOTED: sorted(meta)})


def columns_of(db: sqlite3.Connection, table: str) -> list[tuple[Any, ...]]:
    """A table's columns as SQLite describes them; none where there is no such table."""
    return db.execute(f"PRAGMA table_info({table})").fetchall()


def columns_as_made() -> dict[str, list[tuple[Any, ...]]]:
    """The same of every table of a new study."""
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        db.executescript(_SCHEMA)
        return {
            table: columns_of(db, table) for table in ("meta", "archs", "records", "set_aside")
        }


def write_meta(db: sqlite3.Connection, meta: Mapping[str, object]) -> None:
    """Write notes with their checksums; the caller ends the transaction."""
    texts = [(key, json.dumps(value)) for key, value in meta.items()]
    db.executemany(
        "INSERT OR REPLACE INTO meta VALUES (?, ?, ?)",
        [(*pair, checksum(pair)) for pair in texts],
    )


def must_exist(path: Path) -> None:
    """A study's file is at `path`. Raises StoreError."""
    try:
        there = path.is_file()
    except OSError as e:  # a folder that we may not enter
        raise StoreError(f"{path}: must be a file that can be read ({e.strerror})") from e
    if not there and path.parent.is_file():
        folder = path.parent.parent
        mend = f"; give {folder}" if (folder / path.name).is_file() else ""
        raise StoreError(f"{path.parent}: must be a study's folder, it is a file{mend}")
    if not there:
        raise StoreError(f"{path}: no study is here; `evnas sweep` makes one")


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection in one of SQLite's modes, `ro`, `rw` or `rwc`."""
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    db = sqlite3.connect(uri, uri=True, timeout=30.0, check_same_thread=False)
    if not mode.startswith("ro"):
        try:
            # a record is durable when append returns: WAL's default loses the last on power loss
            db.execute("PRAGMA synchronous=FULL")
        except BaseException:
            db.close()
            raise
    return db


def opened(path: Path, mode: str) -> sqlite3.Connection:
    """A connection to a study of a schema that is known.

    Raises:
        sqlite3.OperationalError: it may not be opened.
        StoreError: it is no study, damaged, or a newer evnas wrote it.
    """
    try:
        db = connect(path, mode)
    except UNREADABLE as e:
        if no_access(e):
            raise  # the folder's fault, not the file's: whoever asked knows what to do
        raise _not_opened(path, e) from e
    try:
        version_of(db, path)
    except BaseException:
        db.close()
        raise
    return db


def version_of(db: sqlite3.Connection, path: Path) -> int:
    """The schema that a study has by now. Raises as `opened`."""
    try:
        row = db.execute("SELECT * FROM meta WHERE key = 'schema_version'").fetchone()
    except UNREADABLE as e:
        if no_access(e):
            raise  # the folder's fault, not the file's: whoever asked knows what to do
        raise _not_opened(path, e) from e
    version = None if row is None else note_of(path, row)
    if not isinstance(version, int) or version < 1 or (version == 1) != (len(row) == 2):
        raise DamagedStudy(path, "its schema's version is not there")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path}: written with schema {version}, by a newer evnas than this one, which reads "
            f"up to {SCHEMA_VERSION}: update this one"
        )
    return version


def _not_opened(path: Path, error: Exception) -> StoreError:
    if not of_what_it_holds(error):
        return sentence(path, error)
    return StoreError(
        f"{path}: not a study of evnas, or damaged ({error}); where it was one, `evnas store "
        f"repair {path.parent}` keeps what can be read"
    )


def note_of(path: Path, row: tuple[Any, ...]) -> Any:
    """The value of a line of `meta`, which has a checksum from schema 2 on.

    Raises:
        DamagedStudy: it is not what was written.
    """
    key, text, *kept = row
    if kept and kept[0] != checksum((key, text)):
        raise DamagedStudy(path, f"the note {key!r} is not what was written")
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError) as e:
        raise DamagedStudy(path, f"the note {key!r} cannot be read ({e})") from e


def migrate(db: sqlite3.Connection, path: Path) -> Path | None:
    """Make an older study today's, in place.

    Returns:
        The copy that is kept of it as it was; None where it is today's already.

    Raises:
        DamagedStudy: it does not hold what it should.
    """
    version = version_of(db, path)
    if version == SCHEMA_VERSION:
        return None
    copy = path.with_name(f"{path.stem}.schema{version}.db")
    copy_to(db, copy)
    db.create_function("line_checksum", -1, lambda *values: checksum(values), deterministic=True)
    with db:
        db.execute("BEGIN IMMEDIATE")
        last = _must_be_whole(db, path)
        for table in ("meta", "archs", "records"):
            db.execute(f"ALTER TABLE {table} ADD COLUMN checksum INTEGER")
        db.execute(_SET_ASIDE)
        db.execute("UPDATE archs SET checksum = line_checksum(digest, arch)")
        lines = ", ".join(("id", *COLUMNS, "payload"))
        db.execute(f"UPDATE records SET checksum = line_checksum({lines})")
        keys = [key for (key,) in db.execute("SELECT key FROM meta ORDER BY key")]
        db.execute("UPDATE meta SET checksum = line_checksum(key, value)")
        write_meta(db, {"schema_version": SCHEMA_VERSION, TALLY: last, NOTED: keys})
    return copy


def copy_to(db: sqlite3.Connection, path: Path) -> None:
    """A whole copy of what a connection sees, its log included; named when it is whole."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    try:
        with contextlib.closing(sqlite3.connect(draft)) as copy:
            db.backup(copy)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _must_be_whole(db: sqlite3.Connection, path: Path) -> int:
    """Of a study without checksums, what can be checked: every id is there, and all JSON is. Gives
    the last id."""
    last = 0
    found = db.execute(
        "SELECT id, payload, arch FROM records LEFT JOIN archs USING (digest) ORDER BY id"
    )
    for identity, payload, arch in found:
        if identity != last + 1:
            raise DamagedStudy(path, f"records {last + 1} to {identity - 1} are missing")
        last = identity
        if arch is None:
            raise DamagedStudy(path, f"the architecture of record {identity} is missing")
        try:
            json.loads(payload), json.loads(arch)
        except (ValueError, TypeError, RecursionError) as e:
            raise DamagedStudy(path, f"record {identity} cannot be read ({e})") from e
    for row in db.execute("SELECT key, value FROM meta").fetchall():
        note_of(path, row)
    return last
