"""What a command printed, as latencies in milliseconds of one call of the whole batch."""

import json
import math
from dataclasses import dataclass
from typing import Any

from evnas.errors import MeasurementError
from evnas.sweep.parts import Parse

SHOWN = 80
"""Characters of nonsense that a message repeats."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The latencies of one run of the command, and what else it said."""

    latencies_ms: tuple[float, ...]
    batch: int | None = None
    """The images of one call, where the command says it."""
    device: str = ""
    """What it ran on, in the command's words."""
    peak_mib: float | None = None


def read_answer(text: str, parse: Parse) -> Answer:
    """Read what a command printed.

    Args:
        text: its whole standard output.
        parse: `numbers` takes nothing but numbers between blanks or commas; `json` takes the last
            line, a list of numbers or an object with `latency_ms` (a number or a list) and perhaps
            `batch`, `device` and `peak_mib`.

    Raises:
        MeasurementError: there are no latencies in it, or one is not above 0.
    """
    return _of_json(text) if parse == "json" else Answer(_latencies(_numbers(text), text))


def _numbers(text: str) -> list[float]:
    try:
        return [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        raise MeasurementError(
            "the command must print nothing but latencies in milliseconds (parse: numbers), got "
            f"{_shown(text)}"
        ) from None


def _of_json(text: str) -> Answer:
    last = text.strip().rpartition("\n")[2]
    try:
        found = json.loads(last)
    except ValueError:
        found = None
    said: dict[str, Any] = found if isinstance(found, dict) else {"latency_ms": found}
    latencies = said.get("latency_ms")
    if not isinstance(latencies, list):
        latencies = [latencies]
    batch, peak = said.get("batch"), said.get("peak_mib")
    if batch is not None and (not isinstance(batch, int) or isinstance(batch, bool)):
        raise MeasurementError(f"the command's `batch` must be a whole number, got {batch!r}")
    if peak is not None and not _is_positive(peak):
        raise MeasurementError(f"the command's `peak_mib` must be above 0, got {peak!r}")
    return Answer(_latencies(latencies, last), batch, str(said.get("device", "")), peak)


def _latencies(found: list[Any], text: str) -> tuple[float, ...]:
    if not found or not all(map(_is_positive, found)):
        raise MeasurementError(
            "the command must print latencies in milliseconds, each above 0: numbers, or with "
            f'parse: json a last line such as {{"latency_ms": [12.1, 12.3]}}; got {_shown(text)}'
        )
    return tuple(float(x) for x in found)


def _is_positive(x: Any) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x) and x > 0


def _shown(text: str) -> str:
    text = text.strip()
    return repr(text[:SHOWN]) + (" ..." if len(text) > SHOWN else "") if text else "nothing"
