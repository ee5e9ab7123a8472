"""What is said before a study's speeds are taken on another machine."""

from collections.abc import Iterable

import torch

from evnas.measure.timing.machine import machine_here
from evnas.record import Machine, Outline, Record
from evnas.sweep.parts import COMMAND


def taken_elsewhere(records: Iterable[Record | Outline], *, given_up: bool) -> list[str]:
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


def _is_ours(record: Record | Outline) -> bool:
    """Whether this machine's own device was timed, and not one that a command reaches."""
    return record.on is not None and record.on.runtime != COMMAND


def _is_here(device: str) -> bool:
    wanted = torch.device(device)
    return wanted.type == "cpu" or (wanted.index or 0) < torch.cuda.device_count()
