"""What this process may use of the CPU: cores, a container's quota, siblings on one core.

Read from Linux's /proc and /sys; elsewhere nothing is known of quotas and siblings.
"""

import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
OWN_CHOICE = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables by which somebody has chosen the threads."""


def cpu_quota(root: Path = ROOT) -> float | None:
    """The cores' worth of time that the cgroups of this process may use (versions 1 and 2), the
    tightest of those above it; None where none is bounded.

    Args:
        root: of the file system, for tests.
    """
    bounds = [bound for folder in cgroup_folders(root) if (bound := _bound(folder)) is not None]
    return min(bounds, default=None)


def usable_cores(root: Path = ROOT) -> int:
    """Threads that can run at a time: cores that this process may run on, or fewer by the quota.

    A quota is rounded down: one thread too many is stopped for the rest of each period, and all
    others wait for it.
    """
    quota = cpu_quota(root)
    cores = len(os.sched_getaffinity(0))
    return cores if quota is None else max(1, min(cores, int(quota)))


def heed_quota(root: Path = ROOT) -> int:
    """Lower torch's threads to the usable cores, where nobody has chosen them; how many there are.

    By itself torch starts a thread for each core of the machine, whatever the container may use.
    """
    import torch  # late: the rest of this file needs none

    most = usable_cores(root)
    if torch.get_num_threads() > most and not any(name in os.environ for name in OWN_CHOICE):
        torch.set_num_threads(most)
    return torch.get_num_threads()


def physical_cores(root: Path = ROOT) -> int | None:
    """Cores behind the logical ones that this process may run on: those that share a core are
    siblings (SMT, "hyper-threads"). None where the system does not tell."""
    found = set()
    for cpu in os.sched_getaffinity(0):
        folder = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
        siblings = _read(folder / "thread_siblings_list") or _read(folder / "core_cpus_list")
        if not siblings:
            return None
        found.add(siblings)
    return len(found)


def governors(root: Path = ROOT) -> list[str]:
    """The frequency governors of the cores that this process may run on, each once."""
    folders = (root / f"sys/devices/system/cpu/cpu{cpu}" for cpu in os.sched_getaffinity(0))
    read = (_read(folder / "cpufreq/scaling_governor") for folder in folders)
    return sorted({name for name in read if name})


def throttled_periods(root: Path = ROOT) -> float:
    """Periods in which a cgroup of this process ran into its CPU quota, since it was made."""
    found = 0.0
    for folder in cgroup_folders(root):
        fields = dict(
            line.split(maxsplit=1)
            for line in _read(folder / "cpu.stat").splitlines()
            if " " in line
        )
        found += float(fields.get("nr_throttled", 0))
    return found


def cgroup_folders(root: Path = ROOT, controller: str = "cpu") -> Iterator[Path]:
    """Folders of this process's cgroups that bound the CPU, or what another controller is of, the
    innermost first.

    Inside a container the path that /proc names may lie outside of what is mounted; then what
    is mounted is the container's own.
    """
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            mounts = [root / "sys/fs/cgroup"]
        elif controller in controllers.split(","):
            mounts = [root / "sys/fs/cgroup" / name for name in (controller, controllers)]
        else:
            continue
        mount = next((m for m in mounts if m.is_dir()), None)
        if mount is not None:
            inside = mount / path.strip("/")
            yield from _up(inside if inside.is_dir() else mount, mount)


def _up(folder: Path, mount: Path) -> Iterator[Path]:
    while folder != mount:
        yield folder
        folder = folder.parent
    yield mount


def _bound(folder: Path) -> float | None:
    words = _read(folder / "cpu.max").split()
    if not words:
        words = [_read(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
    try:
        quota, period = (float(word) for word in words)
    except ValueError:  # "max", or no such file
        return None
    return quota / period if quota > 0 and period > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
