"""The studies under a results folder: found by listing it, never by joining a name to a path."""

import contextlib
import threading
from pathlib import Path
from typing import Any

from evnas.errors import EvnasError, StoreError
from evnas.report.frame.objectives import find_objectives
from evnas.report.frame.study_reader import StudyReader
from evnas.report.page.about import describe_study
from evnas.report.page.kept_plan import PLAN, KeptPlan
from evnas.report.page.plan import begun_page, plan_page
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
        return self._with("study.db")

    def planned(self) -> dict[str, Path]:
        """The same of every plan that is kept, of studies that have begun and of others."""
        return self._with(PLAN)

    def _with(self, file: str) -> dict[str, Path]:
        if (self.folder / "study.db").is_file():
            return {self.folder.name: self.folder} if (self.folder / file).is_file() else {}
        return {
            path.name: path
            for path in sorted(self.folder.iterdir())
            if _may_hold(path, file) and (path / file).resolve().is_relative_to(self.folder)
        }

    def plan(self, name: str) -> str:
        """The page of what a sweep would run, or of what it runs. Raises StoreError."""
        folder = self.planned().get(name)
        return plan_page(KeptPlan.read(folder)) if folder else begun_page(self.reader(name))

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
        """A row a study; one that cannot be read says why in `error`. A sweep that is planned and
        has not begun has `planned`: `trials`, `seconds` and when that was `made`."""
        begun, planned = self.folders(), self.planned()
        return [
            self._row(name) if name in begun else _planned_row(name, planned[name])
            for name in sorted({*begun, *planned})
        ]

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


def _planned_row(name: str, folder: Path) -> dict[str, Any]:
    try:
        kept = KeptPlan.read(folder)
    except StoreError as e:
        return {"name": name, "error": str(e)}
    ahead = {key: kept.plan[key] for key in ("trials", "seconds")}
    return {"name": name, "planned": {**ahead, "made": kept.made}}


def _may_hold(folder: Path, file: str) -> bool:
    """Whether a file is there, or what may not be looked at: its row says so."""
    try:
        return (folder / file).is_file()
    except OSError:
        return True


def sweep_under_lock(reader: StudyReader) -> dict[str, Any]:
    """The sweep of a reader whose lock is held already."""
    return dict(reader.store.meta("sweep") or {})
