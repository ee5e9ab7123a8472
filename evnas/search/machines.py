"""This machine by name, and what is said before a study's speeds are taken on another one."""

import platform
from collections.abc import Iterable

import torch

from evnas.measure.conditions import cpu_facts
from evnas.record import Machine, Record


def machine_here(device: str) -> Machine:
    """This machine with the processor that a device is.

    Args:
        device: `cpu` or `cuda:N`, as a settled target has it.
    """
    if torch.device(device).type == "cuda":
        return Machine(platform.node(), torch.cuda.get_device_name(device))
    cpu = cpu_facts()
    return Machine(platform.node(), f"{cpu['model']}, {cpu['cores']} cores")


def taken_elsewhere(records: Iterable[Record], *, searching: bool) -> list[str]:
    """A sentence for each target that this machine has and another one has timed so far.

    Args:
        searching: whether what is timed here would be given up where the two are unlike.
    """
    before: dict[str, Machine] = {}
    for record in records:
        if record.phase == "speed" and record.status == "complete" and record.machine:
            before.setdefault(record.target, record.machine)
    found = []
    for target, there in before.items():
        here = machine_here(_device(target)) if _is_here(_device(target)) else there
        if here != there:
            end = "absolute speeds of the two do not compare"
            if searching and not here.is_like(there):
                end = "what is timed here will be given up; go on there, or pass --fresh"
            found.append(f"{target} was timed on {there} so far and this is {here}: {end}")
    return found


def _device(target: str) -> str:
    """`cuda0-torch-...` -> `cuda:0`."""
    name = target.partition("-")[0]
    return name if name == "cpu" else f"cuda:{name.removeprefix('cuda')}"


def _is_here(device: str) -> bool:
    wanted = torch.device(device)
    return wanted.type == "cpu" or (wanted.index or 0) < torch.cuda.device_count()
