"""What a search wants and may not exceed: which phase gives a quantity, on which target."""

import re
from collections.abc import Sequence
from dataclasses import replace

from evnas.errors import SpecError
from evnas.record import TargetFields
from evnas.space.expressions import Expression, parse_expression
from evnas.sweep.search_spec import ObjectiveSpec
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


def is_trained(name: str) -> bool:
    """Whether trainings give a quantity."""
    return PHASES.get(phase_of(name)).trains


def resolved_objectives(
    objectives: Sequence[ObjectiveSpec], targets: Sequence[TargetFields]
) -> tuple[ObjectiveSpec, ...]:
    """Objectives with whole target ids. Raises SpecError at `objectives[i]`."""
    found = []
    for i, objective in enumerate(objectives):
        try:
            name = resolved(objective.metric, targets)
        except SpecError as e:
            raise SpecError(e.reason, f"objectives[{i}]") from None
        found.append(ObjectiveSpec(metric=name, goal=objective.goal))
    return tuple(found)


def resolved_constraints(
    texts: Sequence[str], targets: Sequence[TargetFields]
) -> tuple[Expression, ...]:
    """Constraints, cheapest first: fields, then counts, scores, speed, training.

    Raises:
        SpecError: at `constraints[i]`, for what does not parse or nobody measures.
    """
    found = []
    for i, text in enumerate(texts):
        try:
            read = parse_expression(text, list(found_by()))
            whole = text
            for name in read.quantities:
                spelt = rf"(?<![\w@.-]){re.escape(name)}(?![\w@-])"
                whole = re.sub(spelt, resolved(name, targets), whole)
            read = replace(
                parse_expression(whole, list(found_by())), text=text, path=f"constraints[{i}]"
            )
        except SpecError as e:
            raise SpecError(f"{text!r}: {e.reason}", f"constraints[{i}]") from None
        found.append(read)
    order = phase_order()
    return tuple(
        sorted(
            found, key=lambda e: max([1 + order.index(phase_of(q)) for q in e.quantities] or [0])
        )
    )
