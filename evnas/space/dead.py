"""Values of a space that no architecture of it can have, such as a mixer that the head refuses."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from evnas.arch.spec import ArchSpec
from evnas.space.axes import Axis
from evnas.space.domains import Value
from evnas.space.mutation import mend
from evnas.space.size import count_points
from evnas.space.space import Fault, Point, SearchSpace

WALK_MOST = 3000
"""Points that are looked at one by one, about half a second."""
DRAWS = 400
"""Of the whole space, before values that were not met are looked for each."""
TRIES = 60
MENDS = 10
"""Draws of one value, and those that are walked from towards an architecture with it."""
Place = tuple[str, Value]


@dataclass(frozen=True, slots=True)
class Dead:
    """A value that no architecture has, and what speaks against most points with it."""

    axis: str
    value: Value
    reason: str
    certain: bool
    """Whether every point was accounted for; else only draws were."""

    def __str__(self) -> str:
        start = f"no architecture {'of the space' if self.certain else 'that could be found'}"
        return f"{start} has {self.axis} = {self.value}: {self.reason}"


def dead_values(space: SearchSpace) -> list[Dead]:
    """Each named once: what hangs below a dead branch is not named again.

    A space of few points is walked; in a larger one each value is looked for by draws, and by
    walks from draws that have it towards an architecture.
    """
    found = _walked(space) if count_points(space) <= WALK_MOST else _drawn(space)
    gone = {(dead.axis, dead.value) for dead in found}
    return [dead for dead in found if not _below_one(space.by_key[dead.axis], gone)]


def _below_one(axis: Axis, gone: set[Place]) -> bool:
    return bool(axis.parent) and all((axis.parent, v) in gone for v in axis.parent_values)


def _walked(space: SearchSpace) -> list[Dead]:
    alive: set[Place] = set()
    faults: dict[Place, Counter[str]] = defaultdict(Counter)
    for point in space.points():
        found = space.check(point)
        if isinstance(found, ArchSpec):
            alive.update(point.items())
        else:
            for place in point.items():
                faults[place][found.reason] += 1
    if not alive:  # that the space is empty is said elsewhere
        return []
    return [
        Dead(axis.key, value, _commonest(faults[axis.key, value], axis), certain=True)
        for axis, value in _places(space)
        if (axis.key, value) not in alive and faults[axis.key, value]
    ]


def _drawn(space: SearchSpace) -> list[Dead]:
    rng = random.Random(0)
    alive: set[Place] = set()
    for _ in range(DRAWS):
        _meet(space, space.draw(rng), alive)
    found: list[Dead] = []
    gone: set[Place] = set()
    for axis, value in _places(space):
        # an ordered list's values hang on each other: one of them is not held alone
        if (axis.key, value) in alive or axis.order or _below_one(axis, gone):
            continue
        reason = _never_met(_holding(space, axis, value, gone), axis, rng, alive)
        if reason:
            gone.add((axis.key, value))
            found.append(Dead(axis.key, value, reason, certain=False))
    return found


def _holding(space: SearchSpace, axis: Axis, value: Value, gone: set[Place]) -> SearchSpace:
    """The space with that value, and with branches above it that lead there."""
    held = space.holding(axis.key, value)
    while axis.parent:
        above = space.by_key[axis.parent]
        ways = [v for v in above.domain.values if v in axis.parent_values]
        open_ways = [v for v in ways if (above.key, v) not in gone]
        held, axis = held.holding(above.key, open_ways[-1]), above
    return held


def _never_met(held: SearchSpace, axis: Axis, rng: random.Random, alive: set[Place]) -> str:
    """What speaks against most points of a space; "" where one of them is an architecture."""
    faults: Counter[str] = Counter()
    for _ in range(TRIES):
        fault = _meet(held, held.draw(rng), alive)
        if fault is None:
            return ""
        faults[fault.reason] += 1
    for _ in range(MENDS):  # rare is not never: conditions may leave few points
        mended = mend(held, held.draw(rng), rng)
        if mended is not None:
            alive.update(mended[0].items())
            return ""
    return _commonest(faults, axis)


def _meet(space: SearchSpace, point: Point, alive: set[Place]) -> Fault | None:
    found = space.check(point)
    if isinstance(found, Fault):
        return found
    alive.update(point.items())
    return None


def _places(space: SearchSpace) -> Iterator[tuple[Axis, Value]]:
    for axis in space.axes:
        for value in axis.domain.values:
            yield axis, value


def _commonest(faults: Counter[str], axis: Axis) -> str:
    """The reason of most points, where there are such of those that name the axis' own stage."""
    own = [(reason, n) for reason, n in faults.items() if f"stages[{axis.stage}]" in reason]
    return max(own or faults.items(), key=lambda found: found[1])[0]
