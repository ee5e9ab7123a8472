"""A study's records for other programs: JSON lines, or Parquet where pyarrow is installed."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evnas.errors import StoreError
from evnas.files import whole
from evnas.record import Record
from evnas.store.store import Store

SUFFIXES = (".jsonl", ".parquet")
GROUP = 5_000
"""Rows of a Parquet file that are in memory at once."""
_PLAIN = ("label", "digest", "phase", "status", "seed", "budget", "target", "error", "origin")
_TIMES = ("started", "seconds")
_JSON = ("measurements", "curve", "details", "arch")


def export(store: Store, output: Path) -> int:
    """Write every record, in the order in which they were taken.

    A line of JSON holds all of a record. A row of Parquet holds each point result as a column
    `value.NAME`, each median as `median.NAME`, and the rest as JSON text.

    Args:
        output: its ending says which: `.jsonl` or `.parquet`.

    Returns:
        How many records were written.

    Raises:
        StoreError: the study is damaged, the ending says neither, or pyarrow is not installed.
        OSError: it cannot be written.
    """
    if output.suffix not in SUFFIXES:
        raise StoreError(f"{output}: must end in {' or '.join(SUFFIXES)}")
    if output.suffix == ".jsonl":
        return _as_lines(store, output)
    if importlib.util.find_spec("pyarrow") is None:
        raise StoreError(
            f"{output}: Parquet needs pyarrow, which is not installed: pip install pyarrow; "
            ".jsonl needs nothing"
        )
    return _as_parquet(store, output)


def _as_lines(store: Store, output: Path) -> int:
    written = 0
    with whole(output) as draft, draft.open("w", encoding="utf-8") as file:
        for identity, record in store.records():
            file.write(json.dumps({"id": identity, **record.to_dict()}) + "\n")
            written += 1
    return written


def _as_parquet(store: Store, output: Path) -> int:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema(
        [
            ("id", pa.int64()),
            *((name, _type_of(pa, name)) for name in (*_PLAIN, *_TIMES)),
            *((name, pa.float64()) for name in _quantities(store)),
            *((name, pa.string()) for name in _JSON),
        ]
    )
    written = 0
    with whole(output) as draft, parquet.ParquetWriter(draft, schema) as writer:
        for group in _groups(store):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
            written += len(group)
    return written


def _type_of(pa: Any, name: str) -> Any:
    if name == "seed":
        return pa.int64()
    return pa.float64() if name in ("budget", *_TIMES) else pa.string()


def _quantities(store: Store) -> list[str]:
    """All columns of numbers that any record has."""
    found: dict[str, None] = {}
    for _, record in store.records():
        found |= dict.fromkeys(_numbers(record))
    return list(found)


def _groups(store: Store) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    for identity, record in store.records():
        raw = record.to_dict()
        rest = {name: json.dumps(raw[name]) for name in _JSON}
        plain = {name: raw[name] for name in (*_PLAIN, *_TIMES)}
        group.append({"id": identity, **plain, **_numbers(record), **rest})
        if len(group) == GROUP:
            yield group
            group = []
    if group:
        yield group


def _numbers(record: Record) -> dict[str, float]:
    values = {f"value.{name}": float(value) for name, value in record.values.items()}
    return values | {f"median.{name}": m.median for name, m in record.measurements.items()}
