"""Freed memory stays with the process: seen from a process of its own."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource
import torch
from evnas.measure.timing.allocator import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.zeros(64 * 2**20, dtype=torch.uint8).add_(1)  # above any threshold of glibc's own
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if KEEP:
    assert keep_freed_memory() == "freed memory is kept"
faults()
print(faults())
"""


def page_faults(keep: bool) -> int:
    command = [sys.executable, "-c", PROGRAM.replace("KEEP", str(keep))]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_memory_that_was_freed_is_not_fetched_again():
    assert page_faults(keep=True) < page_faults(keep=False) / 10
