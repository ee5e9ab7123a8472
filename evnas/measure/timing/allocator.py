"""Whether the C library gives freed memory back to the system, which decides what a forward costs.

By default glibc returns the top of its heap whenever more than a threshold of it is free, so that
each forward may pay for its large maps again, page by page, or not, depending on what the process
happened to allocate before. The same forward then differs by a third between two processes.
"""

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Names of glibc's malloc.h."""
KEPT = 2**30
"""Bytes: blocks up to this size come from the heap, and so much of it may lie free."""


def keep_freed_memory() -> str:
    """Let this process keep what it frees, from now on; what holds, for the conditions."""
    if platform.libc_ver()[0] != "glibc":
        return "the system's default"
    libc = ctypes.CDLL(None)
    kept = [libc.mallopt(name, KEPT) for name in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD)]
    return "freed memory is kept" if all(kept) else "the system's default"
