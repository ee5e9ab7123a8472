"""Trials of a search as Optuna has them, and which of many a sampler need be given."""

from collections.abc import Mapping, Sequence
from typing import Any

import optuna

from evnas.arch.spec import ArchSpec
from evnas.search.strategies.evolution import best_first
from evnas.space.axes import Axis
from evnas.space.space import Point, SearchSpace
from evnas.stats.pareto import Points

Distributions = dict[str, optuna.distributions.BaseDistribution]


def new_study(objectives: int) -> optuna.Study:
    """An empty study in memory, everything to be minimised."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(directions=[optuna.study.StudyDirection.MINIMIZE] * objectives)


def frozen_trial(
    space: SearchSpace,
    arch: Mapping[str, Any],
    vector: Sequence[float],
    *,
    attributes: Mapping[str, Any],
) -> optuna.trial.FrozenTrial:
    """A complete trial; one from outside the space has no axes."""
    point = space.encode(ArchSpec.from_dict(arch))
    point = {} if isinstance(point, str) else point
    axes = [space.by_key[key] for key in point]
    return optuna.trial.create_trial(
        params={a.key: _param(a, point) for a in axes},
        distributions={a.key: distribution(a) for a in axes},
        values=list(vector),
        system_attrs=dict(attributes),
    )


def samples_for_sampler(vectors: Points, most: int) -> list[int]:
    """Up to `most` rows, in order: a quarter the best by front and crowding, the rest spread
    evenly over the whole search."""
    count = len(vectors)
    best = best_first(vectors)[: most // 4]
    stride = 1
    while count / stride > most - len(best):
        stride *= 2  # doubled, so that most of what was given before is given again
    return sorted({*best, *range(0, count, stride)})


def distribution(axis: Axis) -> optuna.distributions.BaseDistribution:
    """An ordered axis as places in its range, any other as a category."""
    if axis.domain.ordered:
        return optuna.distributions.IntDistribution(0, len(axis.domain) - 1)
    return optuna.distributions.CategoricalDistribution(list(axis.domain.values))


def _param(axis: Axis, point: Point) -> Any:
    value = point[axis.key]
    return axis.domain.index(value) if axis.domain.ordered else value
