"""SearchSpace: an architecture and what may vary in it. Points are plain dicts of active axes.

Deciding on architectures is one walk over it, be it search, grid or ablation; every point that
anybody proposes comes through `check`.
"""

import copy
import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from evnas.arch.paths import assign, diff, spell
from evnas.arch.plain import Plain, look
from evnas.arch.spec import ArchSpec
from evnas.errors import SpecError
from evnas.space.axes import COUNT, Axis, compile_axes
from evnas.space.domains import Domain, Value
from evnas.space.expressions import Expression, parse_expression
from evnas.space.spec import SpaceSpec
from evnas.space.writer import Writer


def foreign_value(axes: Sequence[Axis], raw: Plain) -> str:
    """The first axis of the root whose domain lacks what `raw` has there; "" where none does."""
    for axis in axes:
        for place in axis.places if axis.parent in ("", COUNT) and axis.fixed is None else ():
            value = look(raw, place)
            scalar = isinstance(value, str | int | float)
            if scalar and axis.key != COUNT and value not in axis.domain:
                return f"{spell(place)} is {value}, not among {axis.domain.spell()}"
    return ""


def first_difference(axes: Sequence[Axis], found: ArchSpec, arch: ArchSpec) -> str:
    """How `arch` differs from the nearest thing that the space holds."""
    path, here, there = diff(found, arch)[0]
    for axis in axes:
        own = axis.fixed is None and path in map(spell, axis.places)
        if (own or path == axis.order) and there not in axis.domain:
            return f"{path} is {there}, not among {axis.domain.spell()}"
    return f"{path} is {there}, which the space holds at {here}"


def wrong_count(axes: Sequence[Axis], raw: Plain) -> str:
    """That `stages.count` lacks the number of stages; it is the one thing left to differ."""
    count = next(axis for axis in axes if axis.key == COUNT)
    return f"{len(raw['stages'])} stages are not among {count.domain.spell()}"


Point = dict[str, Value]
"""Axis key -> value, for the axes that exist in it, in the space's order."""

MOST_DRAWS = 4000
_MOST_SPELLINGS = 256


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a point is no architecture of the space."""

    reason: str
    paths: tuple[str, ...]
    """The fields that took part, as far as known."""
    count: int = 1
    """How many conditions are broken."""
    raw: Plain | None = field(default=None, repr=False, compare=False)
    """The plain form of an architecture that can be built and only breaks conditions."""


class SearchSpace:
    """A base, axes over it, and conditions. Build one with `from_spec`."""

    def __init__(
        self,
        *,
        base: ArchSpec | SpecError,
        raw: Plain,
        axes: list[Axis],
        require: list[Expression],
    ) -> None:
        self._base = base
        self.axes = tuple(axes)
        self.by_key = {axis.key: axis for axis in axes}
        self.require = tuple(require)
        self._writer = Writer(raw, axes)
        self._parents = frozenset(axis.parent for axis in axes if axis.parent)
        self._touching: dict[str, frozenset[str]] = {}
        self._ordered: dict[str, list[Axis]] = {}
        for axis in axes:
            if axis.order:
                self._ordered.setdefault(axis.order, []).append(axis)

    @classmethod
    def from_spec(cls, spec: SpaceSpec, whole: ArchSpec) -> "SearchSpace":
        """Compile a space over `whole`. Raises SpecError whose path starts with `space`."""
        base: ArchSpec | SpecError = whole
        raw = whole.to_dict()
        for path, value in spec.set.items():
            try:
                assign(raw, path, value)
            except SpecError as e:
                raise SpecError(e.reason, f"space.set.{path}") from None
        if spec.set:
            base = _fixed(raw, spec.set)
        axes = compile_axes(spec, raw)
        require = []
        for i, text in enumerate(spec.require):
            try:
                require.append(replace(parse_expression(text), path=f"space.require[{i}]"))
            except SpecError as e:
                raise SpecError(f"{e.path!r:.90}: {e.reason}", f"space.require[{i}]") from None
        return cls(base=base, raw=raw, axes=axes, require=require)

    @property
    def base(self) -> ArchSpec:
        """The architecture that the axes vary, with what `set` fixes.

        Raises:
            SpecError: at `space.set`, where that is no architecture before the axes are set too.
        """
        if isinstance(self._base, ArchSpec):
            return self._base
        raise self._base

    def active(self, point: Mapping[str, Value]) -> Iterator[Axis]:
        """The axes that exist in a point, parents first."""
        for axis in self.axes:
            if not axis.parent or point.get(axis.parent) in axis.parent_values:
                yield axis

    def touching(self, path: str) -> frozenset[str]:
        """Keys of the axes whose places lie within `path`, or hold it."""
        if path not in self._touching:
            self._touching[path] = frozenset(
                axis.key
                for axis in self.axes
                for place in map(spell, axis.places)
                if place.startswith(path) or path.startswith(place)
            )
        return self._touching[path]

    def draw(self, rng: random.Random) -> Point:
        """A random point, each branch as likely; it may break conditions."""
        point: Point = {}
        for axis in self.active(point):
            point[axis.key] = axis.domain.draw(rng)
        self.put_in_order(point, rng)
        return point

    def put_in_order(self, point: Point, rng: random.Random | None = None) -> None:
        """Sort increasing and decreasing lists in place; with `rng`, draw them evenly."""
        for axes in self._ordered.values():
            live = [axis for axis in axes if axis.key in point]
            if rng is None:
                picks = sorted(axis.domain.index(point[axis.key]) for axis in live)
            else:  # multisets of size k of m values are k-subsets of m + k - 1, shifted
                picks = sorted(rng.sample(range(len(axes[0].domain) + len(live) - 1), len(live)))
                picks = [pick - i for i, pick in enumerate(picks)]
            if axes[0].descending:
                picks.reverse()
            for axis, pick in zip(live, picks, strict=True):
                point[axis.key] = axis.domain.values[pick]

    def holding(self, key: str, value: Value) -> "SearchSpace":
        """The same space with one axis held at one value."""
        axes = [
            replace(axis, domain=Domain((value,), axis.domain.ordered))
            if axis.key == key
            else axis
            for axis in self.axes
        ]
        held = copy.copy(self)
        held.axes, held.by_key = tuple(axes), {axis.key: axis for axis in axes}
        held._ordered = {}
        for axis in axes:
            if axis.order:
                held._ordered.setdefault(axis.order, []).append(axis)
        return held

    def plain(self, point: Mapping[str, Value]) -> Plain:
        """The plain form that a point means, not yet validated."""
        return self._writer.plain(point)

    def moved(self, point: Mapping[str, Value], axis: Axis, value: Value) -> Point | None:
        """A complete point with one axis moved and its list put in order; None where that makes
        axes exist or vanish."""
        if axis.key in self._parents:
            return None
        there = {**point, axis.key: value}
        if axis.order:
            self.put_in_order(there)
        return there

    def check(self, point: Mapping[str, Value]) -> ArchSpec | Fault:
        """The architecture of a point, or what speaks against it."""
        try:
            arch = ArchSpec.from_dict(self.plain(point))
        except SpecError as e:
            return Fault(str(e), (e.path,), 1 + len(self.require))
        if not self.require:
            return arch
        raw = arch.plain
        broken = self.broken(raw)
        if not broken:
            return arch
        fields = tuple(path for e in broken for path in e.fields)
        return Fault(f"breaks {broken[0].text}", fields, len(broken), raw)

    def broken(self, raw: Mapping[str, Any]) -> list[Expression]:
        """The conditions that the plain form of an architecture breaks."""
        return [e for e in self.require if e.holds(raw, {}) is False]

    def decode(self, point: Mapping[str, Value]) -> ArchSpec:
        """Point -> architecture. Raises SpecError when the point is not one of this space."""
        expected = [axis.key for axis in self.active(point)]
        if set(expected) != set(point):
            raise SpecError(f"a point must set exactly {expected}, got {sorted(point)}")
        for key, value in point.items():
            domain = self.by_key[key].domain
            if value not in domain:
                raise SpecError(f"must be one of {domain.spell()}, got {value!r}", key)
        for axes in self._ordered.values():
            picks = [axes[0].domain.index(point[a.key]) for a in axes if a.key in point]
            if picks != sorted(picks, reverse=axes[0].descending):
                raise SpecError("is out of order", axes[0].order)
        found = self.check(point)
        if isinstance(found, Fault):
            raise SpecError(found.reason)
        return found

    def sample(self, rng: random.Random) -> tuple[Point, ArchSpec]:
        """A random valid point and its architecture.

        Raises:
            SpecError: `MOST_DRAWS` draws gave none; it says what spoke against them.
        """
        reasons: dict[str, int] = {}
        for _ in range(MOST_DRAWS):
            point = self.draw(rng)
            found = self.check(point)
            if isinstance(found, ArchSpec):
                return point, found
            reasons[found.reason] = reasons.get(found.reason, 0) + 1
        worst = max(reasons, key=lambda r: reasons[r])
        raise SpecError(
            f"holds no architecture that could be found in {MOST_DRAWS} draws; of these "
            f"{reasons[worst]}: {worst}",
            "space",
        )

    def points(self) -> Iterator[Point]:
        """Every point, valid or not, each once; lists that are ordered come ordered."""
        for point in self._points({}, 0):
            if self.is_ordered(point):
                yield point

    def _points(self, point: Point, at: int) -> Iterator[Point]:
        while at < len(self.axes):
            axis = self.axes[at]
            if not axis.parent or point.get(axis.parent) in axis.parent_values:
                for value in axis.domain.values:
                    yield from self._points({**point, axis.key: value}, at + 1)
                return
            at += 1
        yield point

    def is_ordered(self, point: Point) -> bool:
        """Whether increasing and decreasing lists are."""
        for axes in self._ordered.values():
            picks = [a.domain.index(point[a.key]) for a in axes if a.key in point]
            if picks != sorted(picks, reverse=axes[0].descending):
                return False
        return True

    def enumerate(self) -> Iterator[tuple[Point, ArchSpec]]:
        """Every distinct valid architecture, under the first point that means it."""
        seen: set[str] = set()
        for point in self.points():
            found = self.check(point)
            if isinstance(found, ArchSpec) and found.digest not in seen:
                seen.add(found.digest)
                yield point, found

    def encode(self, arch: ArchSpec) -> Point | str:
        """The point that means `arch`, always the same one; or why the space does not hold it."""
        raw = arch.to_dict()
        reason = foreign_value(self.axes, raw)
        for point in itertools.islice(self._spellings(raw, {}, 0), _MOST_SPELLINGS):
            if not self.is_ordered(point):
                reason = reason or "a list is out of the order that the space asks for"
                continue
            found = self.check(point)
            if isinstance(found, Fault):
                reason = reason or found.reason
            elif found == arch:
                return point
            else:
                reason = reason or first_difference(self.axes, found, arch)
        return reason or wrong_count(self.axes, raw)

    def values_in(self, raw: Plain) -> Point:
        """What the axes hold in the plain form of an architecture of this space: quicker than
        `encode`, without axes whose field that form has dropped; empty of what lies outside."""
        point: Point = {}
        for axis in self.active(point):
            if axis.fixed is not None:
                labels = self._labels(axis, raw)
                if len(labels) > 1:  # only a whole point tells which
                    found = self.encode(ArchSpec.from_dict(raw))
                    return {} if isinstance(found, str) else found
                values: list[Value] = labels
            else:
                held = self._likely(axis, raw)
                values = held if len(held) == 1 else []
            if values:
                point[axis.key] = values[0]
        return point

    def _spellings(self, raw: Plain, point: Point, at: int) -> Iterator[Point]:
        """Points that could mean `raw`, the likeliest first.

        A field that the canonical form has dropped, or spelt otherwise, leaves its axis open.
        """
        while at < len(self.axes):
            axis = self.axes[at]
            if not axis.parent or point.get(axis.parent) in axis.parent_values:
                for value in self._likely(axis, raw):
                    yield from self._spellings(raw, {**point, axis.key: value}, at + 1)
                return
            at += 1
        yield point

    def _labels(self, axis: Axis, raw: Plain) -> list[Value]:
        """Branches of a choice whose own values all stand there."""
        fixed = axis.fixed or {}
        return [
            label
            for label in axis.domain.values
            if all(look(raw, place) == value for place, value in fixed[label])
        ]

    def _likely(self, axis: Axis, raw: Plain) -> list[Value]:
        if axis.key == COUNT:
            count = len(raw["stages"])
            return [count] if count in axis.domain else []
        if axis.fixed is not None:
            labels = self._labels(axis, raw)
            return [*labels, *(v for v in axis.domain.values if v not in labels)]
        there = [look(raw, place) for place in axis.places]
        first = next((value for value in there if value is not None), None)
        if first is None or first not in axis.domain:
            return list(axis.domain.values)
        return [first]


def _fixed(raw: Plain, fixed: Mapping[str, Any]) -> ArchSpec | SpecError:
    """The base with what `set` fixes; why that is no architecture, for those who ask for it."""
    try:
        return ArchSpec.from_dict(raw)
    except SpecError as e:
        if e.path in fixed:
            return SpecError(e.reason, f"space.set.{e.path}")
        return SpecError(f"must leave an architecture of the base; {e}", "space.set")
