"""A study's folder: opened, continued, refused or set aside; the files beside its store."""

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from evnas.errors import StoreError
from evnas.files import write_whole
from evnas.proxy.fingerprint import KnownImages
from evnas.record import Status
from evnas.search.state.growth import growth
from evnas.search.state.images import must_be_the_same, noted
from evnas.store import Store
from evnas.sweep.file_paths import paths_as_now
from evnas.sweep.spec import SweepSpec
from evnas.sweep.strategy_spec import as_written_now
from evnas.sweep.sweep import Sweep, differences, write_resolved
from evnas.words import counted

SHOWN_DIFFERENCES = 6


def open_study(
    sweep: Sweep,
    folder: Path,
    *,
    environment: Mapping[str, Any],
    fresh: bool,
    retry: Collection[Status] = (),
    images: KnownImages | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Store:
    """The writer of the study in `folder`: a new one, or the old one of the same sweep, or of
    less of it.

    Args:
        retry: ends of records that are set aside, so that their work is done again.
        images: what is trained on; None where nothing is.
        say: is called with what the sweep has more than the study had.

    Raises:
        StoreError: the folder is not writable, another process writes the study, or it is of a
            sweep or of images that differ.
    """
    path = folder / "study.db"
    must_be_writable(folder)
    if fresh and path.exists():
        _set_aside(folder)
        must_be_writable(folder)
    if path.exists():
        return _continued(sweep, path, retry, images, say)
    identity = sweep.identity()
    if images is not None:
        identity["images"] = images.fingerprint
    store = Store.create(
        path, sweep=sweep.spec.to_dict(), environment=environment, identity=identity
    )
    _write_beside(store, sweep.spec)
    return store


def _write_beside(store: Store, spec: SweepSpec) -> None:
    """What the store knows, for people to read: made again where a kill left it out."""
    folder = store.path.parent
    if not (folder / "sweep.resolved.yaml").exists():
        write_resolved(spec, folder / "sweep.resolved.yaml")
    if not (folder / "environment.json").exists():
        text = json.dumps(store.meta("environment"), indent=2) + "\n"
        write_whole(folder / "environment.json", text)


def must_be_writable(folder: Path) -> None:
    """Make the folder. Raises StoreError when it cannot be made or written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as e:
        raise StoreError(
            f"{folder}: must be a folder that can be written, got: {e.strerror}; "
            "--results names another"
        ) from e


@dataclass(frozen=True, slots=True)
class Spent:
    """Where a study's time went, over all its runs."""

    wall_s: float = 0.0
    busy_s: float = 0.0
    """Of it, measuring and training; several workers may add up to more."""

    @property
    def idle_fraction(self) -> float:
        """The share that neither measured nor trained."""
        return max(0.0, 1.0 - self.busy_s / self.wall_s) if self.wall_s else 0.0

    def __str__(self) -> str:
        share = 100 * self.idle_fraction
        return f"{self.wall_s:.0f} s, of which {share:.1f} % neither measured nor trained"

    def to_dict(self) -> dict[str, float]:
        """Plain data."""
        return asdict(self) | {"idle_fraction": self.idle_fraction}


BEAT_S = 2.0
"""A kill costs a study at most so much of its time."""


@dataclass(slots=True)
class StudyClock:
    """A study's time over all its runs, noted while it passes: a SIGKILL gives no chance to."""

    store: Store
    began: float
    """`time.monotonic()` when this run began."""
    clock: Callable[[], float] = time.monotonic
    _before: Spent = field(init=False)
    _noted: float = field(init=False)

    def __post_init__(self) -> None:
        self._before = Spent(**(self.store.meta("time") or {}))
        self._noted = self.clock()

    @property
    def searched_s(self) -> float:
        """Seconds that earlier runs were searching for; of older studies all their time."""
        noted = self.store.meta("searched")
        return self._before.wall_s if noted is None else float(noted["wall_s"])

    def beat(self, *, busy_s: float, searched_s: float | None = None) -> None:
        """Note the time, if some has passed since it was noted."""
        if self.clock() - self._noted >= BEAT_S:
            self.note(busy_s=busy_s, searched_s=searched_s)

    def note(self, *, busy_s: float, searched_s: float | None = None) -> None:
        """Note the time of this run so far.

        Args:
            busy_s: of it, measuring and training.
            searched_s: how long all runs have searched; None where none of it counts as such.
        """
        self._noted = self.clock()
        before, wall_s = self._before, self._noted - self.began
        self.store.note("time", asdict(Spent(before.wall_s + wall_s, before.busy_s + busy_s)))
        if searched_s is not None:
            self.store.note("searched", {"wall_s": searched_s})


def add_time(store: Store, *, wall_s: float, busy_s: float = 0.0) -> Spent:
    """Add to a study's time, and return all of it."""
    old = Spent(**(store.meta("time") or {}))
    new = Spent(old.wall_s + wall_s, old.busy_s + busy_s)
    store.note("time", asdict(new))
    return new


def _continued(
    sweep: Sweep,
    path: Path,
    retry: Collection[Status],
    images: KnownImages | None,
    say: Callable[[str], None],
) -> Store:
    store = Store.append_to(path)
    try:
        _must_be_of(sweep, store, images, say)
        _write_beside(store, sweep.spec)
        if retry:
            say(_set_records_aside(store, retry))
    except BaseException:
        store.close()
        raise
    return store


def _set_records_aside(store: Store, retry: Collection[Status]) -> str:
    """Take records that ended so out of the study; what to say of it."""
    moved = store.set_aside(retry)
    ends = " or ".join(retry)
    if not moved:
        return f"nothing to do again: no result ended {ends}"
    if store.meta("search") is not None:
        store.note("search", None)  # what was over goes on
    return f"set aside, to be done again: {counted(moved, 'result')} that ended {ends}"


def _must_be_of(
    sweep: Sweep, store: Store, images: KnownImages | None, say: Callable[[str], None]
) -> None:
    before, now = _identity_now(store), json.loads(json.dumps(sweep.identity()))
    if images is not None and noted(store) is not None:
        must_be_the_same(store, images)
        if before.get("proxy"):  # the same images, wherever they lie
            before["proxy"] = before["proxy"] | {"data": now["proxy"]["data"]}
    found = growth(paths_as_now(before, now), sweep, now)
    if found.refused:
        raise StoreError(
            f"{store.path}: holds another sweep of this name, whose results would not compare "
            f"with those of this one ({_shown(found.refused)}); --fresh starts over and keeps "
            "the old study aside, --name NAME starts another study"
        )
    if found.more:
        less = _is_less(before.get("budget"), now.get("budget"))
        say(f"the study {'changes' if less else 'grows'}: {_shown(found.more)}")
        if images is not None:
            now["images"] = images.fingerprint
        _grow(store, found.more, now)
    if found.more or sweep.spec.title != (store.meta("sweep") or {}).get("title"):
        store.note("sweep", sweep.spec.to_dict())
        write_resolved(sweep.spec, store.path.parent / "sweep.resolved.yaml")


def _is_less(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> bool:
    """Whether a budget ends earlier than it did, as after an extension that its file lacks."""
    ends = ((dict(old or {}).get(key), end) for key, end in dict(new or {}).items())
    return any(end is not None and (was is None or end < was) for was, end in ends)


def extend_budget(store: Store, sweep: Sweep, *, asked: str) -> list[str]:
    """Note that a search goes on under another budget, all of it or nothing.

    Args:
        sweep: with the new budget.
        asked: the name of the request, which counts once.

    Returns:
        What changed, `path: old -> new`; nothing where that request was taken already.
    """
    grown = store.meta("grown") or []
    if any(entry.get("asked") == asked for entry in grown):
        return []
    before = store.meta("identity")
    now = {**before, "budget": json.loads(json.dumps(sweep.identity()["budget"]))}
    more = differences({"budget": before.get("budget")}, {"budget": now["budget"]})
    entry = {"at": time.time(), "after_record": store.last_id(), "more": more, "asked": asked}
    store.note_all(
        {
            "grown": [*grown, entry],
            "identity": now,
            "sweep": sweep.spec.to_dict(),
            "search": None,  # what was over goes on
        }
    )
    write_resolved(sweep.spec, store.path.parent / "sweep.resolved.yaml")
    return more


def _grow(store: Store, more: list[str], identity: Mapping[str, Any]) -> None:
    """A search that was over goes on, unless only its front is confirmed further."""
    if any(not change.startswith("confirm") for change in more):
        store.note("search", None)
    was = store.meta("grown") or []
    store.note("grown", [*was, {"at": time.time(), "after_record": store.last_id(), "more": more}])
    store.note("identity", identity)


def _shown(changes: list[str]) -> str:
    more = len(changes) - SHOWN_DIFFERENCES
    return "; ".join(changes[:SHOWN_DIFFERENCES]) + (f"; and {more} more" if more > 0 else "")


def _identity_now(store: Store) -> dict[str, Any]:
    """What an older study is of, as it is written now."""
    identity: dict[str, Any] = store.meta("identity")
    identity.pop("images", None)  # compared on their own
    strategy = identity.get("strategy")
    return identity | {"strategy": as_written_now(strategy)} if strategy else identity


def _set_aside(folder: Path) -> None:
    with Store.append_to(folder / "study.db"):  # refuses while another process writes it
        stamp = time.strftime("%Y-%m-%dT%H%M%S")
        names = (
            f"{folder.name}.{stamp}{more}" for more in ("", *(f"-{n}" for n in range(2, 1000)))
        )
        folder.rename(next(p for p in map(folder.with_name, names) if not p.exists()))
