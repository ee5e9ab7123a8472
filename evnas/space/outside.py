"""Why a space does not hold an architecture, in one sentence that names the field."""

from collections.abc import Sequence

from evnas.space.arch import ArchSpec
from evnas.space.axes import COUNT, Axis
from evnas.space.paths import diff, spell
from evnas.space.plain import Plain, look


def foreign_value(axes: Sequence[Axis], raw: Plain) -> str:
    """The first axis of the root whose domain lacks what `raw` has there; "" where none does."""
    for axis in axes:
        for place in axis.places if axis.parent in ("", COUNT) and axis.fixed is None else ():
            value = look(raw, place)
            scalar = isinstance(value, str | int | float)
            if scalar and axis.key != COUNT and value not in axis.domain:
                return f"{spell(place)} is {value}, not among {axis.domain.spell()}"
    return ""


def first_difference(axes: Sequence[Axis], found: ArchSpec, arch: ArchSpec) -> str:
    """How `arch` differs from the nearest thing that the space holds."""
    path, here, there = diff(found, arch)[0]
    for axis in axes:
        own = axis.fixed is None and path in map(spell, axis.places)
        if (own or path == axis.order) and there not in axis.domain:
            return f"{path} is {there}, not among {axis.domain.spell()}"
    return f"{path} is {there}, which the space holds at {here}"


def wrong_count(axes: Sequence[Axis], raw: Plain) -> str:
    """That `stages.count` lacks the number of stages; it is the one thing left to differ."""
    count = next(axis for axis in axes if axis.key == COUNT)
    return f"{len(raw['stages'])} stages are not among {count.domain.spell()}"
