"""What a column of the trial view is: its label, unit and which way is better.

A key is a record's name for the quantity with its unit (`params_m`), with `@TARGET` behind it
where it was taken on a target; `:low` and `:high` behind that name the bounds of its interval.
"""

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from evnas.tables import quantities, quantity_and_target

if TYPE_CHECKING:
    from evnas.phases.base import Quantity

Direction = Literal["more", "less"]
Better = Direction | Literal[""]

_BESIDE: dict[str, tuple[str, str, Better]] = {
    "macs_exact_g": ("FLOPs, exact", "G", "less"),
    "macs_paper_g": ("FLOPs, by the paper", "G", "less"),
    "base_latency_ms": ("Latency of the base", "ms", ""),
    "train_throughput_img_s": ("Training throughput", "images/s", "more"),
    "train_throughput_ratio": ("Training throughput, ratio to base", "", "more"),
    "train_images": ("Images trained on", "", ""),
    "train_seconds": ("Time trained", "s", ""),
    "held_out_images": ("Held-out images", "", ""),
    "top5_percent": ("Top-5 (proxy)", "%", "more"),
    "seeds": ("Seeds", "", ""),
    "budget": ("Budget", "image presentations", ""),
    "seconds": ("Device time", "s", "less"),
    "ended": ("Ended", "", ""),
    "depth": ("Blocks", "", ""),
    "number": ("Order", "", ""),
}
"""What records and frames hold beside the quantities of phases."""
_BETTER: dict[str, Better] = {"max": "more", "min": "less", "": ""}
SCALES: dict[str, tuple[str, float]] = {
    "params": ("params_m", 1e6),
    "macs": ("macs_paper_g", 1e9),
    "macs_exact": ("macs_exact_g", 1e9),
}
"""Plain counts of a record -> the key they are shown under, and what they are divided by: a
product with 1e-6 would miss the decimal that a filter spells."""


@dataclass(frozen=True, slots=True)
class Column:
    """How one numeric column is headed, and which way is better."""

    key: str
    label: str
    unit: str
    target: str
    better: Better


@functools.cache
def spelt_intervals(phases: tuple[str, ...]) -> "tuple[Quantity, ...]":
    """Quantities whose interval a record spells.

    Args:
        phases: those that are registered; the answer is kept as long as they are.
    """
    return tuple(q for q in quantities().values() if q.ends is not None)


def describe_column(key: str) -> Column:
    """The column of a key; a name nobody knows is shown as it stands, without a direction."""
    name, target = quantity_and_target(key)
    found = quantities().get(name)
    if name in _BESIDE:
        label, unit, better = _BESIDE[name]
    elif found is not None:
        label, unit, better = found.heading, found.unit, _BETTER[found.goal]
    else:
        label, unit, better = _guessed(name)
    return Column(key, label, unit, target, better)


def _guessed(name: str) -> tuple[str, str, Better]:
    units: dict[str, tuple[str, Better]] = {
        "_percent": ("%", "more"),
        "_img_s": ("images/s", "more"),
        "_ms": ("ms", "less"),
        "_mib": ("MiB", "less"),
        "_g": ("G", "less"),
        "_m": ("M", "less"),
        "_s": ("s", "less"),
    }
    for ending, (unit, better) in units.items():
        if name.endswith(ending):
            return name.removesuffix(ending).replace("_", " ").capitalize(), unit, better
    return name.replace("_", " ").capitalize(), "", ""


def scale_count(name: str, value: float) -> tuple[str, float]:
    """A record's point result under the key and in the unit it is shown in."""
    if name in SCALES:
        key, unit = SCALES[name]
        return key, value / unit
    if name.startswith("macs_") and not name.endswith("_g"):
        return f"{name}_g", value / 1e9
    if name.startswith("params_") and not name.endswith("_m"):
        return f"{name}_m", value / 1e6
    return name, value
