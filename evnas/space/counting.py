"""Exact counts of spaces too large to walk: stages counted apart, then joined by what ties them.

Stages and what lies outside them meet in few places: conditions, which read some fields, ordered
lists, and two rules of `ArchSpec` (`norm` where no block has batch norm, `head.fusion: hidden`
where every mixer has hidden states). So each stage's architectures are grouped by just those, and
only groups are combined; ordered lists, which tie a stage to the one before it alone, stage after
stage. Distinct canonical stages and whatever surrounds them give distinct architectures, hence
products of counts are counts.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from evnas.arch.paths import parse
from evnas.arch.plain import Plain, look
from evnas.arch.spec import ArchSpec, StageSpec
from evnas.errors import SpecError
from evnas.mixers import MIXERS
from evnas.space.axes import COUNT, Axis
from evnas.space.space import Point, SearchSpace
from evnas.space.writer import Writer
from evnas.tables import BLOCKS

MOST_PARTS = 300_000
"""Points of all stages together, about 5 s; combinations of groups, as many again."""
MOST_OUTER = 64
"""Assignments of what stages share, each of which is counted by itself."""

Ties = tuple[Any, ...]
"""What conditions read of a stage."""
Picks = tuple[int | None, ...]
"""A stage's places in the ordered lists, so signed that no stage's may be smaller than those of
the stage before; None in a list that leaves the stage out."""
Rules = tuple[bool, bool]
"""Whether a stage has hidden states, and whether its block has no batch norm."""


@dataclass(frozen=True, slots=True)
class SpaceCount:
    """Distinct valid architectures, and the valid points that mean them."""

    distinct: int
    points: int

    def __add__(self, other: "SpaceCount") -> "SpaceCount":
        return SpaceCount(self.distinct + other.distinct, self.points + other.points)

    def __mul__(self, other: "SpaceCount") -> "SpaceCount":
        return SpaceCount(self.distinct * other.distinct, self.points * other.points)


NONE, ONE = SpaceCount(0, 0), SpaceCount(1, 1)


@dataclass(slots=True)
class StageCount:
    """The architectures of one stage by ties, rules and picks, with one of each to show."""

    groups: dict[Ties, dict[Rules, dict[Picks, SpaceCount]]]
    plain: dict[Ties, Plain]
    spec: dict[Rules, StageSpec]
    picks: set[Picks]
    all: set[StageSpec]


class _Tangled(Exception):
    """The space does not come apart in the way that this module knows."""


def count_exactly(space: SearchSpace, *, parts: int = MOST_PARTS) -> SpaceCount | None:
    """The count; None where the space is too large even so, or does not come apart.

    Args:
        parts: points of all stages together that are looked at, at most.
    """
    try:
        return _Counter(space, parts).total()
    except _Tangled:
        return None


class _Counter:
    def __init__(self, space: SearchSpace, parts: int) -> None:
        self.space = space
        self.parts = parts
        inside = [a for a in space.axes if all(p[0] == "stages" for p in a.places)]
        self.outer = [a for a in inside if a.stage is None]
        self.inner = [a for a in inside if a.stage is not None]
        self.around = [a for a in space.axes if a.places[0][0] != "stages"]
        self.tails, self.heads = _read_by(space)
        self.lists = list(dict.fromkeys(a.order for a in self.inner if a.order))
        self.writer = Writer(space.plain({}), space.axes)

    def total(self) -> SpaceCount:
        outer = list(itertools.islice(_points(self.outer, {}), MOST_OUTER + 1))
        if len(outer) > MOST_OUTER or any(a.order for a in self.outer):
            raise _Tangled
        found, seen = NONE, defaultdict[int, list[set[StageSpec]]](list)
        for point in outer:
            stages = self._stages(point)
            seen[len(stages)].append(stages[0].all)
            found += self._joined(stages, point)
        for sets in seen.values():  # what stages share must show in the stages
            if sum(map(len, sets)) != len(set().union(*sets)):
                raise _Tangled
        return found

    def _stages(self, outer: Point) -> list[StageCount]:
        count = len(self.writer.plain(outer)["stages"])
        axes = [[a for a in self.inner if a.stage == i] for i in range(count)]
        groups = math.prod(len(a.domain) for a in self.inner if self._is_read(a))
        if sum(_most_points(some) for some in axes) > self.parts or groups > 4 * self.parts:
            raise _Tangled  # `_joined` would say so too, but after seconds
        for name in self.lists:
            holding = [i for i in range(count) if any(a.order == name for a in axes[i])]
            if holding != list(range(holding[0], holding[-1] + 1)) if holding else False:
                raise _Tangled  # a list that passes over a stage
        return [self._stage(i, axes[i], outer) for i in range(count)]

    def _is_read(self, axis: Axis) -> bool:
        return any(place[2 : 2 + len(t)] == t for place in axis.places for t in self.tails)

    def _stage(self, i: int, axes: Sequence[Axis], outer: Point) -> StageCount:
        writer = Writer(self.writer.plain({k: v for k, v in outer.items() if k != COUNT}), axes)
        kept = StageCount({}, {}, {}, set(), set())
        ties_of: dict[StageSpec, tuple[Ties, Picks]] = {}
        ordered = {a.order: a for a in axes if a.order}
        for point in _points(axes, outer):
            try:
                spec = StageSpec.model_validate(writer.plain(point)["stages"][i])
            except ValueError:
                continue
            plain = spec.model_dump(mode="json")
            ties = tuple(look(plain, t) for t in self.tails)
            picks = tuple(_pick(ordered.get(name), point) for name in self.lists)
            if any(isinstance(tie, dict | list) for tie in ties):
                raise _Tangled
            if ties_of.setdefault(spec, (ties, picks)) != (ties, picks):
                raise _Tangled  # an ordered value that the canonical form forgets
            rules = _rules(spec)
            group = kept.groups.setdefault(ties, {}).setdefault(rules, {})
            group[picks] = group.get(picks, NONE) + SpaceCount(spec not in kept.all, 1)
            kept.all.add(spec)
            kept.picks.add(picks)
            kept.plain.setdefault(ties, plain)
            kept.spec.setdefault(rules, spec)
        return kept

    def _joined(self, stages: Sequence[StageCount], outer: Point) -> SpaceCount:
        if not all(stage.groups for stage in stages):
            return NONE
        around = self._around(stages, outer)
        size = math.prod(len(stage.groups) for stage in stages) * len(around)
        chain = _Chain(stages)
        if size > self.parts or chain.cost > 10 * self.parts:
            raise _Tangled
        found = NONE
        for ties in itertools.product(*(stage.groups for stage in stages)):
            plains = [stage.plain[t] for stage, t in zip(stages, ties, strict=True)]
            for head, counts in around.values():
                if not self.space.broken(head | {"stages": plains}):
                    for rules, count in counts.items():
                        found += chain.count(tuple(zip(ties, rules, strict=True))) * count
        return found

    def _around(
        self, stages: Sequence[StageCount], outer: Point
    ) -> dict[str, tuple[Plain, dict[tuple[Rules, ...], SpaceCount]]]:
        """What stands around the stages, by what conditions read of it: one of each, and how
        many there are beside stages of which rules."""
        base = {k: v for k, v in outer.items() if k == COUNT}
        found: dict[str, tuple[Plain, dict[tuple[Rules, ...], SpaceCount]]] = {}
        held: set[tuple[Any, ...]] = set()
        beside = list(itertools.product(*(stage.spec for stage in stages)))
        points = list(itertools.islice(_points(self.around, base), self.parts))
        if len(points) * len(beside) > self.parts // 10:
            raise _Tangled
        for point, rules in itertools.product(points, beside):
            raw = self.writer.plain(point)
            raw["stages"] = [s.spec[r] for s, r in zip(stages, rules, strict=True)]
            try:
                arch = ArchSpec.from_dict(raw)
            except SpecError:
                continue
            plain = arch.to_dict()
            del plain["stages"]
            read = repr([look(plain, head) for head in self.heads])
            counts = found.setdefault(read, (plain, {}))[1]
            new = (rules, repr(plain))
            counts[rules] = counts.get(rules, NONE) + SpaceCount(new not in held, 1)
            held.add(new)
        return found


Kinds = tuple[tuple[Ties, Rules], ...]
"""Of the first stages, what group each is of."""


class _Chain:
    """Counts of stages of given groups whose ordered lists are in order."""

    def __init__(self, stages: Sequence[StageCount]) -> None:
        self._stages = stages
        self._reached: dict[Kinds, dict[Picks, SpaceCount]] = {}

    @property
    def cost(self) -> int:
        """About how many products `count` takes for all groups together."""
        kinds = [sum(map(len, stage.groups.values())) for stage in self._stages]
        picks = [len(stage.picks) for stage in self._stages]
        before = [math.prod(kinds[:i]) for i in range(len(kinds))]
        pairs = zip(before[1:], itertools.pairwise(picks), strict=True)
        return math.prod(kinds) * picks[-1] + sum(n * a * b for n, (a, b) in pairs)

    def count(self, kinds: Kinds) -> SpaceCount:
        """Of whole architectures."""
        return sum(self._ends(kinds).values(), start=NONE)

    def _ends(self, kinds: Kinds) -> dict[Picks, SpaceCount]:
        """Counts of the first stages, by the picks of the last of them."""
        ties, rules = kinds[-1]
        here = self._stages[len(kinds) - 1].groups[ties].get(rules, {})
        if len(kinds) == 1:
            return here
        reached = self._reach(kinds[:-1])
        return {picks: count * reached[picks] for picks, count in here.items()}

    def _reach(self, kinds: Kinds) -> dict[Picks, SpaceCount]:
        """Counts of the first stages that the next may follow, by the next one's picks."""
        if kinds not in self._reached:
            ends = self._ends(kinds)
            self._reached[kinds] = {
                picks: sum((n for last, n in ends.items() if _follows(last, picks)), start=NONE)
                for picks in self._stages[len(kinds)].picks
            }
        return self._reached[kinds]


def _pick(axis: Axis | None, point: Point) -> int | None:
    if axis is None:
        return None
    place = axis.domain.index(point[axis.key])
    return -place if axis.descending else place


def _follows(last: Picks, picks: Picks) -> bool:
    return all(a is None or b is None or a <= b for a, b in zip(last, picks, strict=True))


def _rules(spec: StageSpec) -> Rules:
    hidden = spec.mixer is not None and MIXERS.get(spec.mixer.kind).hidden_states
    return hidden, not BLOCKS.get(spec.block).batch_norm


def _read_by(space: SearchSpace) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """What conditions read within stages, and elsewhere."""
    tails, heads = set(), set()
    for expression in space.require:
        for path in expression.fields:
            try:
                names = tuple(step for step in parse(path) if isinstance(step, str))
            except SpecError:  # a slice with a step, which conditions know and paths do not
                raise _Tangled from None
            if names == ("stages",):
                raise _Tangled
            if names[0] == "stages":
                tails.add(names[1:])
            else:
                heads.add(names)
    return sorted(tails), sorted(heads)


def _points(axes: Sequence[Axis], point: Point, at: int = 0) -> Iterator[Point]:
    """Every combination of some axes beside a point, each once."""
    while at < len(axes):
        axis = axes[at]
        if not axis.parent or point.get(axis.parent) in axis.parent_values:
            for value in axis.domain.values:
                yield from _points(axes, {**point, axis.key: value}, at + 1)
            return
        at += 1
    yield point


def _most_points(axes: Sequence[Axis]) -> int:
    """At most so many points, counted without a walk."""
    roots = [a for a in axes if a.parent in ("", COUNT)]
    return math.prod(_below(axes, a) for a in roots)


def _below(axes: Sequence[Axis], axis: Axis) -> int:
    if axis.templates is None:
        return len(axis.domain)
    return sum(
        math.prod(_below(axes, a) for a in axes if a.parent == axis.key and v in a.parent_values)
        for v in axis.domain.values
    )
