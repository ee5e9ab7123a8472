"""timm's augmentation and mixing draw from the global generators: here they are seeded, an
epoch at a time, and given back."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from evnas.proxy.seeding import derived_seed, seeded


@contextmanager
def globally_seeded(seed: int, *purpose: str | int) -> Iterator[None]:
    """Python's, numpy's and torch's global generators seeded within, as before afterwards."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    number = derived_seed(seed, *purpose)
    random.seed(number)
    np.random.seed(number % 2**32)
    try:
        with seeded(seed, *purpose):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
