"""Energy of a forward, where the device counts what it uses: RAPL's packages, NVML's GPUs.

Both count all that the chip takes, what it takes at rest and for others included.
"""

import importlib
import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from evnas.measure.stopwatch import Call, Stopwatch
from evnas.measure.timing.cpu_limits import ROOT
from evnas.sweep.parts import is_openvino_device

POWERCAP = "sys/class/powercap"
_PACKAGE = re.compile(r"intel-rapl:\d+$")
"""Of Intel's and AMD's processors; what is inside a package has a second number."""
LEAST_S = 1.0
"""Seconds of forwards between two readings: NVML counts about ten times a second."""


@dataclass(frozen=True, slots=True)
class EnergyMeter:
    """Counters of one device."""

    name: str
    """For the conditions: `RAPL, package-0`."""
    read_joules: Callable[[], Sequence[float]]
    """What each has counted so far."""
    wraps_joules: Sequence[float]
    """What each counts to before it begins at 0 again."""

    def used(self, before: Sequence[float], after: Sequence[float]) -> float:
        """Joules between two readings, within which no counter wrapped more than once."""
        parts = zip(before, after, self.wraps_joules, strict=True)
        return sum(b - a if b >= a else b - a + wrap for a, b, wrap in parts)


@dataclass(frozen=True, slots=True)
class Energy:
    """What an image takes."""

    mj_per_image: float
    meter: str
    seconds: float
    joules: float
    images: int


class NoMeter(Exception):
    """Why a device's energy cannot be read."""


def measure_energy(
    call: Call, *, images: int, call_s: float, meter: EnergyMeter, stopwatch: Stopwatch
) -> Energy:
    """Call for `LEAST_S` between two readings.

    Args:
        call: one forward of a batch of `images`, warmed up.
        call_s: about how long one takes.
    """
    calls = max(1, math.ceil(LEAST_S / max(call_s, 1e-6)))
    before = meter.read_joules()
    seconds = stopwatch.time(call, calls)
    joules = meter.used(before, meter.read_joules())
    timed = calls * images
    return Energy(1e3 * joules / timed, meter.name, seconds, joules, timed)


def energy_meter_for(device: torch.device | str, root: Path = ROOT) -> EnergyMeter:
    """The counters of a torch device.

    Args:
        root: of the file system, for tests.

    Raises:
        NoMeter: it has none, or they cannot be read; says why.
    """
    if is_openvino_device(str(device)):
        raise NoMeter("OpenVINO tells nothing of what its devices take")
    device = torch.device(device)
    if device.type == "cpu":
        return _rapl(root / POWERCAP)
    return _nvml(f"GPU-{torch.cuda.get_device_properties(device).uuid}")


def why_no_energy(device: torch.device | str, root: Path = ROOT) -> str:
    """Why a device's energy cannot be read; "" where it can."""
    try:
        energy_meter_for(device, root)
    except NoMeter as e:
        return str(e)
    return ""


def _rapl(folder: Path) -> EnergyMeter:
    zones = sorted(folder.iterdir()) if folder.is_dir() else []
    named = [(zone, _text(zone / "name")) for zone in zones if _PACKAGE.search(zone.name)]
    packages = [(zone, name) for zone, name in named if name.startswith("package")]
    if not packages:
        raise NoMeter("this machine shows no RAPL counter of a package under /sys/class/powercap")
    closed = [zone for zone, _ in packages if not os.access(zone / "energy_uj", os.R_OK)]
    if closed:
        file = f"/{POWERCAP}/{closed[0].name}/energy_uj"
        raise NoMeter(f"{file} must be readable, which root alone may read: chmod a+r {file}")
    files = [zone / "energy_uj" for zone, _ in packages]
    return EnergyMeter(
        name=f"RAPL, {' and '.join(name for _, name in packages)}",
        read_joules=lambda: [1e-6 * int(_text(file)) for file in files],
        wraps_joules=[1e-6 * int(_text(z / "max_energy_range_uj") or 0) for z, _ in packages],
    )


def _nvml(uuid: str) -> EnergyMeter:
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        raise NoMeter("NVML's Python package is not installed: pip install nvidia-ml-py") from None
    try:
        nvml.nvmlInit()
        gpu = nvml.nvmlDeviceGetHandleByUUID(uuid)
        nvml.nvmlDeviceGetTotalEnergyConsumption(gpu)
    except nvml.NVMLError as e:
        raise NoMeter(f"NVML does not count this GPU's energy: {e}") from None
    return EnergyMeter(
        name="NVML, the whole GPU",
        read_joules=lambda: [1e-3 * nvml.nvmlDeviceGetTotalEnergyConsumption(gpu)],
        wraps_joules=[math.inf],
    )


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
