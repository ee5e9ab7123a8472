"""Randomness named by numbers: every stream is derived from a seed and what it is for."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derived_seed(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose, e.g. `derived_seed(0, "order", 3)`; the same everywhere."""
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(seed: int, *purpose: str | int) -> torch.Generator:
    """A fresh CPU generator for one purpose."""
    return torch.Generator().manual_seed(derived_seed(seed, *purpose))


@contextmanager
def seeded(seed: int, *purpose: str | int) -> Iterator[None]:
    """Torch's global generators seeded within, and as they were afterwards.

    For code that draws from them whatever one does: parameter initialisation, dropout.

        with seeded(0, "init"):
            model = evnas.build(arch)
    """
    # named one by one: torch warns about machines with several GPUs when they are not
    started: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = range(torch.cuda.device_count() if started else 0)
    with torch.random.fork_rng(devices=list(devices)):
        torch.manual_seed(derived_seed(seed, *purpose))
        yield
