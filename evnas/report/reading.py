"""One study kept open for reading: its frame grows with the store, in the background.

A study of 100,000 trials takes seconds to read; whoever asks meanwhile gets what is read so far.
"""

import itertools
import threading
import time
from pathlib import Path
from typing import Any

from evnas.record import Record
from evnas.report.frames import Frame
from evnas.store import Store

CHUNK = 1000
"""Records between two moments at which a page may look."""


class StudyReader:
    """A study's store and its frame. Safe for several threads; it never writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store.read(folder / "study.db")
        self.frame = Frame()
        self.lock = threading.Lock()
        self._reading: threading.Thread | None = None

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
        while self._read_chunk():
            time.sleep(0.001)  # a lock is not fair: whoever waits for it gets its turn now

    def follow(self) -> bool:
        """Begin taking what is new, without waiting; whether anything was or is being read."""
        with self.lock:
            behind = self.store.last_id() > self.frame.last_id
        busy = self._reading is not None and self._reading.is_alive()
        if behind and not busy:
            self._reading = threading.Thread(target=self.read_all, daemon=True)
            self._reading.start()
        return behind or busy

    def progress(self) -> tuple[int, int]:
        """Records read, and records that there are."""
        with self.lock:
            return self.frame.last_id, self.store.last_id()

    def records_of(self, row: int) -> list[Record]:
        """A trial's records, from the store."""
        with self.lock:
            identities = list(self.frame.record_ids[row])
            return [next(self.store.records(after=i - 1))[1] for i in identities]

    def close(self) -> None:
        """Close the store."""
        if self._reading is not None:
            self._reading.join()
        self.store.close()

    def _read_chunk(self) -> bool:
        with self.lock:
            new = list(itertools.islice(self.store.records(after=self.frame.last_id), CHUNK))
            self.frame.extend(new)
            return len(new) == CHUNK
