"""Watching calls without changing what they do."""

from collections.abc import Callable
from typing import Any


def noting(calls: list[Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which notes the arguments of each call first."""

    def noted(*arguments: Any) -> Any:
        calls.append(arguments)
        return function(*arguments)

    return noted
