"""One study kept open for reading: its frame grows with the store, in the background.

A study of 100,000 trials takes seconds to read; whoever asks meanwhile gets what is read so far.
"""

import itertools
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evnas.errors import EvnasError, StoreError
from evnas.record import Record
from evnas.report.frame.objectives import Objective, find_objectives
from evnas.report.frame.receptive_fields import ReceptiveField, fields_of
from evnas.report.frame.slim_records import SlimRecord, read_slim_records
from evnas.report.frame.snapshot import Snapshot, take_snapshot
from evnas.report.frame.trial_frame import TrialFrame
from evnas.store import RETRIES, Store
from evnas.sweep.sweep import Sweep, sweep_of

LARGE = 15_000
"""Trials up to which a page is sent the whole study."""
RECORDS = 4
"""Records a trial, about: how large a study will be is guessed by while it is read."""
CHUNK = 5
"""Batches of records between two moments at which a page may look: some 7 ms."""
ASKED_S = 0.3
"""For so long after a page asked for something, reading leaves half of the time to it."""


class StudyReader:
    """A study's store and its frame. Safe for several threads; it never writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store.read(folder / "study.db")
        sweep = self.store.meta("sweep") or {}
        ablation = _ablation(sweep)
        self.frame = TrialFrame(
            pooled=not sweep.get("rows"),
            reference=ablation.reference.label if ablation else "",
            changed={c.label: c.changes(ablation.base) for c in ablation.candidates}
            if ablation
            else {},
            earlier=self._records,
            constraints=sweep.get("constraints") or (),
        )
        self.lock = threading.Lock()
        self._columns: Snapshot | None = None
        self._reading: threading.Thread | None = None
        self._fault = ""
        """Why reading stopped before the end."""
        self._retries = self._times_retried()
        self._asked = -ASKED_S

    @property
    def sweep(self) -> dict[str, Any]:
        """The resolved sweep."""
        with self.lock:
            return dict(self.store.meta("sweep") or {})

    def meta(self, key: str) -> Any:
        """A note of the store."""
        with self.lock:
            return self.store.meta(key)

    def read_all(self) -> None:
        """Take every record there is, and return when that is done."""
        while True:
            start = time.monotonic()
            if not self._read_chunk():
                return
            end = time.monotonic()
            # a lock is not fair: whoever waits for it gets its turn now
            time.sleep(end - start if end - self._asked < ASKED_S else 0.001)

    def follow(self) -> bool:
        """Begin taking what is new, without waiting; whether anything was or is being read.

        Raises:
            StoreError: reading came upon something damaged.
        """
        if self._fault:
            raise StoreError(self._fault)
        with self.lock:
            behind = self.store.last_id() > self.frame.last_id
        busy = self._reading is not None and self._reading.is_alive()
        if behind and not busy:
            self._reading = threading.Thread(
                target=self._read_aside, name=f"reads {self.folder}", daemon=True
            )
            self._reading.start()
        return behind or busy

    def is_outdated(self) -> bool:
        """Whether records that were read have been set aside since: it must be read again."""
        with self.lock:
            return self._times_retried() != self._retries

    def _times_retried(self) -> int:
        return len(self.store.meta(RETRIES) or [])

    def columns(self) -> Snapshot:
        """The frame as arrays: taken again only when there are new records."""
        self._asked = time.monotonic()
        with self.lock:
            if self._columns is None or self._columns.last_id != self.frame.last_id:
                self._columns = take_snapshot(self.frame)
            return self._columns

    def objectives(self) -> list[Objective]:
        """Which columns the study is judged by."""
        with self.lock:
            return find_objectives(self.store.meta("sweep") or {}, self.frame)

    def is_large(self) -> bool:
        """Whether the study has, or will have once it is read, too many trials to send whole."""
        _, records = self.progress()
        return len(self.frame) > LARGE or records > LARGE * RECORDS

    def progress(self) -> tuple[int, int]:
        """Records read, and records that there are."""
        with self.lock:
            return self.frame.last_id, self.store.last_id()

    def records_of(self, row: int) -> list[Record]:
        """A trial's records, from the store; by which it breaks a constraint is infeasible."""
        with self.lock:
            return self._records(self.frame.record_ids(row))

    def archs_of(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """The architectures of some trials as plain data, in their order."""
        with self.lock:
            labels, digests = self.frame.text["label"], self.frame.text["digest"]
            wanted = {(labels[row], digests[row]): at for at, row in enumerate(rows)}
            found: list[dict[str, Any]] = [{} for _ in rows]
            for line in self.store.rows() if wanted else ():
                at = wanted.pop((line[1], line[2]), None)
                if at is not None:
                    found[at] = json.loads(line[-1])
                if not wanted:
                    break
        return found

    def fields_of(self, records: Sequence[Record]) -> list[ReceptiveField]:
        """The receptive fields of the trial that these records are of."""
        with self.lock:
            return fields_of(self.store, records)

    def _records(self, identities: Sequence[int]) -> list[Record]:
        return [self._judged(*next(self.store.records(after=i - 1))) for i in identities]

    def _judged(self, identity: int, record: Record) -> Record:
        broken = self.frame.judged_now.get(identity)
        return replace(record, status="infeasible", error=broken) if broken else record

    def close(self) -> None:
        """Close the store."""
        if self._reading is not None:
            self._reading.join()
        self.store.close()

    def _read_aside(self) -> None:
        try:
            self.read_all()
        except StoreError as e:
            self._fault = str(e)

    def _take(self, batch: Sequence[SlimRecord]) -> None:
        try:
            self.frame.extend(batch)
        except (ValueError, TypeError, KeyError, AttributeError) as e:
            if self.store.has_checksums:
                raise  # what was written is what is read: the fault is ours
            span = f"{batch[0].id} to {batch[-1].id}"
            raise self.store.damaged(f"in records {span} ({e!r:.200})") from e

    def _read_chunk(self) -> bool:
        with self.lock:
            before = self.frame.last_id
            for batch in itertools.islice(read_slim_records(self.store, after=before), CHUNK):
                self._take(batch)
            return self.frame.last_id > before


def _ablation(sweep: Mapping[str, Any]) -> Sweep | None:
    """The sweep of a study of rows; None of a search, and of an older or newer sweep: its records
    are still worth showing."""
    if not sweep.get("rows"):
        return None
    try:
        return sweep_of(sweep)
    except EvnasError:
        return None
