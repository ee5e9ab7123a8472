"""A damaged study made whole again: every line that verifies goes into a new file."""

import contextlib
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evnas.errors import StoreError
from evnas.store.checksums import checksum
from evnas.store.faults import as_sentences
from evnas.store.salvage import Salvage, salvage
from evnas.store.schema import (
    COLUMNS,
    NOTED,
    SCHEMA_VERSION,
    TALLY,
    connect,
    must_exist,
    write_empty,
    write_meta,
)
from evnas.store.store import forget_log, writer_lock

REPAIRS = "repairs"
"""The note of what was lost when."""
_OWN = (TALLY, NOTED, "schema_version")


@dataclass(frozen=True, slots=True)
class Repaired:
    """What came of a repair."""

    kept: int
    """Records, those set aside among them."""
    lost_records: list[int]
    """Their numbers in the damaged file."""
    lost_notes: list[str]
    damaged: Path | None
    """Where the file is that was damaged; None where nothing was."""


Spare = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Of the notes that were read, notes that can stand for those that are gone."""


def repair(path: Path, *, spare: Spare = lambda notes: {}) -> Repaired:
    """Put a new file with all that verifies in a study's place; the old one stays beside it.

    Raises:
        StoreError: no study is there, another process writes it, there is no room, or nothing
            tells any more what it is a study of.
    """
    must_exist(path)
    with writer_lock(path):
        found = salvage(path)
        if found.is_whole:
            return Repaired(len(found.lines) + len(found.aside), [], [], None)
        notes = {**spare(found.meta), **found.meta}
        if not isinstance(notes.get("sweep"), dict) or not notes.get("identity"):
            raise StoreError(
                f"{path}: nothing says any more what it is a study of, though "
                f"{len(found.lines)} of its records verify: put the sweep's file beside it as "
                "sweep.resolved.yaml, and repair it again"
            )
        whole = path.with_suffix(".mended")
        whole.unlink(missing_ok=True)
        try:
            with as_sentences(path, needed=path.stat().st_size):
                _write(whole, found, notes)
            damaged = _put_aside(path)
            whole.rename(path)
        finally:
            whole.unlink(missing_ok=True)
    kept = len(found.lines) + len(found.aside)
    return Repaired(kept, found.lost_records, found.lost_notes, damaged)


def _write(path: Path, found: Salvage, notes: Mapping[str, Any]) -> None:
    kept = {key: value for key, value in notes.items() if key not in _OWN}
    if found.lost_records:
        kept["search"] = None  # what was over goes on: its lost work is done again
    lost = {
        "at": time.time(),
        "records": found.lost_records,
        "notes": found.lost_notes,
        "faults": found.faults,
    }
    kept[REPAIRS] = [*(kept.get(REPAIRS) or []), lost]
    write_empty(path, {"schema_version": SCHEMA_VERSION, **kept})
    with contextlib.closing(connect(path, "rw")) as db, db:
        db.execute("BEGIN IMMEDIATE")
        db.executemany(
            "INSERT INTO archs VALUES (?, ?, ?)",
            [(*arch, checksum(arch)) for arch in found.archs.items()],
        )
        lines = [(line, "records") for line in found.lines]
        lines += [(line, "set_aside") for line in found.aside]
        marks = ", ".join("?" * (len(COLUMNS) + 3))
        for number, (line, table) in enumerate(sorted(lines, key=lambda x: x[0][0]), start=1):
            again = (number, *line[1:])
            db.execute(f"INSERT INTO {table} VALUES ({marks})", (*again, checksum(again)))
        write_meta(db, {TALLY: len(lines)})


def _put_aside(path: Path) -> Path:
    """Give the damaged file, and the log that SQLite keeps beside it, another name too; then take
    the log away, which must not be taken for the new file's."""
    stamp = time.strftime("%Y-%m-%dT%H%M%S")
    names = (
        f"{path.stem}.damaged.{stamp}{more}.db" for more in ("", *map("-{}".format, range(2, 99)))
    )
    aside = next(p for p in map(path.with_name, names) if not p.exists())
    for end in ("", "-wal"):
        part = path.with_name(f"{path.name}{end}")
        if part.exists():
            shutil.copyfile(part, aside.with_name(f"{aside.name}{end}"))
    forget_log(path)
    return aside
