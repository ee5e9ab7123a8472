"""Exact counts of spaces too large to walk: stages counted apart, then joined by what ties them.

Stages and what lies outside them meet in few places: conditions and ordered lists, which read
some fields, and two rules of `ArchSpec` (`norm` where no block has batch norm, `head.fusion:
hidden` where every mixer has hidden states). So each stage's architectures are grouped by just
those, and only groups are combined. Distinct canonical stages and whatever surrounds them give
distinct architectures, hence products of counts are counts.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evnas.errors import SpecError
from evnas.space.arch import BLOCKS_WITHOUT_BATCH_NORM, ArchSpec, StageSpec
from evnas.space.axes import COUNT, Axis
from evnas.space.mixers import HIDDEN_STATE_MIXERS
from evnas.space.paths import parse
from evnas.space.plain import Plain, look
from evnas.space.space import Point, SearchSpace
from evnas.space.writing import Writer

MOST_PARTS = 300_000
"""Points of all stages together, about 5 s; combinations of groups, as many again."""
MOST_OUTER = 64
"""Assignments of what stages share, each of which is counted by itself."""

Ties = tuple[Any, ...]
"""What conditions and ordered lists read of a stage."""
Rules = tuple[bool, bool]
"""Whether a stage has hidden states, and whether its block has no batch norm."""


@dataclass(frozen=True, slots=True)
class Count:
    """Distinct valid architectures, and the valid points that mean them."""

    distinct: int
    points: int

    def __add__(self, other: "Count") -> "Count":
        return Count(self.distinct + other.distinct, self.points + other.points)

    def __mul__(self, other: "Count") -> "Count":
        return Count(self.distinct * other.distinct, self.points * other.points)


NONE, ONE = Count(0, 0), Count(1, 1)


@dataclass(slots=True)
class Stage:
    """The architectures of one stage by ties, then by rules, with one of each to show."""

    groups: dict[Ties, dict[Rules, Count]]
    plain: dict[Ties, Plain]
    spec: dict[Rules, StageSpec]
    all: set[StageSpec]


class _Tangled(Exception):
    """The space does not come apart in the way that this module knows."""


def count_exactly(space: SearchSpace) -> Count | None:
    """The count; None where the space is too large even so, or does not come apart."""
    try:
        return _Counter(space).total()
    except _Tangled:
        return None


class _Counter:
    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        inside = [a for a in space.axes if all(p[0] == "stages" for p in a.places)]
        self.outer = [a for a in inside if a.stage is None]
        self.inner = [a for a in inside if a.stage is not None]
        self.around = [a for a in space.axes if a.places[0][0] != "stages"]
        self.tails, self.heads = _read_by(space)
        self.ordered = [a for a in self.inner if a.order]
        self.writer = Writer(space.plain({}), space.axes)

    def total(self) -> Count:
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

    def _stages(self, outer: Point) -> list[Stage]:
        count = len(self.writer.plain(outer)["stages"])
        axes = [[a for a in self.inner if a.stage == i] for i in range(count)]
        groups = math.prod(len(a.domain) for a in self.inner if a.order or self._is_read(a))
        if sum(_most_points(some) for some in axes) > MOST_PARTS or groups > 4 * MOST_PARTS:
            raise _Tangled  # `_joined` would say so too, but after seconds
        return [self._stage(i, axes[i], outer) for i in range(count)]

    def _is_read(self, axis: Axis) -> bool:
        return any(place[2 : 2 + len(t)] == t for place in axis.places for t in self.tails)

    def _stage(self, i: int, axes: Sequence[Axis], outer: Point) -> Stage:
        writer = Writer(self.writer.plain({k: v for k, v in outer.items() if k != COUNT}), axes)
        kept = Stage({}, {}, {}, set())
        ties_of: dict[StageSpec, Ties] = {}
        ordered = [a.key for a in axes if a.order]
        for point in _points(axes, outer):
            try:
                spec = StageSpec.model_validate(writer.plain(point)["stages"][i])
            except ValueError:
                continue
            plain = spec.model_dump(mode="json")
            ties = (*(look(plain, t) for t in self.tails), *(point.get(k) for k in ordered))
            if any(isinstance(tie, dict | list) for tie in ties):
                raise _Tangled
            if ties_of.setdefault(spec, ties) != ties:
                raise _Tangled  # an ordered value that the canonical form forgets
            rules = _rules(spec)
            group = kept.groups.setdefault(ties, {})
            new = Count(spec not in kept.all, 1)
            group[rules] = group.get(rules, NONE) + new
            kept.all.add(spec)
            kept.plain.setdefault(ties, plain)
            kept.spec.setdefault(rules, spec)
        return kept

    def _joined(self, stages: Sequence[Stage], outer: Point) -> Count:
        if not all(stage.groups for stage in stages):
            return NONE
        around = self._around(stages, outer)
        size = math.prod(len(stage.groups) for stage in stages) * len(around)
        if size > MOST_PARTS:
            raise _Tangled
        found = NONE
        for ties in itertools.product(*(stage.groups for stage in stages)):
            if not self._in_order(ties):
                continue
            plains = [stage.plain[t] for stage, t in zip(stages, ties, strict=True)]
            for head, counts in around.values():
                if not self.space.broken(head | {"stages": plains}):
                    groups = [s.groups[t] for s, t in zip(stages, ties, strict=True)]
                    found += _product(groups, counts)
        return found

    def _in_order(self, ties: Sequence[Ties]) -> bool:
        """Whether the ordered lists are; their values stand last in each stage's ties."""
        first = len(self.tails)
        columns = {a.order: a for a in self.ordered}.values()
        for at, axis in enumerate(columns):
            picks = [axis.domain.index(t[first + at]) for t in ties if len(t) > first + at]
            if picks != sorted(picks, reverse=axis.descending):
                return False
        return True

    def _around(
        self, stages: Sequence[Stage], outer: Point
    ) -> dict[str, tuple[Plain, dict[tuple[Rules, ...], Count]]]:
        """What stands around the stages, by what conditions read of it: one of each, and how
        many there are beside stages of which rules."""
        base = {k: v for k, v in outer.items() if k == COUNT}
        found: dict[str, tuple[Plain, dict[tuple[Rules, ...], Count]]] = {}
        held: set[tuple[Any, ...]] = set()
        beside = list(itertools.product(*(stage.spec for stage in stages)))
        points = list(itertools.islice(_points(self.around, base), MOST_PARTS))
        if len(points) * len(beside) > MOST_PARTS // 10:
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
            counts[rules] = counts.get(rules, NONE) + Count(new not in held, 1)
            held.add(new)
        return found


def _product(
    groups: Sequence[Mapping[Rules, Count]], around: Mapping[tuple[Rules, ...], Count]
) -> Count:
    found = NONE
    for rules, count in around.items():
        each = ONE
        for group, rule in zip(groups, rules, strict=True):
            each = each * group.get(rule, NONE)
        found += each * count
    return found


def _rules(spec: StageSpec) -> Rules:
    hidden = spec.mixer is not None and spec.mixer.kind in HIDDEN_STATE_MIXERS
    return hidden, spec.block in BLOCKS_WITHOUT_BATCH_NORM


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
