"""Rules of prices: what a convention counts of an operator that it does not count exactly."""

import math
from collections.abc import Callable
from typing import Any

from evnas.measure.counting.op_trace import TracedOp
from evnas.measure.counting.operators import macs

Rule = Callable[[TracedOp], int | None]
"""The price of an operation, or None where the rule does not speak of it."""

LAYER_NORMS = ("evnas.channel_layer_norm", "aten.layer_norm", "aten.group_norm")
PROJECTIONS = ("aten.conv1d", "aten.conv2d")


def free(*ops: str) -> Rule:
    """Nothing for these operators."""
    return lambda operation: 0 if operation.op in ops else None


def per_element(price: int, *ops: str) -> Rule:
    """`price` for every element of the input."""
    return lambda o: price * elements(o) if o.op in ops else None


def inside(owner: str, rule: Rule) -> Rule:
    """The rule, for calls from within modules of class `owner`."""
    return lambda o: rule(o) if o.within(owner) else None


def by(owner: str, rule: Rule) -> Rule:
    """The rule, for calls that the innermost module of class `owner` makes itself."""
    return lambda o: rule(o) if o.owners[-1:] == (owner,) else None


def layer_norm(o: TracedOp) -> int | None:
    """5 an element, 4 where it has no weight."""
    if o.op not in LAYER_NORMS:
        return None
    return elements(o) * (5 if o.arguments.get("weight") is not None else 4)


def einsum_projection(o: TracedOp) -> int | None:
    """A scan's own projections written as einsums."""
    if o.op not in PROJECTIONS:
        return None
    return as_einsum(macs(o.op, o.arguments, o.outputs))


def as_einsum(exact: int) -> int:
    """What fvcore reads of an einsum: half of numpy's count, printed with four digits."""
    return int(float(f"{2 * exact:.3e}") // 2)


def elements(o: TracedOp) -> int:
    """Of the input."""
    shape: Any = o.arguments.get("x") or o.arguments.get("input") or o.arguments.get("self")
    return math.prod(shape)
