"""Columns as the page reads them: a JSON header, then every column as bytes.

Layout: header length (4 bytes, little endian), header (UTF-8 JSON, padded with spaces so that both
fill a multiple of 8 bytes), then the columns it names at their offsets behind it. The same bytes
serve the live page and, compressed, the one-file report.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evnas.report.frame.columns import describe_column
from evnas.report.frame.snapshot import CodedTexts, Rows, Snapshot

EXACT = ("ended",)
"""Columns that need float64; 7 digits are plenty for the others."""


def touched_after(columns: Snapshot, identity: int) -> Rows:
    """Rows that a record with a larger id touched."""
    return np.flatnonzero(columns.touched > identity)


def pack(columns: Snapshot, rows: Rows, *, view: Mapping[str, Any] | None = None) -> bytes:
    """Some rows with every column's values, and the `view` they belong to, as plain data."""
    blob = _Blob()
    header = {
        "rows": len(columns),
        "last_id": columns.last_id,
        "index": blob.add(rows.astype("<u4")),
        "count": len(rows),
        "text": {name: _coded(texts, rows, blob) for name, texts in columns.text.items()},
        "numbers": [_number(columns, key, rows=rows, blob=blob) for key in _main_keys(columns)],
    }
    if view is not None:
        header["view"] = view
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


def _main_keys(columns: Snapshot) -> list[str]:
    return [key for key in columns.numbers if not key.endswith((":low", ":high"))]


def _number(columns: Snapshot, key: str, *, rows: Rows, blob: _Blob) -> dict[str, Any]:
    kind = "<f8" if key in EXACT else "<f4"
    described: dict[str, Any] = asdict(describe_column(key)) | {"exact": key in EXACT}
    if key in columns.noise:  # a new record may change every row's interval: the page works it out
        described["noise"] = columns.noise[key]
    for name in ("", ":low", ":high"):
        if key + name in columns.numbers and not (name and key in columns.noise):
            described["at" + name] = blob.add(columns.numbers[key + name][rows].astype(kind))
    return described


def _coded(texts: CodedTexts, rows: Rows, blob: _Blob) -> dict[str, Any]:
    """A text column as the texts of these rows, each once, and its number a row."""
    if len(rows) == len(texts.codes):
        return {"values": texts.distinct, "at": blob.add(texts.codes.astype("<u4"))}
    used, numbers = np.unique(texts.codes[rows], return_inverse=True)
    values = [texts.distinct[code] for code in used]
    return {"values": values, "at": blob.add(numbers.astype("<u4"))}
