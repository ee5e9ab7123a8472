"""What a search wants: which of it trainings give, on which target."""

from collections.abc import Sequence

from evnas.errors import SpecError
from evnas.record import TargetFields
from evnas.sweep.constraints import phase_of, resolved
from evnas.sweep.search_spec import ObjectiveSpec
from evnas.tables import PHASES


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
