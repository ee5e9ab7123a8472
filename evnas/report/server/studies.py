"""The studies under a results folder: found by listing it, never by joining a name to a path."""

import contextlib
import threading
from pathlib import Path
from typing import Any

from evnas.errors import EvnasError, StoreError
from evnas.report.frame.objectives import find_objectives
from evnas.report.frame.study_reader import StudyReader
from evnas.report.page.about import describe_study
from evnas.report.query.front_history import compute_front_history


class Studies:
    """Readers of the studies in a folder (or of the one study that the folder is)."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise StoreError(f"{folder}: must be a folder of studies, and there is none")
        self.folder = folder.resolve()
        self._readers: dict[str, StudyReader] = {}
        self._identity: dict[str, tuple[int, int]] = {}
        self._histories: dict[str, tuple[tuple[int, int], dict[str, Any] | None]] = {}
        self._lock = threading.Lock()

    def folders(self) -> dict[str, Path]:
        """Name -> folder of every study, in order of name; links that lead outside are not one."""
        if (self.folder / "study.db").is_file():
            return {self.folder.name: self.folder}
        return {
            path.name: path
            for path in sorted(self.folder.iterdir())
            if _may_be_study(path) and (path / "study.db").resolve().is_relative_to(self.folder)
        }

    def reader(self, name: str) -> StudyReader:
        """The reader of a study, opened on first use. Raises StoreError with a sentence."""
        folder = self.folders().get(name)
        if folder is None:
            raise StoreError(f"there is no study {name!r} here")
        try:
            found = (folder / "study.db").stat()
        except OSError as e:
            raise StoreError(
                f"{folder / 'study.db'}: must be a file that can be read ({e.strerror})"
            ) from e
        identity = (found.st_dev, found.st_ino)
        with self._lock:
            known = self._readers.get(name) if self._identity.get(name) == identity else None
            if known is None or known.is_outdated():  # new, begun afresh, or tried again
                self._readers[name] = StudyReader(folder)
                self._identity[name] = identity
            return self._readers[name]

    def overview(self) -> list[dict[str, Any]]:
        """A row a study; one that cannot be read says why in `error`."""
        return [self._row(name) for name in self.folders()]

    def follow(self) -> None:
        """Begin to read every study, so that it is there when somebody looks."""
        for name in self.folders():
            with contextlib.suppress(EvnasError, OSError):  # the overview says why
                self.reader(name).follow()

    def _row(self, name: str) -> dict[str, Any]:
        try:
            reader = self.reader(name)
            reader.follow()
            about = describe_study(reader)
            history = self._history(name, reader)
        except (EvnasError, OSError) as e:
            return {"name": name, "error": str(e)}
        keys = (
            "name", "title", "kind", "running", "reading", "trials", "expected", "states",
            "best", "started", "where", "progress", "control",
        )  # fmt: skip
        row = {key: about[key] for key in keys}
        return row | {"hypervolume": history["hypervolume"][-1] if history else None}

    def _history(self, name: str, reader: StudyReader) -> dict[str, Any] | None:
        """The front's history, computed again only when there are new records."""
        with reader.lock:
            state = (id(reader), reader.frame.last_id)
            if name not in self._histories or self._histories[name][0] != state:
                aims = find_objectives(sweep_under_lock(reader), reader.frame)
                self._histories[name] = (state, compute_front_history(reader.frame, aims))
        return self._histories[name][1]

    def close(self) -> None:
        """Close every store."""
        with self._lock:
            for reader in self._readers.values():
                reader.close()
            self._readers.clear()
            self._identity.clear()


def _may_be_study(folder: Path) -> bool:
    """Whether a study is there, or what may not be looked at: its row says so."""
    try:
        return (folder / "study.db").is_file()
    except OSError:
        return True


def sweep_under_lock(reader: StudyReader) -> dict[str, Any]:
    """The sweep of a reader whose lock is held already."""
    return dict(reader.store.meta("sweep") or {})
