"""Ways in which a file on a disk is damaged."""

import random


def flipped(raw: bytes, rng: random.Random) -> bytes:
    """One byte changed."""
    at = rng.randrange(len(raw))
    return raw[:at] + bytes([raw[at] ^ rng.randrange(1, 256)]) + raw[at + 1 :]


def wiped(raw: bytes, rng: random.Random, *, size: int = 512) -> bytes:
    """A block of a disk that reads as zeros."""
    at = rng.randrange(len(raw) // size) * size
    return raw[:at] + bytes(size) + raw[at + size :]


def swapped(raw: bytes, rng: random.Random, *, size: int = 4096) -> bytes:
    """Two pages in each other's place."""
    one, other = sorted(size * n for n in rng.sample(range(len(raw) // size), 2))
    return (
        raw[:one]
        + raw[other : other + size]
        + raw[one + size : other]
        + raw[one : one + size]
        + raw[other + size :]
    )


def cut(raw: bytes, rng: random.Random) -> bytes:
    """The end missing."""
    return raw[: rng.randrange(len(raw))]
