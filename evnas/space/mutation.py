"""Variation of points: repair, mutation by type of axis, crossover by stage and by subtree.

Whatever comes in, what goes out is a valid point of the space with its architecture.
"""

import random
import re
from collections.abc import Iterator, Mapping
from functools import partial

from evnas.arch.paths import Concrete
from evnas.arch.plain import has, look, put
from evnas.arch.spec import ArchSpec
from evnas.space.axes import COUNT, Axis
from evnas.space.domains import Value
from evnas.space.space import Fault, Point, SearchSpace

MOST_REPAIRS = 60
NEAREST = 40
"""Values of one axis that are tried, the nearest first, where a point is wanted near another."""
WALKS = 8
"""Random walks that are tried beside them."""
MOST_LOOKS = 8
"""Values of an axis that are held against the conditions before one is tried in earnest."""
_NAMED = re.compile(r"head\.fusion|stages\[\d+\]")
"""Fields that a fault of the whole names in its sentence."""


def completed(space: SearchSpace, point: Mapping[str, Value], rng: random.Random) -> Point:
    """`point` with what leaks dropped, what lacks drawn, and lists put in order.

    A knob of a branch just entered takes the value that the branch left behind had at the same
    field, where the new branch allows one near it.
    """
    left: dict[Concrete, Value] | None = None
    whole: Point = {}
    for axis in space.active(whole):
        value = point.get(axis.key)
        if value is None or value not in axis.domain:
            if left is None:
                left = _left_behind(space, point)
            value = _carried(axis, left.get(axis.places[0]) if value is None else value, rng)
        whole[axis.key] = value
    space.put_in_order(whole)
    return whole


def _left_behind(space: SearchSpace, point: Mapping[str, Value]) -> dict[Concrete, Value]:
    known = [(space.by_key[key], value) for key, value in point.items() if key in space.by_key]
    return {place: value for axis, value in known for place in axis.places}


def _carried(axis: Axis, old: Value | None, rng: random.Random) -> Value:
    if old is not None and old in axis.domain:
        return old
    near = None if old is None else axis.domain.nearest(old)
    return axis.domain.draw(rng) if near is None else near


def repair(
    space: SearchSpace, point: Mapping[str, Value], rng: random.Random
) -> tuple[Point, ArchSpec]:
    """A valid point near `point`, else any.

    Raises:
        SpecError: the space seems to hold nothing valid.
    """
    return mend(space, point, rng) or space.sample(rng)


def mend(
    space: SearchSpace, point: Mapping[str, Value], rng: random.Random
) -> tuple[Point, ArchSpec] | None:
    """A valid point near `point`: a random walk over the axes that conditions complain of. None
    where it led nowhere."""
    here = completed(space, point, rng)
    found = space.check(here)
    for _ in range(MOST_REPAIRS):
        if isinstance(found, ArchSpec):
            return here, found
        blamed = _blamed(space, here, found)
        axis = blamed[int(rng.random() * len(blamed))]
        value = _repair_step(space, here[axis.key], axis, fault=found, rng=rng)
        if value == here[axis.key]:
            continue
        there = space.moved(here, axis, value)
        if there is None:
            there = completed(space, {**here, axis.key: value}, rng)
        then = space.check(there)
        if isinstance(then, ArchSpec) or then.count <= found.count:
            here, found = there, then
    return (here, found) if isinstance(found, ArchSpec) else None


def repair_near(
    space: SearchSpace, point: Mapping[str, Value], rng: random.Random
) -> tuple[Point, ArchSpec]:
    """The valid point that changes least of `point`, of those that are looked at: every axis that
    conditions complain of moved alone, and a few random walks.

    Raises:
        SpecError: the space seems to hold nothing valid.
    """
    here = completed(space, point, rng)
    found = space.check(here)
    if isinstance(found, ArchSpec):
        return here, found
    near = [*_one_axis_away(space, here, found, rng)]
    near += [walked for _ in range(WALKS) if (walked := mend(space, here, rng)) is not None]
    if not near:
        return space.sample(rng)
    return min(near, key=lambda other: _distance(space, here, other[0]))


def _one_axis_away(
    space: SearchSpace, point: Point, fault: Fault, rng: random.Random
) -> Iterator[tuple[Point, ArchSpec]]:
    """Of each blamed axis the nearest value that makes the point valid."""
    for axis in _blamed(space, point, fault):
        for value in _nearest_first(axis, point[axis.key])[:NEAREST] if axis.key in point else ():
            there = space.moved(point, axis, value)
            if there is None:
                there = completed(space, {**point, axis.key: value}, rng)
            found = space.check(there)
            if isinstance(found, ArchSpec):
                yield there, found
                break


def _nearest_first(axis: Axis, value: Value) -> list[Value]:
    others = [v for v in axis.domain.values if v != value]
    if axis.domain.ordered:
        at = axis.domain.index(value)
        others.sort(key=lambda v: abs(axis.domain.index(v) - at))
    return others


def _distance(space: SearchSpace, point: Point, other: Point) -> float:
    """How much two points differ: a share of an ordered range, else 1 an axis."""
    apart = 0.5 * len(point.keys() ^ other.keys())
    for key in point.keys() & other.keys():
        domain = space.by_key[key].domain
        if domain.ordered and len(domain) > 1:
            steps = abs(domain.index(point[key]) - domain.index(other[key]))
            apart += steps / (len(domain) - 1)
        else:
            apart += point[key] != other[key]
    return apart


def _repair_step(
    space: SearchSpace, old: Value, axis: Axis, *, fault: Fault, rng: random.Random
) -> Value:
    """Another value of an axis; of a few, the first with which fewer conditions are broken."""
    near = rng.random() < 0.4  # small moves keep the point, large ones reach far conditions
    draw = partial(axis.domain.neighbour, old, rng) if near else partial(axis.domain.draw, rng)
    raw, places = fault.raw, axis.places
    scalar = axis.templates is None and axis.key != COUNT
    if raw is None or not scalar or not all(has(raw, place) for place in places):
        return draw()
    before = [look(raw, place) for place in places]
    for _ in range(MOST_LOOKS):
        value = draw()
        for place in places:
            put(raw, place, value)
        if len(space.broken(raw)) < fault.count:
            break
    for place, kept in zip(places, before, strict=True):
        put(raw, place, kept)
    return value


def _blamed(space: SearchSpace, point: Point, fault: Fault) -> list[Axis]:
    """The axes of a point that may mend a fault, in the point's order."""
    keys: set[str] = set()
    for path in [path for path in fault.paths if path] or _named(fault.reason):
        keys |= space.touching(path.partition("[*]")[0])
    live = [axis for key in point if len((axis := space.by_key[key]).domain) > 1]
    return [axis for axis in live if axis.key in keys] or live or list(space.axes)


def _named(reason: str) -> list[str]:
    """What a sentence about the whole blames: a field, or which mixer a stage has."""
    found = []
    for name in _NAMED.findall(reason):
        found += [f"{name}.mixer.kind", f"{name}.block"] if name.startswith("stages") else [name]
    return found


def mutate(
    space: SearchSpace, point: Mapping[str, Value], rng: random.Random
) -> tuple[Point, ArchSpec]:
    """A valid neighbour: mostly one axis moved; at times two or three, or a stage copied over."""
    child: Point = dict(point)
    stages = sorted({axis.stage for axis in space.active(point) if axis.stage is not None})
    if len(stages) > 1 and rng.random() < 0.12:
        source, target = rng.sample(stages, 2)
        _copy_stage(space, child, source, target)
    else:
        moves = 1 + (rng.random() < 0.35) + (rng.random() < 0.15)
        for _ in range(moves):
            live = [a for a in space.active(child) if a.key in child and len(a.domain) > 1]
            if not live:
                break
            axis = live[int(rng.random() * len(live))]
            child[axis.key] = axis.domain.neighbour(child[axis.key], rng)
    return repair(space, child, rng)


def _copy_stage(space: SearchSpace, point: Point, source: int, target: int) -> None:
    """Give stage `target` what stage `source` has, but for its place in an ordered list."""
    old, new = f"stages[{source}]", f"stages[{target}]"
    copied = {
        key.replace(old, new): value
        for key, value in point.items()
        if key.startswith(old) and not space.by_key[key].order
    }
    for key in [k for k in point if k.startswith(new) and not space.by_key[k].order]:
        del point[key]
    point.update({key: value for key, value in copied.items() if key in space.by_key})


def crossover(
    space: SearchSpace,
    mother: Mapping[str, Value],
    father: Mapping[str, Value],
    rng: random.Random,
) -> tuple[Point, ArchSpec]:
    """A child of two points: whole stages from either, or one branch of the other's grafted in."""
    choices = [
        axis
        for axis in space.axes
        if axis.templates is not None and axis.key in mother and axis.key in father
    ]
    if choices and rng.random() < 0.3:
        graft = choices[int(rng.random() * len(choices))].key
        child = {k: v for k, v in mother.items() if not _within(k, graft)}
        child |= {k: v for k, v in father.items() if _within(k, graft)}
        return repair(space, child, rng)
    turn: dict[int | str, bool] = {}
    child = {}
    for axis in space.axes:
        root = axis.key.partition(":")[0]
        group: int | str = root if axis.stage is None else axis.stage
        of_mother = turn.setdefault(group, rng.random() < 0.5)
        parent = mother if of_mother else father
        if axis.key in parent:
            child[axis.key] = parent[axis.key]
    if COUNT in child:
        child = {**father, **mother, **child}
    return repair(space, child, rng)


def _within(key: str, root: str) -> bool:
    return key == root or key.startswith(f"{root}:")
