"""All that can still be read of a study, line by line, and what cannot.

SQLite gives up a whole scan at the first page that it cannot read; asked for one line after
another it gives all the others. What it cannot reach any more is looked for in the pages.
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
from evnas.store.faults import UNREADABLE, DamagedStudy, as_sentences
from evnas.store.pages import rows_in_pages
from evnas.store.reader import reader_of
from evnas.store.schema import (
    COLUMNS,
    FLOATS,
    LINE,
    NOTED,
    TALLY,
    columns_as_made,
    columns_of,
    must_exist,
    note_of,
)

_GIVEN_UP = 2000
"""Ids that are looked for where nobody knows how many there were."""
_USUAL = ("schema_version", "sweep", "environment", "identity", TALLY, NOTED)
SHOWN = 20
"""So many of the faults that SQLite itself finds are named."""


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
    keys: set[str] = field(default_factory=set)
    """Of notes that the file names, whether or not they verify."""
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
    """Read whatever can be read: by SQLite, and page by page what that does not find.

    Raises:
        StoreError: there is no file, or it may not be read.
    """
    must_exist(path)
    found = Salvage(path)
    try:
        with as_sentences(path), contextlib.ExitStack() as held:
            db = held.enter_context(contextlib.closing(reader_of(path, held)))
            db.execute("PRAGMA schema_version").fetchone()  # whether it is a database
            found.verified = _has_checksums(db)
            _read_meta(db, found)
            _read_records(db, found)
            found.faults += _disorder(db)
            found.faults += _redefined(db) if found.verified else []
    except DamagedStudy as e:
        found.faults.append(e.what)
    _miss(found)
    if found.verified and not found.is_whole:
        _read_pages(found)
        _miss(found)
    return found


def _redefined(db: sqlite3.Connection) -> list[str]:
    """Tables whose definition is no longer the one that they were made with: asked for one line
    they may give it, and asked for all give others."""
    faults = []
    for table, columns in columns_as_made().items():
        try:
            there = columns_of(db, table)
        except UNREADABLE:
            there = []
        if there != columns and (there or table != "set_aside"):  # older studies lack that one
            faults.append(f"the table {table} is not defined as it was made")
    return faults


def _miss(found: Salvage) -> None:
    """Note what should be there and is not."""
    there = {line[0] for line in (*found.lines, *found.aside)}
    last = found.meta.get(TALLY)
    most = max(there, default=0) if last is None else last
    found.lost_records = [i for i in range(1, most + 1) if i not in there]
    expected = {*found.meta.get(NOTED, []), "sweep", "identity", "schema_version", *found.keys}
    expected |= {TALLY, NOTED} if found.verified else set()
    found.lost_notes = sorted(expected - set(found.meta))
    unknown = "how many records there were is not known: the last may be missing"
    if found.verified and last is None and unknown not in found.faults:
        found.faults.append(unknown)


def _read_pages(found: Salvage) -> None:
    """Take from the file's pages what verifies and was not found."""
    lines: dict[int, tuple[Any, ...]] = {}
    pairs: dict[str, set[str]] = {}
    for identity, columns in rows_in_pages(found.path):
        if identity is not None and len(columns) == len(COLUMNS) + 3:
            line = (identity, *map(_as_read, (*COLUMNS, "payload"), columns[1:-1]))
            if columns[-1] == checksum(line):
                lines[identity] = line
        elif len(columns) == 3 and columns[-1] == checksum(columns[:2]):
            key, text = map(str, columns[:2])
            pairs.setdefault(key, set()).add(text)
    for key, texts in pairs.items():
        if key == TALLY:  # old pages hold smaller ones
            found.meta.setdefault(key, max(map(json.loads, texts)))
        elif len(texts) == 1 and key not in found.archs and key in (*_USUAL, *found.lost_notes):
            found.meta.setdefault(key, json.loads(next(iter(texts))))
    there = {line[0] for line in (*found.lines, *found.aside)}
    for identity, line in sorted(lines.items()):
        if identity not in there and _has_one_arch(found, pairs, str(line[2])):
            found.lines.append(line)
    found.lines.sort(key=lambda line: int(line[0]))
    _keep_newest(found)


def _as_read(name: str, value: Any) -> Any:
    """A column as SQLite gives it back; in its pages a float without a fraction is an integer."""
    return float(value) if name in FLOATS and isinstance(value, int) else value


def _has_one_arch(found: Salvage, pairs: dict[str, set[str]], digest: str) -> bool:
    texts = pairs.get(digest, set())
    if digest not in found.archs and len(texts) == 1:
        found.archs[digest] = next(iter(texts))
    return digest in found.archs


def _keep_newest(found: Salvage) -> None:
    """Of records of one work all but the newest had been set aside."""
    newest = {line[1:4] + line[5:8]: line for line in found.lines}
    found.aside += [line for line in found.lines if newest[line[1:4] + line[5:8]] is not line]
    found.lines = list(newest.values())
    found.lines.sort(key=lambda line: int(line[0]))


def _has_checksums(db: sqlite3.Connection) -> bool:
    for table in ("records", "meta", "archs"):
        with contextlib.suppress(*UNREADABLE):
            db.execute(f"SELECT checksum FROM {table} LIMIT 0")
            return True
    return False


def _read_meta(db: sqlite3.Connection, found: Salvage) -> None:
    found.keys = {key for (key,) in _both_ways(db, "SELECT key FROM meta ORDER BY key")}
    found.keys = {key for key in found.keys if isinstance(key, str)}
    for key in (*_USUAL, *sorted(found.keys)):
        _read_note(db, found, key)
    for key in found.meta.get(NOTED, []):
        _read_note(db, found, key)


def _read_note(db: sqlite3.Connection, found: Salvage, key: str) -> None:
    if key in found.meta:
        return
    with contextlib.suppress(*UNREADABLE, StoreError):
        row = db.execute("SELECT * FROM meta WHERE key = ?", (key,)).fetchone()
        if row is not None:
            found.meta[key] = note_of(found.path, row)


def _read_records(db: sqlite3.Connection, found: Salvage) -> None:
    for identity in _ids(db, found.meta.get(TALLY)):
        line = _line(db, found, "records", identity)
        if line is not None:
            found.lines.append(line)
        elif found.verified:
            aside = _line(db, found, "set_aside", identity)
            found.aside += [] if aside is None else [aside]


def _ids(db: sqlite3.Connection, last: int | None) -> Iterator[int]:
    """Ids of records that were appended, or may have been where nobody knows how many."""
    if last is None:
        with contextlib.suppress(*UNREADABLE):
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
            f"SELECT {LINE}, {kept} FROM {table} WHERE id = ?", (identity,)
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
        with contextlib.suppress(*UNREADABLE):
            for row in db.execute(f"{query} {way}"):
                found.append(row)
    return found


def _disorder(db: sqlite3.Connection) -> list[str]:
    """What SQLite finds wrong with pages and indexes."""
    try:
        said = [row[0] for row in db.execute(f"PRAGMA integrity_check({SHOWN})")]
    except UNREADABLE as e:
        said = [str(e)]
    return [] if said == ["ok"] else [f"SQLite: {line}" for line in said]
