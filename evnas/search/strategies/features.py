"""An architecture as numbers for a model of its results: per stage, branch by branch."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evnas.space.axes import COUNT
from evnas.space.space import Point, SearchSpace


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
        self._stages = 8 if COUNT in space.by_key else len(space.plain({})["stages"])

    def __call__(self, point: Point, raw: Mapping[str, Any]) -> NDArray[np.float64]:
        """(F,) for a point and the plain form of its architecture."""
        x = np.zeros(2 * self._size + 4 * self._stages + 3)
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
