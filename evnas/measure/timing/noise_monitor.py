"""Whether a round was quiet: foreign load, stolen time, throttling, seen from outside.

A watch looks before and after a round, and names what spoiled it.
"""

import os
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from evnas.measure.timing.conditions import cpu_mhz, gpu_state
from evnas.measure.timing.cpu_limits import throttled_periods
from evnas.measure.timing.device_lock import our_processes

Reading = Mapping[str, float]

LARGEST_FOREIGN_SHARE = 0.10
"""Of the machine's CPU time, that others may take during a round."""
LARGEST_WAIT = 0.03
"""Of a round's time, that threads of this process may wait together for a core: by so much a ratio
may be wrong."""
LARGEST_CLOCK_CHANGE = 0.10
MOST_NAMED = 3
BENIGN_THROTTLES = 0x1 | 0x2 | 0x4
"""NVML: idle, application clocks and the power cap that a card always runs under."""


class NoiseMonitor(Protocol):
    """Two readings around a round, and what their difference says."""

    def read(self) -> Reading:
        """The counters now."""
        ...

    def spoiled(self, before: Reading, after: Reading) -> str:
        """Why the round between the readings is not quiet; "" when it is."""
        ...


@dataclass(frozen=True, slots=True)
class CpuNoiseMonitor:
    """How long threads of ours waited for a core, which the kernel counts for each, CPU time of
    others, from /proc/stat less this process's own, and the cgroup's throttle."""

    def read(self) -> Reading:
        """Now, and busy, stolen, own, waited and total CPU seconds; throttled periods; clock in
        MHz."""
        own = os.times()
        busy, stolen, total = _machine_seconds()
        return {
            "now": time.monotonic(),
            "waited": waited_seconds(),
            "busy": busy,
            "stolen": stolen,
            "total": total,
            "own": own.user + own.system + own.children_user + own.children_system,
            "throttled": throttled_periods(),
            "mhz": cpu_mhz() or 0.0,
        }

    def spoiled(self, before: Reading, after: Reading) -> str:
        """Waiting for a core, foreign load, stolen time, a throttled cgroup or a moved clock."""
        spent = {key: after[key] - before[key] for key in before}
        if spent["waited"] > LARGEST_WAIT * spent["now"] > 0:
            share = spent["waited"] / spent["now"]
            return f"threads waited for a core for {share:.0%} of the round{_who()}"
        # jiffies are 10 ms: below a tenth of a second the shares are mostly rounding
        if spent["total"] > 0.1:
            foreign = (spent["busy"] - spent["own"]) / spent["total"]
            if foreign > LARGEST_FOREIGN_SHARE:
                return f"foreign load of {foreign:.0%} of the CPU{_who()}"
            stolen = spent["stolen"] / spent["total"]
            if stolen > LARGEST_FOREIGN_SHARE:
                return f"{stolen:.0%} of the CPU stolen by the hypervisor"
        if spent["throttled"] > 0:
            return "the CPU quota throttled this process"
        return _clock_change(before["mhz"], after["mhz"])


@dataclass(frozen=True, slots=True)
class GpuNoiseMonitor:
    """Foreign processes and throttle reasons of one GPU.

    Processes of ours that have used the GPU are not foreign: their lock keeps them off it while
    one of them measures.

    Its clock is no sign: both readings find the GPU at rest, where the clock falls and rises by
    its own. Samples of a round that a clock did move apart show by their spread.
    """

    uuid: str

    def read(self) -> Reading:
        """Foreign processes on the GPU, and the throttle mask."""
        processes, throttle = gpu_state(self.uuid)
        ours = our_processes(f"gpu-{self.uuid.removeprefix('GPU-')}")
        return {"foreign": foreign_processes(processes, ours), "throttle": throttle}

    def spoiled(self, before: Reading, after: Reading) -> str:
        """A foreign process, or thermal or hardware throttling."""
        foreign = max(before["foreign"], after["foreign"])
        if foreign > 0:
            return f"{foreign:.0f} foreign processes on the GPU"
        mask = (int(before["throttle"]) | int(after["throttle"])) & ~BENIGN_THROTTLES
        return f"the GPU throttled (reasons {mask:#x})" if mask else ""


def foreign_processes(processes: Sequence[int], ours: Set[int]) -> int:
    """How many of the processes on a GPU are not ours.

    Args:
        processes: their ids as the driver shows them. Inside a container those may be of the host,
            and then tell as many as they are.
        ours: with this process's own.
    """
    if os.getpid() in processes:
        return len(set(processes) - ours)
    return max(0, len(processes) - len(ours))


def noise_monitor_for(device: torch.device | str) -> NoiseMonitor:
    """The watch of a torch device."""
    device = torch.device(device)
    if device.type == "cpu":
        return CpuNoiseMonitor()
    return GpuNoiseMonitor(f"GPU-{torch.cuda.get_device_properties(device).uuid}")


def _clock_change(before: float, after: float) -> str:
    if before and after and abs(after - before) > LARGEST_CLOCK_CHANGE * before:
        return f"the clock moved from {before:.0f} to {after:.0f} MHz"
    return ""


def _machine_seconds() -> tuple[float, float, float]:
    """Busy, stolen and total seconds of all cores since boot; zeros without /proc/stat."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0, 0.0, 0.0
    fields = [int(field) for field in stat.read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, idle, iowait, irq, softirq, stolen = fields
    tick = os.sysconf("SC_CLK_TCK")
    busy = user + nice + system + irq + softirq
    return busy / tick, stolen / tick, (busy + idle + iowait + stolen) / tick


def waited_seconds(root: Path = Path("/")) -> float:
    """For how long threads of this process, together, were ready to run and had no core; 0 where
    the kernel does not count it."""
    waited = 0
    for counts in (root / "proc/self/task").glob("*/schedstat"):
        try:
            waited += int(counts.read_text().split()[1])
        except (OSError, IndexError):  # the thread has ended
            continue
    return waited / 1e9


def _who() -> str:
    """Whose processes run, in brackets; "" where none is seen."""
    who = ", ".join(running_others())
    return f" ({who})" if who else ""


def running_others(root: Path = Path("/")) -> list[str]:
    """Names of other processes that run at this moment, of three at most; in a container those
    outside of it are not among them."""
    found = set()
    for stat in (root / "proc").glob("[0-9]*/stat"):
        try:
            number, _, rest = stat.read_text().partition(" (")
        except OSError:  # it has ended
            continue
        name, _, fields = rest.rpartition(") ")
        if fields.startswith("R") and int(number) != os.getpid():
            found.add(name)
    return sorted(found)[:MOST_NAMED]
