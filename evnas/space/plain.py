"""Plain data, the `to_dict` form of an architecture: copied, looked at and set by place."""

from typing import Any

from evnas.space.paths import Concrete

Plain = dict[str, Any]
"""The plain form of an architecture."""


def copied(data: Any) -> Any:
    """A copy of plain data, all the way down."""
    if isinstance(data, dict):
        return {key: copied(value) for key, value in data.items()}
    if isinstance(data, list):
        return [copied(value) for value in data]
    return data


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
