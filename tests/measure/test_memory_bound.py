"""What work on a CPU may allocate: of the machine, of a container, and that an end is a result."""

import resource
import sys
from pathlib import Path

import pytest
import torch

from evnas.measure.timing.memory_bound import bounded_by_free_memory, free_bytes
from evnas.measure.timing.protocol import is_out_of_memory

MIB = 2**20


def a_machine(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


MACHINE = {"proc/meminfo": "MemTotal: 8000 kB\nMemAvailable: 5000 kB\n"}
V2 = {"proc/self/cgroup": "0::/box\n"}


def group(**files: str) -> dict[str, str]:
    return {f"sys/fs/cgroup/box/{name.replace('_', '.', 1)}": text for name, text in files.items()}


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, None),
        (MACHINE, 5000 * 1024),
        (MACHINE | V2 | group(memory_max="max\n", memory_current="9\n"), 5000 * 1024),
        (MACHINE | V2 | group(memory_max="4096000", memory_current="4000000"), 96000),
        (
            MACHINE
            | V2
            | group(memory_max="4096000", memory_current="4000000")
            | {"sys/fs/cgroup/box/memory.stat": "anon 7\ninactive_file 100000\n"},
            196000,
        ),
        (MACHINE | V2 | group(memory_max="1000", memory_current="4000"), 0),
        (
            MACHINE
            | {
                "proc/self/cgroup": "5:cpu,cpuacct:/\n4:memory:/box\n",
                "sys/fs/cgroup/memory/box/memory.limit_in_bytes": "3000000\n",
                "sys/fs/cgroup/memory/box/memory.usage_in_bytes": "1000000\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "7000000\n",
            },
            2000000,
        ),
    ],
    ids=["unknown", "machine", "unbounded", "bounded", "caches", "over", "version 1"],
)
def test_what_is_free(files: dict[str, str], free: int | None, tmp_path: Path) -> None:
    assert free_bytes(a_machine(tmp_path, files)) == free


@pytest.mark.skipif(sys.platform != "linux", reason="Linux bounds private memory")
def test_beyond_it_an_allocation_fails_as_out_of_memory(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    status = Path("/proc/self/status").read_text()
    free = f"MemAvailable: {256 * 1024} kB\n"
    root = a_machine(tmp_path, {"proc/meminfo": free, "proc/self/status": status})
    with bounded_by_free_memory(root):
        fits = torch.empty(64 * MIB, dtype=torch.uint8)
        bound, _ = resource.getrlimit(resource.RLIMIT_DATA)
        # more than all there may be: what earlier tests freed may be kept, and is given out again
        with pytest.raises(RuntimeError) as caught:
            torch.empty(bound + 1, dtype=torch.uint8)
    assert bound < before[0] or before[0] == resource.RLIM_INFINITY
    assert is_out_of_memory(caught.value)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert len(fits) + len(torch.empty(512 * MIB, dtype=torch.uint8)) == 576 * MIB


def test_where_nothing_is_told_nothing_is_bounded(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with bounded_by_free_memory(tmp_path):
        assert resource.getrlimit(resource.RLIMIT_DATA) == before


@pytest.mark.parametrize(
    ("said", "out"),
    [
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes", True),
        ("bad allocation", True),
        ("Failed to allocate memory for requested buffer of size 8", True),
        ("Check 'ptr' failed: Failed to allocate 234881024 bytes of memory", True),
        ("could not create a primitive", True),
        ("could not create a primitive descriptor for a convolution", False),
        ("Resource temporarily unavailable", True),
        ("mat1 and mat2 shapes cannot be multiplied", False),
    ],
)
def test_what_runtimes_say_of_it(said: str, out: bool) -> None:
    assert is_out_of_memory(RuntimeError(said)) is out
