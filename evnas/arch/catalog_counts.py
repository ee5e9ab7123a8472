"""Counts of the published architectures, made beforehand, so that a list of them needs no torch.

`scripts/count_catalog.py` writes the file beside this one from `evnas.measure.counting.flops`.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evnas.arch.catalog import Entry

FILE = Path(__file__).with_name("catalog_counts.json")


@dataclass(frozen=True, slots=True)
class Counted:
    """Parameters and multiply-adds for one image of the published resolution."""

    params: int
    macs: Mapping[str, int]
    """Convention -> count."""


def counted(known: Entry) -> Counted:
    """The counts of an entry of the catalogue, at its published resolution.

    Raises:
        KeyError: the file is older than the entry; `scripts/count_catalog.py` writes it again.
    """
    row = _rows()[known.arch.digest][str(known.resolution)]
    return Counted(row["params"], row["macs"])


@functools.cache
def _rows() -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
    return rows
