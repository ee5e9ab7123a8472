"""How many architectures a space holds: counted where that is feasible, estimated where not.

Many points may mean one architecture (a knob that cannot matter). `encode` picks one point of
each, its canonical one, so the share of points that are valid and canonical, times the number of
points, is the number of distinct architectures.
"""

import math
import random
from collections import defaultdict
from dataclasses import dataclass

from evnas.arch.spec import ArchSpec
from evnas.space.axes import COUNT, Axis
from evnas.space.counting import MOST_PARTS, count_exactly
from evnas.space.space import Point, SearchSpace
from evnas.stats.interval import Interval, wilson

WALK_MOST = 20_000
"""Points that are walked rather than drawn, about 4 s."""


@dataclass(frozen=True, slots=True)
class Size(Interval):
    """Distinct valid architectures, between the bounds of what is known."""

    exact: bool
    points: int
    """Points, valid or not."""
    valid_share: float
    """Of evenly drawn points."""


def size_of(
    space: SearchSpace,
    *,
    walk: int = WALK_MOST,
    parts: int = MOST_PARTS,
    draws: int = 4000,
    apart: bool = True,
) -> Size:
    """Count by an exhaustive walk where there are few points, else stage by stage where the space
    comes apart (`apart`), else estimate from even draws.

    The bounds of an estimate are Wilson's at 95 % (Wilson 1927), so an estimate of a space in
    which no draw was valid still has a high end.
    """
    points = count_points(space)
    if points <= walk:
        return _walked(space, points)
    if apart and (count := count_exactly(space, parts=parts)) is not None:
        known = float(count.distinct)
        return Size(known, known, known, True, points, count.points / points)
    rng = random.Random(0)
    valid = distinct = 0
    for _ in range(draws):
        point = draw_evenly(space, rng)
        found = space.check(point)
        if isinstance(found, ArchSpec):
            valid += 1
            distinct += space.encode(found) == point
    share = wilson(distinct / draws, draws)
    low, mid, high = points * share.low, points * share.mid, points * share.high
    return Size(low, mid, high, False, points, valid / draws)


def _walked(space: SearchSpace, points: int) -> Size:
    digests: set[str] = set()
    valid = 0
    for point in space.points():
        found = space.check(point)
        if isinstance(found, ArchSpec):
            valid += 1
            digests.add(found.digest)
    count = float(len(digests))
    return Size(count, count, count, True, points, valid / points)


def count_points(space: SearchSpace) -> int:
    """The number of points, exactly, from the tree of axes."""
    return sum(_count_with(space, stages) for stages in _stage_counts(space))


def _stage_counts(space: SearchSpace) -> list[int | None]:
    count = space.by_key.get(COUNT)
    return [None] if count is None else [int(v) for v in count.domain.values]


def _count_with(space: SearchSpace, stages: int | None) -> int:
    total, lists = 1, defaultdict[str, list[Axis]](list)
    for axis in _roots(space, stages):
        if axis.order:
            lists[axis.order].append(axis)
        else:
            total *= _below(space, axis)
    for axes in lists.values():
        total *= math.comb(len(axes[0].domain) + len(axes) - 1, len(axes))
    return total


def _roots(space: SearchSpace, stages: int | None) -> list[Axis]:
    return [
        axis
        for axis in space.axes
        if axis.key != COUNT
        and (not axis.parent or (axis.parent == COUNT and stages in axis.parent_values))
    ]


def _below(space: SearchSpace, axis: Axis) -> int:
    """Points of the subtree of an axis."""
    if axis.templates is None:
        return len(axis.domain)
    return sum(_branch(space, axis, label) for label in axis.domain.values)


def _branch(space: SearchSpace, axis: Axis, label: object) -> int:
    inner = [a for a in space.axes if a.parent == axis.key and label in a.parent_values]
    return math.prod(_below(space, child) for child in inner)


def draw_evenly(space: SearchSpace, rng: random.Random) -> Point:
    """A random point, every point as likely: branches count by what they hold."""
    point: Point = {}
    for axis in space.active(point):
        weights = None
        if axis.key == COUNT:
            weights = [_count_with(space, stages) for stages in _stage_counts(space)]
        elif axis.templates is not None:
            weights = [_branch(space, axis, label) for label in axis.domain.values]
        if weights is None:
            point[axis.key] = axis.domain.draw(rng)
        else:
            point[axis.key] = rng.choices(axis.domain.values, weights)[0]
    space.put_in_order(point, rng)
    return point
