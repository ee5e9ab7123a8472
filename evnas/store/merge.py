"""Two studies of one sweep, taken on two machines, made one: no work twice, no number twice."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evnas.errors import StoreError
from evnas.record import Machine, Record, comparable
from evnas.store.store import Store
from evnas.sweep.sweep import differences

MERGED = "merged"
"""The note of what came from where."""
_TIMES = ("time", "searched")
_PARENT = re.compile(r"(?<=\bof )\d+\b|(?<=\band )\d+\b|(?<=\bwith )\d+\b")
"""A trial's number in an origin, `mutation of 12`."""


@dataclass(slots=True)
class Merged:
    """What a merge did."""

    added: int = 0
    doubles: int = 0
    """Records of work that was there already."""
    not_comparable: int = 0
    """Of those added, speeds of an unlike machine: kept as `lost`."""


def merge(path: Path, other: Path) -> Merged:
    """Append to a study the records of another one that it lacks.

    Rows of an ablation are known by their labels. Candidates of a search are known by their
    architectures: one that both have keeps its number here, others get new numbers.

    Raises:
        StoreError: one of them cannot be read or written, or they are of different sweeps.
    """
    if path.resolve() == other.resolve():
        raise StoreError(f"{path}: must be merged with another study than itself")
    with Store.read(other) as source, Store.append_to(path) as store:
        _must_be_of_one_sweep(store, source)
        search = not (store.meta("sweep") or {}).get("rows")
        there = {record.key for _, record in store.records()}
        done = Merged()
        records = _renumbered(store, source) if search else (r for _, r in source.records())
        homes = _homes(store) if search else {}
        for record in records:
            if record.key in there:
                done.doubles += 1
                continue
            there.add(record.key)
            judged = comparable(record, homes.get(record.target))
            done.not_comparable += judged is not record
            store.append(judged)
            done.added += 1
        _note(store, source, done)
    return done


def _must_be_of_one_sweep(store: Store, source: Store) -> None:
    mine, its = ({**(s.meta("identity") or {})} for s in (store, source))
    images = [identity.pop("images", None) for identity in (mine, its)]
    found = differences(mine, its)
    if None not in images and images[0] != images[1]:
        found.append("images: other ones were trained on")
    if found:
        more = f"; and {len(found) - 6} more" if len(found) > 6 else ""
        raise StoreError(
            f"{source.path}: is of another sweep than {store.path}, so that their results do not "
            f"compare ({'; '.join(found[:6])}{more}); `evnas compare` sets studies side by side"
        )


def _renumbered(store: Store, source: Store) -> Iterator[Record]:
    """Records of another search, under numbers of this one."""
    numbers: dict[str, str] = {}
    by_digest: dict[str, str] = {}
    following = 0
    for _, record in [*store.records(), *store.records_set_aside()]:
        by_digest.setdefault(record.digest, record.label)
        if record.label.isdigit():
            following = max(following, int(record.label) + 1)
    for _, record in source.records():
        if not record.label.isdigit():
            yield record
            continue
        if record.label not in numbers:
            if record.digest not in by_digest:
                by_digest[record.digest] = str(following)
                following += 1
            numbers[record.label] = by_digest[record.digest]
        origin = _PARENT.sub(lambda n: numbers.get(n[0], n[0]), record.origin)
        yield replace(record, label=numbers[record.label], origin=origin)


def _homes(store: Store) -> dict[str, Machine]:
    """Target -> the machine that timed it first."""
    homes: dict[str, Machine] = {}
    for _, record in store.records():
        if record.on is not None and record.status == "complete" and record.machine:
            homes.setdefault(record.target, record.machine)
    return homes


def _note(store: Store, source: Store, done: Merged) -> None:
    if not done.added:
        return
    for key in _TIMES:
        store.note(key, _summed(store.meta(key), source.meta(key)))
    store.note("search", None)  # what was over is looked at again
    entry = {"at": time.time(), "from": str(source.path.parent.name), "records": done.added}
    store.note(MERGED, [*(store.meta(MERGED) or []), entry])


def _summed(one: Any, other: Any) -> Any:
    """Seconds of both; what only one has noted stays."""
    if one is None or other is None:
        return one if other is None else other
    return {key: one[key] + other.get(key, 0.0) for key in one}
