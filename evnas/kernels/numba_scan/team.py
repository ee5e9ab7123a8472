"""Runs machine code on torch's own threads, as many as torch is set to use."""

import ctypes
import functools
import os
import threading
from collections.abc import Callable

import torch

EntryPoint = Callable[[int], None]
"""Takes the address of its words; called from several threads at once, without the GIL."""


def run(address: int, words: int, workers: int) -> None:
    """Call the entry point at `address` with the address `words` from `workers` threads.

    Those of torch's OpenMP pool where the process has one: idle threads of it keep spinning for
    some milliseconds after each operator, and threads of our own would have to share the cores
    with them (twice the time on two cores, measured). New threads where it has none.
    """
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)
    if workers == 1:
        call(words)
        return
    parallel = _openmp()
    if parallel is not None:
        parallel(address, words, workers, 0)
        return
    others = [threading.Thread(target=call, args=(words,)) for _ in range(workers - 1)]
    for thread in others:
        thread.start()
    call(words)
    for thread in others:
        thread.join()


@functools.cache
def _openmp() -> Callable[[int, int, int, int], None] | None:
    """GNU OpenMP's GOMP_parallel(function, data, threads, flags), which LLVM's has too."""
    if os.name != "posix":
        return None
    if "ATen parallel backend: OpenMP" not in torch.__config__.parallel_info():
        return None
    parallel = getattr(ctypes.CDLL(None), "GOMP_parallel", None)
    if parallel is None:
        return None
    parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    parallel.restype = None
    found: Callable[[int, int, int, int], None] = parallel
    return found
