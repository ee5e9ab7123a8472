"""What is said before a study's speeds are taken on another machine."""

from collections.abc import Iterable, Iterator

import torch

from evnas.measure.timing.machine import machine_here
from evnas.record import Machine, Record
from evnas.store import Store
from evnas.sweep.parts import COMMAND


def taken_elsewhere(records: Iterable[Record], *, given_up: bool) -> list[str]:
    """A sentence for each target that this machine has and another one has timed so far.

    Args:
        given_up: whether what is timed here is given up where the two are unlike.
    """
    before: dict[str, tuple[str, Machine]] = {}
    for record in records:
        if record.status == "complete" and _is_ours(record) and record.machine and record.on:
            before.setdefault(record.target, (record.on.device, record.machine))
    found = []
    for target, (device, there) in before.items():
        here = machine_here(device) if _is_here(device) else there
        if here != there:
            end = "absolute speeds of the two do not compare"
            if given_up and not here.is_like(there):
                end = "what is timed here will be given up; go on there, or pass --fresh"
            found.append(f"{target} was timed on {there} so far and this is {here}: {end}")
    return found


def first_timed(store: Store) -> Iterator[Record]:
    """Of each target the first record that says on which machine it was timed; of a large study
    nothing else is decoded for it."""
    known: set[str] = set()
    for row in store.rows():
        status, target = row[4], row[7]
        if target and status == "complete" and target not in known:
            record = store.record_of(row)
            if record.machine is not None:
                known.add(target)
                yield record


def _is_ours(record: Record) -> bool:
    """Whether this machine's own device was timed, and not one that a command reaches."""
    return record.on is not None and record.on.runtime != COMMAND


def _is_here(device: str) -> bool:
    wanted = torch.device(device)
    return wanted.type == "cpu" or (wanted.index or 0) < torch.cuda.device_count()
