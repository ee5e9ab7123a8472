"""The study store: one SQLite file a study, append-only, one writer, many readers.

It is the only state of a sweep. Strategies and reports are functions of its records. What is read
of it has been verified: a line that is not what was written, or not there, is a StoreError.
"""

import contextlib
import fcntl
import json
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TextIO

from pydantic_core import from_json

from evnas.errors import StoreError
from evnas.record import Outline, Record, Status, must_be_an_end
from evnas.store.checksums import checksum
from evnas.store.faults import UNREADABLE, DamagedStudy, StudyInUse, as_sentences, no_folder
from evnas.store.reader import reader_of
from evnas.store.schema import (
    COLUMNS,
    FLOATS,
    LINE,
    NOTED,
    SCHEMA_VERSION,
    TALLY,
    connect,
    copy_to,
    migrate,
    must_exist,
    note_of,
    opened,
    version_of,
    write_empty,
    write_meta,
)

UNDER_WAY = 1000
"""So many architectures are kept while records are read: those of one trial stand together, but
for what other workers did between them."""
RETRIES = "retries"
"""The note of when which records were set aside."""


class Store:
    """A study on disk. Open with `create`, `append_to` (the one writer) or `read`."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        lock: TextIO | None,
        *,
        held: contextlib.ExitStack | None = None,
    ) -> None:
        self.path = path
        self._db = connection
        self._lock = lock
        self._held = held
        """What a reader's connection needs."""

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        sweep: Mapping[str, Any],
        environment: Mapping[str, Any],
        identity: Mapping[str, Any] | None = None,
    ) -> Self:
        """A new, empty study that says what it is of. Refuses to overwrite one.

        It is written beside its place and moved there whole: a study is there, or it is not.
        """
        if path.exists():
            raise StoreError(f"{path}: a study is here already; open it, or pass --fresh")
        meta = {
            "schema_version": SCHEMA_VERSION,
            "sweep": sweep,
            "environment": environment,
            "identity": identity or {},
        }
        unborn = path.with_suffix(".unborn")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with writer_lock(path) as keep:
                unborn.unlink(missing_ok=True)
                write_empty(unborn, meta)
                forget_log(path)
                unborn.rename(path)
                return cls(path, connect(path, "rw"), keep())
        except (OSError, sqlite3.OperationalError) as e:
            raise no_folder(path, e) from e

    @classmethod
    def append_to(cls, path: Path) -> Self:
        """The writer of an existing study; a second one is refused.

        A study of an older schema becomes today's; how it was stays beside it.
        """
        must_exist(path)
        try:
            with writer_lock(path) as keep:
                db = opened(path, "rw")
                try:
                    with as_sentences(path, needed=path.stat().st_size):
                        migrate(db, path)
                except BaseException:
                    db.close()
                    raise
                return cls(path, db, keep())
        except (OSError, sqlite3.OperationalError) as e:
            raise no_folder(path, e) from e

    @classmethod
    def read(cls, path: Path) -> Self:
        """A reader, which never blocks the writer; folder and file may be read-only."""
        must_exist(path)
        with contextlib.ExitStack() as held:
            db = reader_of(path, held)
            held.callback(db.close)
            try:
                version_of(db, path)
            except sqlite3.OperationalError as e:
                raise StoreError(f"{path}: must be a file that can be read ({e})") from e
            return cls(path, db, None, held=held.pop_all())

    def append(self, record: Record) -> int:
        """Add a record, durably, and return its id; the same work twice is refused."""
        return self.append_all([record])

    def append_all(self, records: Sequence[Record]) -> int:
        """Add records, all of them or none, and return the last one's id."""
        lines = [_line_of(record) for record in records]
        needed = sum(len(line[-1]) + len(arch[-1]) for line, arch in lines)
        with as_sentences(self.path, needed=needed), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            last = int(self.meta(TALLY))
            for record, (line, arch) in zip(records, lines, strict=True):
                last += 1
                try:
                    self._insert((last, *line), arch)
                except sqlite3.IntegrityError as e:
                    if e.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_UNIQUE:
                        raise
                    raise StoreError(f"{self.path}: {record.key} is recorded already") from e
            write_meta(self._db, {TALLY: last})
        return last

    def _insert(self, line: tuple[Any, ...], arch: tuple[str, str]) -> None:
        self._db.execute("INSERT OR IGNORE INTO archs VALUES (?, ?, ?)", (*arch, checksum(arch)))
        self._db.execute(
            f"INSERT INTO records ({LINE}, checksum) VALUES ({', '.join('?' * (len(line) + 1))})",
            (*line, checksum(line)),
        )

    def records(self, after: int = 0) -> Iterator[tuple[int, Record]]:
        """(id, record) in the order they were appended, those with an id over `after`.

        Raises:
            StoreError: the file is damaged.
        """
        text, arch = "", None  # a trial's records stand together and share their architecture
        for row in self.rows(after):
            record = self.record_of(row, arch if row[-1] == text else None)
            text, arch = row[-1], record.arch
            yield row[0], record

    def record_of(self, row: tuple[Any, ...], arch: Mapping[str, Any] | None = None) -> Record:
        """The record that one of `rows` is.

        Args:
            arch: its architecture where that is read already.
        """
        identity, *columns, payload, text = row
        try:
            raw = dict(zip(COLUMNS, columns, strict=True))
            raw |= loaded(payload)
            raw["arch"] = loaded(text) if arch is None else arch
            return Record.from_dict(raw)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
            raise self._unread(identity, e) from e

    def outlines(self, of: Callable[[str], bool]) -> Iterator[Outline]:
        """All records, in short, of labels that `of` takes; of all, every line is verified.

        Raises:
            StoreError: the file is damaged.
        """
        for row in self.rows():
            if of(row[1]):
                try:
                    yield _outlined(row)
                except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
                    raise self._unread(row[0], e) from e

    def _unread(self, identity: int, error: Exception) -> DamagedStudy:
        return self.damaged(f"record {identity} cannot be read ({error!r:.200})")

    def rows(self, after: int = 0) -> Iterator[tuple[Any, ...]]:
        """The same as they are kept, for a reader that needs little of each: id, label, digest,
        phase, status, seed, budget, target, started, seconds, and as JSON text the rest of the
        record and its architecture.

        Raises:
            StoreError: the file is damaged.
        """
        with as_sentences(self.path):
            checked = version_of(self._db, self.path) > 1
            there = int(self.meta(TALLY)) if checked else 0  # before the rows: they only grow
            found = self._db.execute(
                f"SELECT {LINE}, {'checksum' if checked else 'NULL'} FROM records WHERE id > ? "
                "ORDER BY id",
                (after,),
            )
            archs: dict[str, str] = {}
            expected = after + 1
            for row in found:
                line, digest = row[:-1], row[2]
                if checked:
                    if row[-1] != checksum(line):
                        raise self.damaged(f"record {row[0]} is not what was written")
                    if row[0] != expected:
                        self._must_be_set_aside(expected, row[0])
                    expected = row[0] + 1
                arch = archs.get(digest)
                if arch is None:
                    if len(archs) >= UNDER_WAY:
                        archs.clear()
                    arch = archs[digest] = self._arch(digest, row[0], checked=checked)
                yield (*line, arch)
            if expected <= there:
                self._must_be_set_aside(expected, there + 1)

    def _arch(self, digest: str, identity: int, *, checked: bool) -> str:
        """The JSON of a record's architecture, verified."""
        found = self._db.execute(
            f"SELECT arch, {'checksum' if checked else 'NULL'} FROM archs WHERE digest = ?",
            (digest,),
        ).fetchone()
        if found is None or (checked and found[1] != checksum((digest, found[0]))):
            raise self.damaged(f"the architecture of record {identity} is not there")
        arch: str = found[0]
        return arch

    def count(self) -> int:
        """How many records there are."""
        with as_sentences(self.path):
            (count,) = self._db.execute("SELECT COUNT(*) FROM records").fetchone()
            return int(count)

    def last_id(self) -> int:
        """The id of the newest record, 0 when there is none. Cheap: readers poll it.

        Raises:
            StoreError: the newest record is missing.
        """
        with as_sentences(self.path):
            checked = version_of(self._db, self.path) > 1
            there = int(self.meta(TALLY)) if checked else 0
            (last,) = self._db.execute("SELECT COALESCE(MAX(id), 0) FROM records").fetchone()
            if last < there:
                self._must_be_set_aside(last + 1, there + 1)
            return int(last)

    def _must_be_set_aside(self, first: int, end: int) -> None:
        """Records that are not there were taken away on purpose."""
        away = "SELECT id FROM set_aside WHERE id BETWEEN ? AND ?"
        found = {identity for (identity,) in self._db.execute(away, (first, end - 1))}
        missing = [identity for identity in range(first, end) if identity not in found]
        if missing:
            raise self.damaged(f"{_numbers(missing)} missing")

    def set_aside(self, statuses: Collection[Status]) -> int:
        """Take records that ended so out of the study, to be done again; they stay in the file.

        Returns:
            How many there were.
        """
        marks = ", ".join("?" * len(statuses))
        with as_sentences(self.path, needed=1), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            moved = self._db.execute(
                f"INSERT INTO set_aside SELECT {LINE}, checksum FROM records "
                f"WHERE status IN ({marks})",
                tuple(statuses),
            ).rowcount
            if moved:
                self._db.execute(f"DELETE FROM records WHERE status IN ({marks})", tuple(statuses))
                again = {"at": time.time(), "statuses": sorted(statuses), "records": moved}
                self._write(RETRIES, [*(self.meta(RETRIES) or []), again])
        return moved

    def records_set_aside(self) -> Iterator[tuple[int, Record]]:
        """(id, record) of those that `set_aside` took away. Raises StoreError as `records`."""
        with as_sentences(self.path):
            if version_of(self._db, self.path) == 1:
                return
            found = self._db.execute(
                f"SELECT {LINE}, s.checksum, arch FROM set_aside AS s LEFT JOIN archs "
                "USING (digest) ORDER BY id"
            )
            for *line, kept, arch in found:
                if kept != checksum(line) or arch is None:
                    raise self.damaged(f"record {line[0]}, set aside, is not what was written")
                yield line[0], self.record_of((*line, arch))

    def meta(self, key: str) -> Any:
        """What was noted under `key` (`sweep`, `environment`, ...), or None.

        Raises:
            StoreError: it is damaged, or was noted and is not there.
        """
        with as_sentences(self.path):
            row = self._db.execute("SELECT * FROM meta WHERE key = ?", (key,)).fetchone()
            if row is not None:
                return note_of(self.path, row)
            if key in (TALLY, NOTED) or key in self._noted():
                raise self.damaged(f"the note {key!r} is missing")
            return None

    def notes(self, beginning: str) -> dict[str, Any]:
        """Key -> what was noted, of all keys that begin so, in order of the keys. Raises as
        `meta`."""
        with as_sentences(self.path):
            rows = self._db.execute(
                "SELECT * FROM meta WHERE substr(key, 1, ?) = ? ORDER BY key",
                (len(beginning), beginning),
            ).fetchall()
            found = {row[0]: note_of(self.path, row) for row in rows}
            for key in self._noted():
                if key.startswith(beginning) and key not in found:
                    raise self.damaged(f"the note {key!r} is missing")
            return found

    def note(self, key: str, value: object) -> None:
        """Keep JSON data about the study as a whole: progress, the end, device time."""
        self.note_all({key: value})

    def note_all(self, values: Mapping[str, object]) -> None:
        """The same of several, all of them or none."""
        with as_sentences(self.path, needed=1), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            for key, value in values.items():
                self._write(key, value)

    def _write(self, key: str, value: object) -> None:
        noted = self._noted()
        write_meta(self._db, {key: value} | ({} if key in noted else {NOTED: [*noted, key]}))

    def _noted(self) -> list[str]:
        """Keys of all notes there are; none of a study without checksums."""
        if version_of(self._db, self.path) == 1:
            return []
        return list(self.meta(NOTED))

    def copy_to(self, output: Path) -> None:
        """A whole copy of it as it is at one moment, in a new file."""
        copy_to(self._db, output)

    @property
    def has_checksums(self) -> bool:
        """Whether what is read has been verified; not so of studies of schema 1."""
        with as_sentences(self.path):
            return version_of(self._db, self.path) > 1

    def damaged(self, what: str) -> DamagedStudy:
        """The error that this study is damaged, and how it is mended."""
        return DamagedStudy(self.path, what)

    def close(self) -> None:
        """Close the file, and let another writer in."""
        self._db.close()
        if self._held is not None:
            self._held.close()
        if self._lock is not None:
            self._lock.close()
        else:
            _tidy(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def loaded(text: str) -> Any:
    """JSON, by a reader that takes half of the time of Python's own; that one takes half a
    surrogate pair too, such as a name of a file may hold."""
    try:
        return from_json(text, cache_strings="keys")
    except ValueError:
        return json.loads(text)


def _outlined(row: tuple[Any, ...]) -> Outline:
    _, label, digest, phase, status, seed, budget, target, _, seconds, payload, arch = row
    must_be_an_end(status)
    rest = loaded(payload)
    return Outline(
        label,
        digest,
        arch,
        phase,
        status,
        seed,
        budget,
        target,
        rest["values"],
        {name: measured["samples"] for name, measured in rest["measurements"].items()},
        rest["error"],
        rest["origin"],
        rest["details"],
        seconds,
    )


def _line_of(record: Record) -> tuple[tuple[Any, ...], tuple[str, str]]:
    """A record as it is kept, less its id; and its architecture, under its digest."""
    raw = record.to_dict()
    arch = json.dumps(raw.pop("arch"), sort_keys=True)
    columns = [_kept(name, raw.pop(name)) for name in COLUMNS]
    return (*columns, json.dumps(raw)), (record.digest, arch)


def _kept(name: str, value: Any) -> Any:
    """A column's value as SQLite will give it back, so that its checksum is the same then."""
    if name in FLOATS:
        return float(value) + 0.0  # SQLite knows no -0.0
    return int(value) if name == "seed" else value


def _numbers(missing: list[int]) -> str:
    if len(missing) == 1:
        return f"record {missing[0]} is"
    return f"{len(missing):,} records, of {missing[0]} to {missing[-1]}, are"


def forget_log(path: Path) -> None:
    """Take away what SQLite kept beside a file that is not there any more, lest the next one be
    read with it."""
    for end in ("-wal", "-shm"):
        path.with_name(f"{path.name}{end}").unlink(missing_ok=True)


def _tidy(path: Path) -> None:
    """Take away the log that a reader's connection had to make.

    SQLite does so itself when the last connection that may write is closed.
    """
    if path.with_name(f"{path.name}-wal").exists():
        with contextlib.suppress(*UNREADABLE), contextlib.closing(connect(path, "rw")) as db:
            db.execute("SELECT 1 FROM meta").fetchone()


@contextlib.contextmanager
def writer_lock(path: Path) -> Iterator[Callable[[], TextIO]]:
    """Hold the writer's lock; given up at the end unless what is yielded was called for it."""
    with contextlib.ExitStack() as held:
        lock = held.enter_context(path.with_suffix(".lock").open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            raise StudyInUse(path) from e

        def keep() -> TextIO:
            held.pop_all()
            return lock

        yield keep
