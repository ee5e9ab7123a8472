"""What a search's file asks for that cannot be, though each of its parts is well formed."""

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from evnas.arch.paths import spell
from evnas.arch.plain import Plain
from evnas.arch.spec import ArchSpec
from evnas.errors import SpecError
from evnas.registry import PluginError
from evnas.space.expressions import parse_expression
from evnas.space.size import size_of
from evnas.space.space import MOST_DRAWS, Fault, SearchSpace
from evnas.sweep.search_spec import SearchSpec
from evnas.tables import PHASES, found_by, quantity_must_load, quantity_of

WALK, PARTS = 10_000, 75_000
"""Points that are counted out, in about 2 s, where no draw holds."""
SMALL = 50
"""Values of an axis, each of which is among so many draws."""


def validate_search(search: SearchSpec, base: ArchSpec) -> None:
    """A search over `base` can be begun. Raises SpecError with the path of what cannot be."""
    space = SearchSpace.from_spec(search.space, base)
    must_keep_batches(search)
    must_be_measured(search)
    must_work_out(search.constraints, base)
    must_hold_something(space)


def must_keep_batches(search: SearchSpec) -> None:
    """Candidates are compared at one batch. SpecError at a target that may halve it."""
    for i, target in enumerate(search.targets):
        if target.halve_batch:
            reason = "is of ablations: a search compares its candidates at one batch"
            raise SpecError(reason, f"targets[{i}].halve_batch")


def must_be_measured(search: SearchSpec) -> None:
    """Every objective and constraint has somebody who finds it; SpecError at the one without."""
    wanted = [(o.metric, f"objectives[{i}]") for i, o in enumerate(search.objectives)]
    for i, text in enumerate(search.constraints):
        names = sorted(parse_expression(text, list(found_by())).quantities)
        wanted += [(name, f"constraints[{i}]") for name in names]
    has = {"targets": bool(search.targets), "proxy": search.proxy is not None, "": True}
    for name, path in wanted:
        metric = quantity_of(name)
        try:
            quantity_must_load(metric)
        except (SpecError, PluginError) as e:
            raise SpecError(str(e), path) from None
        phase = PHASES.get(found_by()[metric])
        if not has[phase.needs]:
            raise SpecError(phase.lacking(name), path)


def must_work_out(constraints: Sequence[str], base: ArchSpec) -> None:
    """What constraints compare can be compared, as far as the base shows it.

    Raises:
        SpecError: at the constraint that compares text with a number, say.
    """
    for i, text in enumerate(constraints):
        read = replace(parse_expression(text, list(found_by())), path=f"constraints[{i}]")
        read.holds(base.to_dict(), dict.fromkeys(read.quantities, 1.5))


def must_hold_something(space: SearchSpace) -> None:
    """The space has an architecture that can be found.

    A space is taken for empty when no draw and no count finds anything and its base lies outside.

    Raises:
        SpecError: at the condition that nothing meets, or that contradicts an earlier one.
    """
    for condition in space.require:
        if condition.never_holds:
            reason = f"the space is empty: {condition.text!r:.90} is false of every architecture"
            raise SpecError(reason, condition.path)
    faults: list[Fault] = []
    rng = random.Random(0)
    while len(faults) < MOST_DRAWS:
        found = space.check(space.draw(rng))
        if isinstance(found, ArchSpec):
            return
        faults.append(found)
    if _holds_base(space):
        return
    certain = _fits_nowhere(space, faults)
    if not certain:
        size = size_of(space, walk=WALK, parts=PARTS)
        if size.exact and size.mid:
            return
        certain = size.exact
    start = "the space is empty" if certain else "the space holds nothing that could be found"
    reason, path = _contradiction(space, faults)
    raise SpecError(f"{start}: {reason}", path)


def _fits_nowhere(space: SearchSpace, faults: Sequence[Fault]) -> bool:
    """Whether every draw failed at one axis's own field, whatever its value: no other axis mends
    that, and counting it out would take seconds."""
    places = {fault.paths for fault in faults}
    if len(places) > 1 or any(fault.raw is not None for fault in faults):
        return False
    (path,) = places.pop()
    found = [a for a in space.axes if not a.parent and path in map(spell, a.places)]
    return bool(found) and len(found[0].domain) <= SMALL


def _holds_base(space: SearchSpace) -> bool:
    try:
        return isinstance(space.encode(space.base), dict)
    except SpecError:  # what `set` fixes is no architecture without the axes
        return False


def _contradiction(space: SearchSpace, faults: list[Fault]) -> tuple[str, str]:
    """What speaks against all draws, and where in the file it stands."""
    built: list[Plain] = [fault.raw for fault in faults if fault.raw is not None]
    if not built:
        _ = space.base  # what `set` fixes may be all the reason
        reason, times = Counter(fault.reason for fault in faults).most_common(1)[0]
        return f"of {len(faults)} draws none can be built, {times} because {reason}", "space.axes"
    met = [{i for i, raw in enumerate(built) if e.holds(raw, {}) is not False}
           for e in space.require]  # fmt: skip
    none = f"of {len(faults)} draws none meets"
    for condition, draws in zip(space.require, met, strict=True):
        if not draws:
            return f"{none} {condition.text!r}; loosen it or widen its axes", condition.path
    pairs = itertools.combinations(zip(space.require, met, strict=True), 2)
    for (one, these), (other, those) in pairs:
        if not these & those:
            both = f"{none} both {one.text!r} and {other.text!r}; loosen one or widen their axes"
            return both, other.path
    return f"{none} all conditions; loosen one or widen their axes", "space.require"
