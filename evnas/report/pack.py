"""A frame as the page reads it: a JSON header, then every column as bytes.

Layout: header length (4 bytes, little endian), header (UTF-8 JSON, padded with spaces so that both
fill a multiple of 8 bytes), then the columns it names at their offsets behind it. The same bytes
serve the live page and, compressed, the one-file report.
"""

import json
import struct
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evnas.report.columns import column
from evnas.report.frames import Frame

EXACT = ("ended",)
"""Columns that need float64; 7 digits are plenty for the others."""


def pack(frame: Frame, *, after: int = 0) -> bytes:
    """All rows that a record with an id over `after` touched, with every column's values."""
    touched = np.array(frame.touched, dtype=np.int64)
    rows = np.flatnonzero(touched > after)
    blob = _Blob()
    header = {
        "rows": len(frame),
        "last_id": frame.last_id,
        "index": blob.add(rows.astype("<u4")),
        "count": len(rows),
        "text": {name: _coded(texts, rows, blob) for name, texts in frame.text.items()},
        "numbers": [_number(frame, key, rows=rows, blob=blob) for key in _main_keys(frame)],
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(4 + len(text)) % 8)
    return struct.pack("<I", len(text)) + text + b"".join(blob.parts)


class _Blob:
    """Columns one behind another, each at a multiple of 8 bytes."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._length = 0

    def add(self, values: NDArray[Any]) -> int:
        raw = values.tobytes()
        raw += b"\0" * (-len(raw) % 8)
        start = self._length
        self.parts.append(raw)
        self._length += len(raw)
        return start


def _main_keys(frame: Frame) -> list[str]:
    return [key for key in frame.numbers if not key.endswith((":low", ":high"))]


def _number(frame: Frame, key: str, *, rows: NDArray[np.int64], blob: _Blob) -> dict[str, Any]:
    kind = "<f8" if key in EXACT else "<f4"
    told: dict[str, Any] = asdict(column(key)) | {"exact": key in EXACT}
    for name in ("", ":low", ":high"):
        if key + name in frame.numbers:
            told["at" + name] = blob.add(frame.column(key + name)[rows].astype(kind))
    return told


def _coded(texts: list[str], rows: NDArray[np.int64], blob: _Blob) -> dict[str, Any]:
    """A text column as its distinct values and a number a row."""
    codes: dict[str, int] = {}
    numbers = np.fromiter(
        (codes.setdefault(texts[row], len(codes)) for row in rows), dtype="<u4", count=len(rows)
    )
    return {"values": list(codes), "at": blob.add(numbers)}
