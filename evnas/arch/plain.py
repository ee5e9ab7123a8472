"""Plain data, the `to_dict` form of an architecture: copied, looked at and set by place."""

from typing import Any

from evnas.arch.paths import Concrete

Plain = dict[str, Any]
"""The plain form of an architecture."""


def copied(data: Any) -> Any:
    """A copy of plain data, all the way down."""
    if isinstance(data, dict):
        return {key: copied(value) for key, value in data.items()}
    if isinstance(data, list):
        return [copied(value) for value in data]
    return data


Shape = tuple[tuple[str | int, "Shape"], ...]
"""Where plain data holds lists and mappings: key or index -> the same of what stands there."""


def shape_of(data: Any) -> Shape:
    """The shape of a list or mapping, for `cloned`."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    return tuple((key, shape_of(v)) for key, v in items if isinstance(v, dict | list))


def cloned(data: Any, shape: Shape) -> Any:
    """A copy of a list or mapping of a known shape: `copied` without a look at every scalar."""
    new = data.copy()
    for key, inner in shape:
        new[key] = cloned(data[key], inner)
    return new


def look(data: Any, place: Concrete) -> Any:
    """What stands at a place of plain data; None where there is no such place."""
    for step in place:
        if data is None:
            return None
        if isinstance(step, int):
            data = data[step] if step < len(data) else None
        else:
            data = data.get(step)
    return data


def has(data: Any, place: Concrete) -> bool:
    """Whether plain data has a place."""
    for step in place:
        if isinstance(step, int):
            if not isinstance(data, list) or step >= len(data):
                return False
        elif not isinstance(data, dict) or step not in data:
            return False
        data = data[step]
    return True


def put(data: Any, place: Concrete, value: Any) -> None:
    """Set a place of plain data that exists."""
    for step in place[:-1]:
        data = data[step]
    data[place[-1]] = value
