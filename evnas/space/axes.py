"""From a space's YAML to its axes: every place resolved once, every branch with what it sets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from evnas.arch import paths
from evnas.arch.paths import Concrete
from evnas.arch.plain import Plain, copied, has
from evnas.errors import SpecError, nearest
from evnas.space.branch import Branch
from evnas.space.domains import Domain, Value, category, float_range, int_range
from evnas.space.spec import (
    ChoiceDomain,
    DecreasingDomain,
    DomainSpec,
    EachDomain,
    FloatDomain,
    IncreasingDomain,
    IntDomain,
    SharedDomain,
    SpaceSpec,
)

COUNT = "stages.count"


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One thing that varies. It exists where its parent axis holds one of `parent_values`."""

    key: str
    """Its name in a point: `stages[0].dim`, `stages[0].mixer:ss2d.scan`."""
    places: tuple[Concrete, ...]
    """Where its value goes; several for a value that stages share."""
    domain: Domain
    parent: str = ""
    parent_values: frozenset[Value] = frozenset()
    templates: Mapping[Value, tuple[Any, ...]] | None = None
    """Of a choice: label -> what it puts at each place, fixed values included."""
    fixed: Mapping[Value, tuple[tuple[Concrete, Any], ...]] | None = None
    """Of a choice: label -> the places that it sets itself, each with its value."""
    order: str = ""
    """The path of an `increasing` or `decreasing` list that it is an entry of."""
    descending: bool = False
    stage: int | None = field(init=False)
    """The stage it belongs to; None for what concerns several or none."""

    def __post_init__(self) -> None:
        stages = {p[1] for p in self.places if len(p) > 1 and p[0] == "stages"}
        alone = len(stages) == 1 and all(p[0] == "stages" for p in self.places)
        object.__setattr__(self, "stage", int(next(iter(stages))) if alone else None)


def compile_axes(spec: SpaceSpec, raw: Plain) -> list[Axis]:
    """The axes over the plain base `raw`, parents before children; `raw` gains what stages it
    needs for `stages.count`. Raises SpecError with the path of what is wrong."""
    axes: list[Axis] = []
    table = _mixed(dict(spec.axes), list(spec.mix), spec)
    if not table:
        raise SpecError("must have at least one axis", "space.axes")
    count = table.pop(COUNT, None)
    if count is not None:
        axes.append(_count_axis(count, raw))
    for path, domain in table.items():
        try:
            axes.extend(_staged(_root(path, domain, raw, spec), axes))
        except SpecError as e:
            raise SpecError(_message(e, path), f"space.axes.{path}") from None
    _refuse_overlaps(axes)
    return sorted(axes, key=lambda a: min(len(p) for p in a.places))


def _message(error: SpecError, path: str) -> str:
    return error.reason if error.path in ("", path) else str(error)


def _mixed(
    table: dict[str, DomainSpec], names: list[str], spec: SpaceSpec
) -> dict[str, DomainSpec]:
    for name in names:
        if name not in spec.fragments:
            raise SpecError(
                f"no fragment is named {name!r}{nearest(name, spec.fragments)}", "space.mix"
            )
        table = {**spec.fragments[name], **table}
    return table


def _count_axis(spec: DomainSpec, raw: Plain) -> Axis:
    domain = _domain(spec)
    if any(not isinstance(v, int) or not 1 <= v <= 8 for v in domain.values):
        raise SpecError("must be whole numbers from 1 to 8", f"space.axes.{COUNT}")
    most = max(int(v) for v in domain.values)
    while len(raw["stages"]) < most:
        raw["stages"].append(copied(raw["stages"][-1]))
    del raw["stages"][most:]
    return Axis(key=COUNT, places=(("stages",),), domain=domain)


def _staged(found: list[Axis], so_far: list[Axis]) -> list[Axis]:
    """Axes of a stage that only some counts of stages have exist only with those."""
    if not so_far or so_far[0].key != COUNT:
        return found
    counts = so_far[0].domain.values
    staged = []
    for axis in found:
        needs = 1 + min((p[1] for p in axis.places if p[0] == "stages"), default=-1)  # type: ignore[operator] # the second step of stages is its index
        values = frozenset(v for v in counts if int(v) >= needs)
        if not axis.parent and len(values) < len(counts):
            axis = replace(axis, parent=COUNT, parent_values=values)
        staged.append(axis)
    return staged


def _root(path: str, domain: DomainSpec, raw: Plain, spec: SpaceSpec) -> list[Axis]:
    """The axes of one line of `space.axes`."""
    if isinstance(domain, SharedDomain):
        return _axis(path, domain.shared, raw, spec, places=paths.resolve(raw, path))
    several = isinstance(domain, EachDomain | IncreasingDomain | DecreasingDomain)
    places = paths.resolve(raw, path)
    if not several and len(places) > 1:
        raise SpecError("names several places: say each, shared, increasing or decreasing", path)
    axes: list[Axis] = []
    for place in places:
        found = _axis(paths.spell(place), _inner(domain), raw, spec, places=[place])
        if isinstance(domain, IncreasingDomain | DecreasingDomain):
            found = [_in_order(found, path, isinstance(domain, DecreasingDomain))]
        axes.extend(found)
    return axes


def _inner(domain: DomainSpec) -> DomainSpec:
    match domain:
        case EachDomain():
            return domain.each
        case IncreasingDomain():
            return domain.increasing
        case DecreasingDomain():
            return domain.decreasing
    return domain


def _in_order(found: list[Axis], path: str, descending: bool) -> Axis:
    (axis,) = found if len(found) == 1 else (None,)
    if (
        axis is None
        or not axis.domain.ordered
        or list(axis.domain.values) != sorted(axis.domain.values, key=float)
    ):
        raise SpecError("increasing and decreasing need ascending numbers", path)
    return replace(axis, order=path, descending=descending)


def _axis(
    key: str,
    spec: DomainSpec,
    raw: Plain,
    whole: SpaceSpec,
    *,
    places: Sequence[Concrete],
    parent: tuple[str, Value] | None = None,
) -> list[Axis]:
    """An axis and, of a choice, those of its branches."""
    tie = {} if parent is None else {"parent": parent[0], "parent_values": frozenset({parent[1]})}
    if not isinstance(spec, ChoiceDomain):
        return [Axis(key=key, places=tuple(places), domain=_domain(spec), **tie)]  # type: ignore[arg-type] # mypy joins the two values of `tie`
    branches = {
        label: _branch(places, label, c, raw=raw, whole=whole) for label, c in spec.choice.items()
    }
    children: list[Axis] = []
    for label, (branch, varied) in branches.items():
        for rel, value in varied.items():
            inside = branch.resolve(rel)
            name, at = f"{key}:{label}.{rel}", (key, label)
            children += _axis(name, value, branch.raw, whole, places=inside, parent=at)
    axis = Axis(
        key=key,
        places=tuple(places),
        domain=Domain(tuple(spec.choice), ordered=False),
        templates={label: branch.templates() for label, (branch, _) in branches.items()},
        fixed={label: tuple(branch.fixed) for label, (branch, _) in branches.items()},
        **tie,  # type: ignore[arg-type] # as above
    )
    return [axis, *children]


def _branch(
    places: Sequence[Concrete],
    label: str,
    content: Mapping[str, DomainSpec],
    *,
    raw: Plain,
    whole: SpaceSpec,
) -> tuple[Branch, dict[str, DomainSpec]]:
    """A branch with what it fixes, and what varies in it."""
    table = _branch_table(content, whole)
    branch = Branch(raw, places, label, sets_kind="kind" in table)
    for rel, value in sorted(table.items(), key=lambda item: _kinds_first(item[0])):
        if isinstance(value, str | int | float):
            branch.fix(rel, value)
    scalars = (str, int, float)
    return branch, {rel: v for rel, v in table.items() if not isinstance(v, scalars)}


def _kinds_first(rel: str) -> tuple[bool, int]:
    # a mixer's kind resets its fields, so it goes before them
    return (rel.rpartition(".")[2] != "kind", rel.count("."))


def _branch_table(content: Mapping[str, DomainSpec], whole: SpaceSpec) -> dict[str, DomainSpec]:
    own = {rel: value for rel, value in content.items() if rel != "mix"}
    names = content.get("mix", [])
    if not isinstance(names, list | str):
        raise SpecError("mix must name fragments")
    return _mixed(own, [names] if isinstance(names, str) else [str(n) for n in names], whole)


def _domain(spec: DomainSpec) -> Domain:
    match spec:
        case list() | tuple():
            return category(list(spec))
        case IntDomain():
            return int_range(spec.int.low, spec.int.high, spec.int.step)
        case FloatDomain():
            return float_range(spec.float.low, spec.float.high, spec.float.step)
        case str() | int() | float():
            return category([spec])
    raise SpecError("each, shared, increasing, decreasing are allowed only at the top of an axis")


def _refuse_overlaps(axes: list[Axis]) -> None:
    by_key = {axis.key: axis for axis in axes}
    taken: dict[Concrete, list[Axis]] = {}
    choices = [a for a in axes if a.templates is not None]
    for axis in axes:
        for place in axis.places:
            others = taken.setdefault(place, [])
            for other in others:
                if not _exclude(axis, other, by_key):
                    raise SpecError(
                        f"{paths.spell(place)} is set by {other.key} too", f"space.axes.{axis.key}"
                    )
            others.append(axis)
            for choice in choices:
                outside = choice.key != axis.key and not axis.key.startswith(f"{choice.key}:")
                if outside and not _exclude(axis, choice, by_key):
                    _refuse_leak(axis, place, choice)


def _exclude(one: Axis, other: Axis, by_key: Mapping[str, Axis]) -> bool:
    """Whether no point has both: they stand in different branches of one choice, however deep."""
    mine, its = _branches(one, by_key), _branches(other, by_key)
    return any(not mine[key] & its[key] for key in mine.keys() & its.keys())


def _branches(axis: Axis, by_key: Mapping[str, Axis]) -> dict[str, frozenset[Value]]:
    """Of each choice above an axis the branches that lead to it."""
    found: dict[str, frozenset[Value]] = {}
    while axis.parent:
        found[axis.parent] = axis.parent_values
        axis = by_key[axis.parent]
    return found


def _refuse_leak(axis: Axis, place: Concrete, choice: Axis) -> None:
    """An axis outside a choice must have its place in every branch, and be set by none."""
    assert choice.templates is not None and choice.fixed is not None
    for i, root in enumerate(choice.places):
        if place[: len(root)] != root or choice.key.startswith(f"{axis.key}:"):
            continue
        for label, parts in choice.templates.items():
            lacking = not has(parts[i], place[len(root) :])
            if lacking or place in dict(choice.fixed[label]):
                raise SpecError(
                    f"{'does not exist' if lacking else 'is fixed'} in branch {label!r} of "
                    f"{choice.key}; put it inside the branches that vary it",
                    f"space.axes.{axis.key}",
                )
