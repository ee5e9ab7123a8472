"""This machine by name, with the processor that a device is."""

import platform

import torch

from evnas.measure.timing.conditions import cpu_facts
from evnas.record import Machine


def machine_here(device: str) -> Machine:
    """This machine with the processor that a device is.

    Args:
        device: `cpu` or `cuda:N`, as a settled target has it.
    """
    if torch.device(device).type == "cuda":
        return Machine(platform.node(), torch.cuda.get_device_name(device))
    cpu = cpu_facts()
    return Machine(platform.node(), f"{cpu['model']}, {cpu['cores']} cores")
