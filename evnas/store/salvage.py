"""All that can still be read of a study, line by line, and what cannot.

SQLite gives up a whole scan at the first page that it cannot read; asked for one line after
another it gives all the others.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evnas.errors import StoreError
from evnas.store.checksums import checksum
from evnas.store.faults import as_sentences
from evnas.store.reader import reader_of
from evnas.store.schema import COLUMNS, NOTED, TALLY, must_exist, note_of

_LINE = ", ".join(("id", *COLUMNS, "payload"))
_GIVEN_UP = 2000
"""Ids in a row that are not there, after which none is looked for where nobody knows how many
there were."""
_USUAL = ("schema_version", "sweep", "environment", "identity", TALLY, NOTED)
SHOWN = 20
"""Faults of SQLite's own that are told."""


@dataclass(slots=True)
class Salvage:
    """What a study's file still holds, and what it should hold and does not."""

    path: Path
    meta: dict[str, Any] = field(default_factory=dict)
    archs: dict[str, str] = field(default_factory=dict)
    """Digest -> the architecture's JSON."""
    lines: list[tuple[Any, ...]] = field(default_factory=list)
    """Records as they are kept, without their checksums: id, columns, payload."""
    aside: list[tuple[Any, ...]] = field(default_factory=list)
    """The same of those that were set aside."""
    lost_records: list[int] = field(default_factory=list)
    lost_notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """What else is wrong, a sentence each."""
    verified: bool = True
    """Whether its lines have checksums."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing, changed or in disorder."""
        return not (self.lost_records or self.lost_notes or self.faults)

    def findings(self) -> list[str]:
        """A sentence for each thing that is wrong."""
        gone = [f"record {i} is missing or not what was written" for i in self.lost_records]
        notes = [f"the note {key!r} is missing or not what was written" for key in self.lost_notes]
        return [*gone, *notes, *self.faults]


def salvage(path: Path) -> Salvage:
    """Read whatever can be read.

    Raises:
        StoreError: there is no file, it may not be read, or it is no database at all.
    """
    must_exist(path)
    found = Salvage(path)
    with as_sentences(path), contextlib.ExitStack() as held:
        db = held.enter_context(contextlib.closing(reader_of(path, held)))
        db.execute("PRAGMA schema_version").fetchone()  # whether it is a database
        found.verified = _has_checksums(db)
        _read_meta(db, found)
        _read_records(db, found)
        found.faults += _disorder(db)
    return found


def _has_checksums(db: sqlite3.Connection) -> bool:
    for table in ("records", "meta", "archs"):
        with contextlib.suppress(sqlite3.DatabaseError):
            db.execute(f"SELECT checksum FROM {table} LIMIT 0")
            return True
    return False


def _read_meta(db: sqlite3.Connection, found: Salvage) -> None:
    keys = {key for (key,) in _both_ways(db, "SELECT key FROM meta ORDER BY key")}
    for key in (*_USUAL, *sorted(keys)):
        _read_note(db, found, key)
    for key in found.meta.get(NOTED, []):
        _read_note(db, found, key)
    expected = {*found.meta.get(NOTED, []), *(keys if found.verified else ())}
    expected |= {"sweep", "identity", "schema_version"} | ({TALLY} if found.verified else set())
    found.lost_notes = sorted(key for key in expected - set(found.meta) if isinstance(key, str))


def _read_note(db: sqlite3.Connection, found: Salvage, key: str) -> None:
    if key in found.meta:
        return
    with contextlib.suppress(sqlite3.DatabaseError, StoreError):
        row = db.execute("SELECT * FROM meta WHERE key = ?", (key,)).fetchone()
        if row is not None:
            found.meta[key] = note_of(found.path, row)


def _read_records(db: sqlite3.Connection, found: Salvage) -> None:
    last = found.meta.get(TALLY)
    missing: list[int] = []
    for identity in _ids(db, last):
        line = _line(db, found, "records", identity)
        if line is not None:
            found.lines.append(line)
            found.lost_records += missing
            missing = []
            continue
        aside = _line(db, found, "set_aside", identity) if found.verified else None
        if aside is not None:
            found.aside.append(aside)
        else:
            missing.append(identity)
    if last is not None:
        found.lost_records += missing
    elif found.verified:
        found.faults.append("how many records there were is not known: the last may be missing")


def _ids(db: sqlite3.Connection, last: int | None) -> Iterator[int]:
    """Ids of records that were appended; where nobody knows how many, until none comes any more.

    What is yielded and not there is no record that was lost, unless one comes after it.
    """
    if last is None:
        with contextlib.suppress(sqlite3.DatabaseError):
            (most,) = db.execute("SELECT MAX(id) FROM records").fetchone()
            last = most if isinstance(most, int) else None
    yield from range(1, (_GIVEN_UP if last is None else last) + 1)


def _line(
    db: sqlite3.Connection, found: Salvage, table: str, identity: int
) -> tuple[Any, ...] | None:
    """A record with an architecture that verifies; None where either does not."""
    kept = "checksum" if found.verified else "NULL"
    try:
        row = db.execute(
            f"SELECT {_LINE}, {kept} FROM {table} WHERE id = ?", (identity,)
        ).fetchone()
        if row is None:
            return None
        *line, written = row
        if found.verified and written != checksum(line):
            return None
        if not isinstance(json.loads(line[-1]), dict) or not _has_arch(db, found, line[2]):
            return None
    except (sqlite3.DatabaseError, ValueError, TypeError, RecursionError):
        return None
    return tuple(line)


def _has_arch(db: sqlite3.Connection, found: Salvage, digest: str) -> bool:
    if digest in found.archs:
        return True
    row = db.execute("SELECT * FROM archs WHERE digest = ?", (digest,)).fetchone()
    if row is None or (found.verified and row[2] != checksum(row[:2])):
        return False
    json.loads(row[1])
    found.archs[digest] = row[1]
    return True


def _both_ways(db: sqlite3.Connection, query: str) -> list[tuple[Any, ...]]:
    """Rows from the beginning and from the end, each up to what cannot be read."""
    found: list[tuple[Any, ...]] = []
    for way in ("ASC", "DESC"):
        with contextlib.suppress(sqlite3.DatabaseError):
            for row in db.execute(f"{query} {way}"):
                found.append(row)
    return found


def _disorder(db: sqlite3.Connection) -> list[str]:
    """What SQLite finds wrong with pages and indexes."""
    try:
        said = [row[0] for row in db.execute(f"PRAGMA integrity_check({SHOWN})")]
    except sqlite3.DatabaseError as e:
        said = [str(e)]
    return [] if said == ["ok"] else [f"SQLite: {line}" for line in said]
