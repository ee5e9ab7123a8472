"""What one axis may be: a finite list of values, in an order or not, and moves within it."""

import math
import random
from dataclasses import dataclass, field

from evnas.errors import SpecError

Value = str | int | float | bool
"""What stands at an axis of a point: a scalar, or the label of a branch."""

MOST_VALUES = 100_000


@dataclass(frozen=True, slots=True)
class Domain:
    """The values of one axis. `ordered` says that neighbours are alike (a range of numbers)."""

    values: tuple[Value, ...]
    ordered: bool
    _index: dict[Value, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.values:
            raise SpecError("must have at least one value, got none")
        index = {value: i for i, value in enumerate(self.values)}
        if len(index) != len(self.values):
            raise SpecError(f"must name each value once, got {list(self.values)}")
        object.__setattr__(self, "_index", index)

    def __len__(self) -> int:
        return len(self.values)

    def __contains__(self, value: object) -> bool:
        return value in self._index

    def index(self, value: Value) -> int:
        """Position of a value that the domain holds."""
        return self._index[value]

    def draw(self, rng: random.Random) -> Value:
        """A value, each as likely."""
        return self.values[int(rng.random() * len(self.values))]

    def neighbour(self, value: Value, rng: random.Random) -> Value:
        """Another value: mostly a step away where there is an order; itself if it is alone."""
        count = len(self.values)
        if count == 1:
            return self.values[0]
        at = self._index[value]
        if self.ordered and rng.random() < 0.8:
            step = 1 if rng.random() < 0.7 else 2
            to = at + (step if rng.random() < 0.5 else -step)
            to = min(max(to, 0), count - 1)
            if to != at:
                return self.values[to]
        return self.values[(at + 1 + int(rng.random() * (count - 1))) % count]

    def nearest(self, value: object) -> Value | None:
        """The value nearest to a number, for repair; None where there is no such thing."""
        if not self.ordered or isinstance(value, bool) or not isinstance(value, int | float):
            return None
        numbers = [v for v in self.values if isinstance(v, int | float)]
        return min(numbers, key=lambda v: abs(v - value)) if numbers else None

    def spell(self) -> str:
        """The values in one short line."""
        if self.ordered and len(self.values) > 4:
            step = float(self.values[1]) - float(self.values[0])
            return f"{self.values[0]} to {self.values[-1]} by {step:g}"
        return ", ".join(str(v) for v in self.values)


def category(values: list[Value]) -> Domain:
    """The values as listed; numbers in ascending order are one, so that moves may be small."""
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    ordered = len(numbers) == len(values) > 1 and numbers == sorted(numbers)
    return Domain(tuple(values), ordered)


def int_range(low: int, high: int, step: int) -> Domain:
    """`low`, `low + step`, ... up to `high`, which is reached only if a step lands on it."""
    if high < low:
        raise SpecError(f"int must have high of at least low, got {low} to {high}")
    if (high - low) // step >= MOST_VALUES:
        raise SpecError(f"int must have at most {MOST_VALUES} values; widen step {step}")
    return Domain(tuple(range(low, high + 1, step)), ordered=True)


def float_range(low: float, high: float, step: float) -> Domain:
    """The same for numbers with a fraction, rounded to where the step says they lie."""
    if not all(map(math.isfinite, (low, high, step))):
        raise SpecError(f"float must have finite bounds and step, got {low}, {high}, {step}")
    if high < low:
        raise SpecError(f"float must have high of at least low, got {low} to {high}")
    count = math.floor((high - low) / step + 1e-9) + 1
    if count > MOST_VALUES:
        raise SpecError(f"float must have at most {MOST_VALUES} values; widen step {step}")
    return Domain(tuple(round(low + i * step, 10) for i in range(count)), ordered=True)
