"""Writes points into the plain form of an architecture: places and templates looked up once."""

from collections.abc import Mapping, Sequence
from typing import Any

from evnas.arch.paths import Concrete
from evnas.arch.plain import Plain, cloned, shape_of
from evnas.space.axes import COUNT, Axis
from evnas.space.domains import Value

_Place = tuple[Concrete, str | int]
"""The container, and the key or index in it."""
_Part = tuple[_Place, Any, Any]
"""Where a branch puts what, and the shape of that; None for a scalar."""


class Writer:
    """The plain base of a space, and what each value of each axis changes in it."""

    def __init__(self, raw: Plain, axes: Sequence[Axis]) -> None:
        self._raw = raw
        self._shape = shape_of(raw)
        # parents stand before children, whose values go into what their branch put there
        self._axes = [
            (axis.key, [(p[:-1], p[-1]) for p in axis.places], _parts(axis))
            for axis in axes
            if axis.key != COUNT
        ]

    def plain(self, point: Mapping[str, Value]) -> Plain:
        """The plain form that a point means, not yet validated."""
        raw: Plain = cloned(self._raw, self._shape)
        for key, places, parts in self._axes:
            if key not in point:
                continue
            value = point[key]
            if parts is not None:
                for (above, last), part, shape in parts[value]:
                    _at(raw, above)[last] = part if shape is None else cloned(part, shape)
            else:
                for above, last in places:
                    _at(raw, above)[last] = value
        if COUNT in point:
            del raw["stages"][int(point[COUNT]) :]
        return raw


def _parts(axis: Axis) -> dict[Value, list[_Part]] | None:
    if axis.templates is None:
        return None
    return {
        label: [
            ((place[:-1], place[-1]), part, shape_of(part) if isinstance(part, dict) else None)
            for place, part in zip(axis.places, parts, strict=True)
        ]
        for label, parts in axis.templates.items()
    }


def _at(data: Any, place: Concrete) -> Any:
    for step in place:
        data = data[step]
    return data
