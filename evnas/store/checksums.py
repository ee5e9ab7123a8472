"""A checksum of every line of a study, so that a changed figure is found and never shown.

CRC-32 finds every flipped byte, every burst of up to 32 bits, and all but one in 4 billion of
other accidents, at some 2 microseconds a record. It does not stop a forger.
"""

import functools
import zlib
from collections.abc import Sequence

_BETWEEN = "\x1f"


def checksum(values: Sequence[object]) -> int:
    """Of values as SQLite gives them back: text, whole numbers and floats."""
    text: str = _spelling(len(values)) % tuple(values)
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))


@functools.cache
def _spelling(count: int) -> str:
    """What spells so many values, with a sign between them."""
    return _BETWEEN.join(["%s"] * count)
