"""What a search may not exceed, by quantities with their targets' whole ids; who breaks it."""

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from evnas.errors import EvnasError, SpecError
from evnas.record import TargetFields
from evnas.space.expressions import Expression, parse_expression
from evnas.tables import (
    PHASES,
    found_by,
    phase_order,
    quantity_and_target,
    quantity_must_load,
    quantity_of,
)


def resolved(name: str, targets: Sequence[TargetFields]) -> str:
    """A quantity with its target's whole id: `latency_ms@cpu` -> `latency_ms@cpu-torch-...`.

    Raises:
        SpecError: nothing measures it, or `@` names no target, or more than one.
    """
    metric, wish = quantity_and_target(name)
    quantity_must_load(metric)
    if PHASES.get(found_by()[metric]).needs != "targets":
        if wish:
            raise SpecError(f"{metric} does not depend on a target, got @{wish}")
        return name
    # two targets of a sweep may be one on this machine
    each = {target.id: target for target in targets}
    fitting = [id for id, target in each.items() if not wish or wish in target.names]
    if wish in each:  # it may also begin the id of a deployed or training target
        fitting = [wish]
    if len(fitting) != 1:
        problem = "names no target" if not fitting else "names several targets"
        known = ", ".join(each)
        raise SpecError(f"{name!r} {problem}; write {metric}@ID with one of {known}")
    return f"{metric}@{fitting[0]}"


def phase_of(name: str) -> str:
    """The phase that gives a quantity."""
    return found_by()[quantity_of(name)]


def resolved_constraints(
    texts: Sequence[str], targets: Sequence[TargetFields]
) -> tuple[Expression, ...]:
    """Constraints, cheapest first: fields, then counts, scores, speed, training.

    Raises:
        SpecError: at `constraints[i]`, for what does not parse or nobody measures.
    """
    return _cheapest_first(_resolved(i, text, targets) for i, text in enumerate(texts))


def constraints_of_study(
    texts: Sequence[str], targets: Sequence[TargetFields]
) -> tuple[Expression, ...]:
    """The same of a study that is read and not run, without what cannot be asked of its records:
    what is on a target that nobody was timed on yet, or on what another package measured."""
    found = []
    for i, text in enumerate(texts):
        with contextlib.suppress(EvnasError):
            found.append(_resolved(i, text, targets))
    return _cheapest_first(found)


def first_broken(
    constraints: Iterable[Expression], arch: Mapping[str, Any], known: Mapping[str, float]
) -> str:
    """The first constraint that an architecture breaks by what is known of it, with the values,
    or ""."""
    for constraint in constraints:
        if constraint.holds(arch, known) is False:
            on = sorted(constraint.quantities & known.keys())
            values = ", ".join(f"{name} is {known[name]:.9g}" for name in on)
            return f"{constraint.text}: {values}" if values else constraint.text
    return ""


def _resolved(i: int, text: str, targets: Sequence[TargetFields]) -> Expression:
    try:
        read = parse_expression(text, list(found_by()))
        whole = text
        for name in read.quantities:
            spelt = rf"(?<![\w@.-]){re.escape(name)}(?![\w@-])"
            whole = re.sub(spelt, resolved(name, targets), whole)
        found = parse_expression(whole, list(found_by()))
        return replace(found, text=text, path=f"constraints[{i}]")
    except SpecError as e:
        raise SpecError(f"{text!r}: {e.reason}", f"constraints[{i}]") from None


def _cheapest_first(found: Iterable[Expression]) -> tuple[Expression, ...]:
    order = phase_order()
    return tuple(
        sorted(
            found, key=lambda e: max([1 + order.index(phase_of(q)) for q in e.quantities] or [0])
        )
    )
