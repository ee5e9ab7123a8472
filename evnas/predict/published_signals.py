"""Signals of the printed architectures, measured once and shipped with the package."""

import csv
import functools
import importlib.resources
import json
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evnas.errors import StoreError
from evnas.predict.printed import Printed, by_digest

FILE = "signals.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalRow:
    """A printed architecture with what was measured of it."""

    printed: Printed
    inputs: Mapping[str, float]
    """`params`, `macs_exact`, and each signal's mean over the seeds that have it."""
    by_seed: tuple[Mapping[str, float], ...]
    """The signals of each seed."""
    seconds: Mapping[str, float]
    """Signal, or `mixers` for all that come from the mixers, to the mean time of one seed."""


@functools.cache
def published_signals() -> tuple[SignalRow, ...]:
    """A row for each printed architecture, as shipped."""
    return _rows(_text(FILE), FILE)


def signals_in(file: Path) -> tuple[SignalRow, ...]:
    """The same of a file that `evnas signals --published --csv FILE` wrote.

    Raises:
        StoreError: it cannot be read, or is of another form.
    """
    try:
        return _rows(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as e:
        raise StoreError(f"{file}: must be a file of signals, it cannot be read ({e})") from e


def _rows(text: str, where: str) -> tuple[SignalRow, ...]:
    by_name: dict[str, list[dict[str, str]]] = {}
    for raw in csv.DictReader(text.splitlines()):
        if not {"digest", "params", "macs_exact"} <= raw.keys():
            raise StoreError(
                f"{where}: must have columns digest, params and macs_exact, as "
                "`evnas signals --published --csv FILE` writes"
            )
        by_name.setdefault(raw["digest"], []).append(raw)
    return tuple(_row(by_digest()[d], raws) for d, raws in by_name.items() if d in by_digest())


@functools.cache
def measured_on() -> Mapping[str, Any]:
    """Machine, date and versions of the measurement."""
    found: dict[str, Any] = json.loads(_text("signals.json"))
    return found


def _text(name: str) -> str:
    return (
        importlib.resources.files("evnas.predict")
        .joinpath("data", name)
        .read_text(encoding="utf-8")
    )


def _row(printed: Printed, raws: list[dict[str, str]]) -> SignalRow:
    counted = {name: float(raws[0][name]) for name in ("params", "macs_exact")}
    skipped = {"name", "digest", "seed", "reasons", *counted}
    names = [n for n in raws[0] if n not in skipped and not n.startswith("seconds_")]
    by_seed = tuple({n: float(raw[n]) for n in names if raw[n]} for raw in raws)
    means = {
        n: _mean(known) for n in names if (known := [seed[n] for seed in by_seed if n in seed])
    }
    times = [n for n in raws[0] if n.startswith("seconds_")]
    seconds = {
        n.removeprefix("seconds_"): _mean(known)
        for n in times
        if (known := [float(raw[n]) for raw in raws if raw[n]])
    }
    return SignalRow(printed=printed, inputs=counted | means, by_seed=by_seed, seconds=seconds)


def _mean(values: Sequence[float]) -> float:
    """Added from left to right. `sum` does so up to Python 3.11 and compensates since 3.12: other
    last digits, and so another fit, of the same file."""
    return functools.reduce(operator.add, values) / len(values)
