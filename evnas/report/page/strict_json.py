"""JSON that every browser reads: NaN and infinities, which JSON lacks, become null."""

import json
import math
from collections.abc import Mapping
from typing import Any


def dumps(data: object) -> str:
    """`data` as JSON text."""
    try:
        return json.dumps(data, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(_finite(data), allow_nan=False, separators=(",", ":"))


def _finite(data: Any) -> Any:
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, Mapping):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return data
