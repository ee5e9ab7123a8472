"""The study store: one SQLite file a study, append-only, one writer, many readers.

It is the only state of a sweep. Strategies and reports are functions of its records.
"""

import contextlib
import fcntl
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self, TextIO

from evnas.errors import StoreError
from evnas.record import Record

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE archs (digest TEXT PRIMARY KEY, arch TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE records (
    id INTEGER PRIMARY KEY,
    label TEXT NOT NULL, digest TEXT NOT NULL, phase TEXT NOT NULL, status TEXT NOT NULL,
    seed INTEGER NOT NULL, budget REAL NOT NULL, target TEXT NOT NULL,
    started REAL NOT NULL, seconds REAL NOT NULL,
    payload TEXT NOT NULL,
    UNIQUE (label, digest, phase, seed, budget, target)
);
"""
_NOT_OPENED = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM)
_COLUMNS = ("label", "digest", "phase", "status", "seed", "budget", "target", "started", "seconds")


class Store:
    """A study on disk. Open with `create`, `append_to` (the one writer) or `read`."""

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: TextIO | None) -> None:
        self.path = path
        self._db = connection
        self._lock = lock

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
            with _writer_lock(path) as keep:
                unborn.unlink(missing_ok=True)
                _write_empty(unborn, meta)
                unborn.rename(path)
                return cls(path, _connect(path, "rw"), keep())
        except (OSError, sqlite3.OperationalError) as e:
            raise StoreError(f"{path.parent}: must be a writable folder ({e})") from e

    @classmethod
    def append_to(cls, path: Path) -> Self:
        """The writer of an existing study; a second one is refused."""
        _must_exist(path)
        try:
            with _writer_lock(path) as keep:
                return cls(path, _checked(path, "rw"), keep())
        except (OSError, sqlite3.OperationalError) as e:
            raise StoreError(f"{path.parent}: must be a writable folder ({e})") from e

    @classmethod
    def read(cls, path: Path) -> Self:
        """A reader, which never blocks the writer; the folder may be read-only."""
        _must_exist(path)
        try:
            return cls(path, _checked(path, "ro"), None)
        except sqlite3.OperationalError as e:
            return cls(path, _as_it_lies(path, e), None)

    def append(self, record: Record) -> int:
        """Add a record, durably, and return its id; the same work twice is refused."""
        raw = record.to_dict()
        arch = json.dumps(raw.pop("arch"), sort_keys=True)
        columns = [raw.pop(name) for name in _COLUMNS]
        row = (*columns, json.dumps(raw))
        try:
            with self._db:
                self._db.execute(
                    "INSERT OR IGNORE INTO archs VALUES (?, ?)", (record.digest, arch)
                )
                done = self._db.execute(
                    f"INSERT INTO records ({', '.join(_COLUMNS)}, payload) "
                    f"VALUES ({', '.join('?' * len(row))})",
                    row,
                )
        except sqlite3.IntegrityError as e:
            raise StoreError(f"{self.path}: {record.key} is recorded already") from e
        except sqlite3.OperationalError as e:
            raise StoreError(f"{self.path}: must be writable ({e})") from e
        assert done.lastrowid is not None
        return done.lastrowid

    def records(self, after: int = 0) -> Iterator[tuple[int, Record]]:
        """(id, record) in the order they were appended, those with an id over `after`."""
        text, arch = "", {}  # a trial's records stand together and share their architecture
        for identity, *columns, payload, arch_text in self.rows(after):
            if arch_text != text:
                text, arch = arch_text, json.loads(arch_text)
            raw = dict(zip(_COLUMNS, columns, strict=True)) | json.loads(payload)
            yield identity, Record.from_dict(raw | {"arch": arch})

    def rows(self, after: int = 0) -> Iterator[tuple[Any, ...]]:
        """The same as they are kept, for a reader that needs little of each: id, label, digest,
        phase, status, seed, budget, target, started, seconds, and as JSON text the rest of the
        record and its architecture.

        Raises:
            StoreError: the file is damaged.
        """
        try:
            found = self._db.execute(
                f"SELECT id, {', '.join(_COLUMNS)}, payload, arch FROM records "
                "JOIN archs USING (digest) WHERE id > ? ORDER BY id",
                (after,),
            )
            for row in found:  # noqa: UP028, `yield from` would close it, even after the file
                yield row
        except sqlite3.DatabaseError as e:
            raise StoreError(f"{self.path}: damaged ({e})") from e

    def last_id(self) -> int:
        """The id of the newest record, 0 when there is none. Cheap: readers poll it."""
        (last,) = self._db.execute("SELECT COALESCE(MAX(id), 0) FROM records").fetchone()
        return int(last)

    def meta(self, key: str) -> Any:
        """What was noted under `key` (`sweep`, `environment`, ...), or None."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def notes(self, beginning: str) -> dict[str, Any]:
        """Key -> what was noted, of all keys that begin so, in order of the keys."""
        found = self._db.execute(
            "SELECT key, value FROM meta WHERE substr(key, 1, ?) = ? ORDER BY key",
            (len(beginning), beginning),
        )
        return {key: json.loads(value) for key, value in found}

    def note(self, key: str, value: object) -> None:
        """Keep JSON data about the study as a whole: progress, the end, device time."""
        with self._db:
            self._db.execute(
                "INSERT OR REPLACE INTO meta VALUES (?, ?)",
                (key, json.dumps(value)),
            )

    def close(self) -> None:
        """Close the file, and let another writer in."""
        self._db.close()
        if self._lock is not None:
            self._lock.close()
        else:
            _tidy(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _write_empty(path: Path, meta: Mapping[str, object]) -> None:
    """A whole study without records; closed, so that no log of SQLite's lies beside it."""
    with contextlib.closing(_connect(path, "rwc")) as db:
        db.executescript(_SCHEMA)
        db.execute("PRAGMA journal_mode=WAL")
        with db:
            db.executemany(
                "INSERT INTO meta VALUES (?, ?)",
                [(key, json.dumps(value)) for key, value in meta.items()],
            )


def _must_exist(path: Path) -> None:
    if not path.is_file():
        raise StoreError(f"{path}: no study is here; `evnas sweep` makes one")


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    db = sqlite3.connect(uri, uri=True, timeout=30.0, check_same_thread=False)
    if not mode.startswith("ro"):
        # a record is durable when append returns: WAL's default would lose the last on power loss
        db.execute("PRAGMA synchronous=FULL")
    return db


def _checked(path: Path, mode: str) -> sqlite3.Connection:
    db = _connect(path, mode)
    try:
        row = db.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    except sqlite3.DatabaseError as e:
        db.close()
        if e.sqlite_errorcode & 0xFF in _NOT_OPENED:
            raise  # the folder's fault, not the file's: whoever asked knows what to do
        raise StoreError(f"{path}: not a study of evnas, or damaged ({e})") from e
    version = json.loads(row[0]) if row else None
    if version != SCHEMA_VERSION:
        db.close()
        raise StoreError(
            f"{path}: written with schema {version}, this evnas reads {SCHEMA_VERSION}; "
            "use the version that wrote it"
        )
    return db


def _as_it_lies(path: Path, error: sqlite3.OperationalError) -> sqlite3.Connection:
    """A reader that makes no files, for a folder that cannot be written."""
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        raise StoreError(
            f"{path}: its newest records lie in {log.name}, and reading those needs a folder that "
            f"can be written ({error}); copy the folder to such a place"
        ) from error
    try:
        return _checked(path, "ro&immutable=1")
    except sqlite3.OperationalError as e:
        raise StoreError(f"{path}: must be a file that can be read ({e})") from e


def _tidy(path: Path) -> None:
    """Take away the log that a reader's connection had to make.

    SQLite does so itself when the last connection that may write is closed.
    """
    if path.with_name(f"{path.name}-wal").exists():
        with contextlib.suppress(sqlite3.Error), contextlib.closing(_connect(path, "rw")) as db:
            db.execute("SELECT 1 FROM meta").fetchone()


@contextlib.contextmanager
def _writer_lock(path: Path) -> Iterator[Callable[[], TextIO]]:
    """Hold the writer's lock; given up at the end unless what is yielded was called for it."""
    with contextlib.ExitStack() as held:
        lock = held.enter_context(path.with_suffix(".lock").open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            raise StoreError(
                f"{path}: another process is writing this study; wait or stop it"
            ) from e

        def keep() -> TextIO:
            held.pop_all()
            return lock

        yield keep
