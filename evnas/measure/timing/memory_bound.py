"""A bound on what work on a CPU may allocate, so that memory that ends is a result.

Linux hands out more memory than it has, and where pages are then touched it kills a process: the
one that measures, or any other of the machine. Below the bound an allocation fails instead, which
torch says of itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evnas.measure.timing.cpu_limits import ROOT, cgroup_folders

try:
    import resource
except ImportError:  # Windows, which fails an allocation of what it does not have
    resource = None  # type: ignore[assignment]

SHARE = 0.9
"""Of the free memory, that work may take: the rest of the machine goes on."""
UNBOUNDED = 2**60
"""Bytes from which a cgroup's limit is none: version 1 writes the largest number that it has."""


def free_bytes(root: Path = ROOT) -> int | None:
    """What this process may still take before anything is killed or swapped: of the machine, and
    of the cgroups that it is in. None where the system does not tell.

    Args:
        root: of the file system, for tests.
    """
    available = _field(root / "proc/meminfo", "MemAvailable:")
    found = [] if available is None else [1024 * available]
    found += [left for folder in cgroup_folders(root, "memory") if (left := _left(folder)) >= 0]
    return min(found, default=None)


@contextmanager
def bounded_by_free_memory(root: Path = ROOT) -> Iterator[None]:
    """Within, this process may allocate `SHARE` of what is free now, and no more; on Linux alone,
    where private memory can be bounded.

    A limit that was set before holds on, where it is lower.
    """
    free, held = free_bytes(root), _field(root / "proc/self/status", "VmData:")
    if free is None or held is None or resource is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = 1024 * held + int(SHARE * free)
    bounds = [bound for bound in (soft, hard) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([most, *bounds]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _left(folder: Path) -> int:
    """Bytes that a cgroup has left, those with files' caches among them; -1 of one unbounded."""
    for limit, used, cached in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        most, now = _number(folder / limit), _number(folder / used)
        if most is not None and now is not None and most < UNBOUNDED:
            return max(0, most - now + (_field(folder / "memory.stat", cached) or 0))
    return -1


def _field(path: Path, name: str) -> int | None:
    for line in _read(path).splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == name:
            return int(words[1])
    return None


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdecimal() else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
