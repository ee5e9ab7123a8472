"""timm's augmentation and mixing draw from the global generators: here they are seeded by what
is drawn for, and given back."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from evnas.proxy.seeding import derived_seed, seeded


def seed_globally(seed: int, *purpose: str | int) -> None:
    """Seed Python's, numpy's and torch's global generators, for good."""
    number = derived_seed(seed, *purpose)
    random.seed(number)
    np.random.seed(number % 2**32)
    torch.manual_seed(number)


@contextmanager
def globally_seeded(seed: int, *purpose: str | int) -> Iterator[None]:
    """Python's, numpy's and torch's global generators seeded within, as before afterwards."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with seeded(seed, *purpose):
            seed_globally(seed, *purpose)
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
