"""An architecture as numbers for a model of its results: per stage, branch by branch."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evnas.search.strategies.surrogate import Pairs
from evnas.space.axes import COUNT
from evnas.space.domains import Domain, Value
from evnas.space.space import Point, SearchSpace

ALIKE = 0.35
"""How far apart values of an ordered range, which is 1 long, are still alike."""
MOST_PLACES = 32
"""Of a longer range so many values are told apart."""


class Features:
    """Maps points of one space to vectors, each entry about 0 to 1.

    An ordered axis is its place in its range, centred, and 0 where it does not exist, beside a
    flag for each branch; a category is one flag a value. Widths, depths and their products come
    as logarithms too, since costs and gains follow those, for each branch of its own.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._first: dict[str, int] = {}
        size = 0
        for axis in space.axes:
            self._first[axis.key] = size
            size += 1 if axis.domain.ordered else len(axis.domain)
        self._size = size
        self._tables: dict[str, tuple[slice, NDArray[np.float64]]] = {}
        """Of each axis where it stands, and its `_factors`."""
        self._places = 0
        for axis in space.axes:
            table = _factors(axis.domain)
            self._tables[axis.key] = slice(self._places, self._places + len(table[0])), table
            self._places += len(table[0])
        self._stages = 8 if COUNT in space.by_key else len(space.plain({})["stages"])
        self._whole = 2 * self._size + 4 * self._stages + 3

    def __call__(self, point: Point, raw: Mapping[str, Any]) -> NDArray[np.float64]:
        """(F,) for a point and the plain form of its architecture."""
        x = np.zeros(self._whole)
        for key, value in point.items():
            domain = self.space.by_key[key].domain
            at = domain.index(value)
            if domain.ordered:
                x[self._first[key]] = at / max(1, len(domain) - 1) - 0.5
            else:
                x[self._first[key] + at] = 0.5
                stage = self.space.by_key[key].stage
                if stage is not None and stage < len(raw["stages"]):
                    here = raw["stages"][stage]
                    size = math.log2(here["depth"] * here["dim"] / 256) / 6
                    x[self._size + self._first[key] + at] = size
        self._sizes(x[2 * self._size :], raw["stages"])
        return x

    def with_axes(self, point: Point, raw: Mapping[str, Any]) -> NDArray[np.float64]:
        """The features, and every axis in the two forms that `pairs` names."""
        axes = np.zeros((2, self._places))
        for key, value in point.items():
            here, table = self._tables[key]
            axes[:, here] = table[:, _place(self.space.by_key[key].domain, value)]
        return np.concatenate([self(point, raw), axes.ravel()])

    def pairs(self) -> Pairs:
        """Where the axes stand in what `with_axes` gives."""
        first, last = self._whole + self._places, self._whole + 2 * self._places
        return Pairs(slice(0, self._whole), slice(self._whole, first), slice(first, last))

    def _sizes(self, x: NDArray[np.float64], stages: list[Mapping[str, Any]]) -> None:
        weights = work = tokens = 0.0
        for i, stage in enumerate(stages):
            dim, depth = stage["dim"], stage["depth"]
            cost = depth * dim * dim * (3.0 + 2.0 * stage["mlp_ratio"])
            x[4 * i : 4 * i + 4] = (
                math.log2(dim / 128) / 2,
                math.log2(depth / 2) / 2,
                math.log2(cost / 1e6) / 4,
                math.log2((stage["mixer"] or {}).get("states", 16) / 16) / 4,
            )
            weights += cost
            work += cost / 4.0**i
            tokens += depth * dim / 4.0**i
        x[-3:] = (
            math.log2(weights / 1e6) / 2,
            math.log2(work / 1e6) / 2,
            math.log2(tokens / 256) / 2,
        )


def _place(domain: Domain, value: Value) -> int:
    """Of a value among those that a model tells apart; of a long range several have one."""
    at, last = domain.index(value), len(domain) - 1
    return round(at * (MOST_PLACES - 1) / last) if _is_long(domain) else at


def _is_long(domain: Domain) -> bool:
    return domain.ordered and len(domain) > MOST_PLACES


def _factors(domain: Domain) -> NDArray[np.float64]:
    """(2, n, n): rows of n places whose products say how alike two are, and the square of it."""
    count = MOST_PLACES if _is_long(domain) else len(domain)
    alike = np.eye(count)
    if domain.ordered and count > 1:
        at = np.arange(count) / (count - 1)
        alike = np.exp(-((at[:, None] - at[None, :]) ** 2) / (2 * ALIKE * ALIKE))
    found = []
    for table in (alike, alike * alike):
        values, vectors = np.linalg.eigh(table)
        found.append(vectors * np.sqrt(np.maximum(values, 0.0)))
    return np.stack(found)
