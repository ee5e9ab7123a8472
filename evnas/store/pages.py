"""Rows of an SQLite file read from its pages, one page at a time, where SQLite cannot find them.

A page that leads to others may be gone while those are whole. What is found here is a candidate:
pages that SQLite has given up still hold old rows, so whoever asks verifies each one.

Source: "Database File Format", sqlite.org/fileformat2.html, sections 1.3 to 1.6 and 2.1.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

Row = tuple[int | None, tuple[object, ...]]
"""The row's id, None of a table without such, and its columns."""
TABLE_LEAF, INDEX_LEAF = 0x0D, 0x0A
_USUAL_SIZE = 4096
_SIZES = frozenset(2**n for n in range(9, 16))
_MOST_COLUMNS = 64
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
"""Serial type -> bytes."""


def rows_in_pages(path: Path) -> Iterator[Row]:
    """Every row of every page that can be read as a leaf. Raises OSError."""
    raw = path.read_bytes()
    (asked,) = struct.unpack(">H", raw[16:18]) if len(raw) >= 18 else (0,)
    size = asked if asked in _SIZES else _USUAL_SIZE
    for start in range(0, len(raw), size):
        page = raw[start : start + size]
        head = 100 if start == 0 else 0
        if len(page) == size and page[head] in (TABLE_LEAF, INDEX_LEAF):
            yield from _rows_of(raw, page, head, size)


def _rows_of(raw: bytes, page: bytes, head: int, size: int) -> Iterator[Row]:
    (cells,) = struct.unpack(">H", page[head + 3 : head + 5])
    for i in range(min(cells, size // 4)):
        at = head + 8 + 2 * i
        try:
            (place,) = struct.unpack(">H", page[at : at + 2])
            yield _row(raw, page, place, size, is_table=page[head] == TABLE_LEAF)
        except (IndexError, ValueError, struct.error):  # no cell begins here
            continue


def _row(raw: bytes, page: bytes, at: int, size: int, *, is_table: bool) -> Row:
    length, at = _number(page, at)
    identity: int | None = None
    if is_table:
        identity, at = _number(page, at)
    return identity, _columns(_payload(raw, page, at, length, size, is_table=is_table))


def _payload(raw: bytes, page: bytes, at: int, length: int, size: int, *, is_table: bool) -> bytes:
    """All bytes of a cell, those on overflow pages too."""
    most = size - 35 if is_table else (size - 12) * 64 // 255 - 23
    if length > len(raw):
        raise ValueError("longer than the file")
    if length <= most:
        return page[at : at + length]
    least = (size - 12) * 32 // 255 - 23
    here = least + (length - least) % (size - 4)
    here = here if here <= most else least
    found = [page[at : at + here]]
    (number,) = struct.unpack(">I", page[at + here : at + here + 4])
    left = length - here
    while left > 0:
        start = (number - 1) * size
        if number < 1 or start + size > len(raw):
            raise ValueError("leads out of the file")
        (number,) = struct.unpack(">I", raw[start : start + 4])
        part = raw[start + 4 : start + 4 + min(left, size - 4)]
        found.append(part)
        left -= len(part)
    return b"".join(found)


def _columns(payload: bytes) -> tuple[object, ...]:
    end, at = _number(payload, 0)
    kinds = []
    while at < end and len(kinds) <= _MOST_COLUMNS:
        kind, at = _number(payload, at)
        kinds.append(kind)
    found, at = [], end
    for kind in kinds:
        value, at = _value(payload, at, kind)
        found.append(value)
    return tuple(found)


def _value(payload: bytes, at: int, kind: int) -> tuple[object, int]:
    if kind in (0, 8, 9):
        return (None, 0, 1)[(0, 8, 9).index(kind)], at
    if kind in _INTEGERS:
        end = at + _INTEGERS[kind]
        return int.from_bytes(payload[at:end], "big", signed=True), end
    if kind == 7:
        return struct.unpack(">d", payload[at : at + 8])[0], at + 8
    if kind < 12:
        raise ValueError("no kind of a value")
    end = at + (kind - 12) // 2
    if end > len(payload):
        raise ValueError("longer than its row")
    return payload[at:end].decode() if kind % 2 else payload[at:end], end


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A variable-length whole number, and where it ends."""
    value = 0
    for i in range(8):
        byte = data[at + i]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + i + 1
    value = value << 8 | data[at + 8]
    return value - 2**64 if value >= 2**63 else value, at + 9
