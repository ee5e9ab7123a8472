"""Optuna's own samplers on the closed-form space, written as a user of Optuna would write it.

They are the peers of our strategies at their best: axes are suggested where they exist (define by
run), dims are sorted into the order that the space asks for, fusion of hidden states is suggested
where every mixer has them, and nothing goes through our repair. They begin with the catalogue's
members of the space, as ours do.
"""

import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import optuna
from closed_form import LANDSCAPES, cost, trained
from search_runs import Run

from evnas.arch.spec import ArchSpec
from evnas.mixers import MIXERS
from evnas.search.strategies.warm import seeds as seeds_of
from evnas.space.axes import Axis
from evnas.space.space import Point, SearchSpace

Sampler = optuna.samplers.BaseSampler


def grouped(seed: int) -> Sampler:
    """TPE that models the axes of one branch together."""
    return optuna.samplers.TPESampler(multivariate=True, group=True, seed=seed)


PEERS: Mapping[str, Callable[[int], Sampler]] = {
    "native tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "native tpe, grouped": grouped,
    "native nsga2": lambda seed: optuna.samplers.NSGAIISampler(seed=seed),
    "native nsga3": lambda seed: optuna.samplers.NSGAIIISampler(seed=seed),
    "native gp": lambda seed: optuna.samplers.GPSampler(seed=seed),
}


def native(space: SearchSpace, kind: str, *, seed: int, trials: int, landscape: str) -> Run:
    """So many evaluations by one of `PEERS`."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(directions=["minimize"] * 2, sampler=PEERS[kind](seed))
    for _, arch in seeds_of(space):
        point = space.encode(arch)
        assert isinstance(point, dict)
        study.enqueue_trial({key: _param(space.by_key[key], v) for key, v in point.items()})
    run, began = Run([], [], 0.0), time.perf_counter()
    for number in range(trials):
        trial = study.ask()
        raw = _suggested(trial, space).to_dict()
        digest = ArchSpec.from_dict(raw).digest
        top1 = trained(raw, digest, seed=0, share=1.0, landscape=landscape)
        study.tell(trial, [cost(raw)[0], -top1])
        run.vectors.append((cost(raw)[0], -LANDSCAPES[landscape](raw)))
        run.paid.append(number + 1.0)
    run.seconds = time.perf_counter() - began
    return run


def _suggested(trial: optuna.Trial, space: SearchSpace) -> ArchSpec:
    point: Point = {}
    axes = sorted(space.axes, key=lambda axis: axis.key == "head.fusion")
    for axis in axes:
        if not axis.parent or point.get(axis.parent) in axis.parent_values:
            fuses = axis.key != "head.fusion" or _has_hidden_states(point)
            point[axis.key] = _suggest(trial, axis) if fuses else "none"
    dims = sorted(key for key in point if key.endswith(".dim"))
    point |= dict(zip(dims, sorted(point[key] for key in dims), strict=True))
    found = space.check(point)
    assert isinstance(found, ArchSpec), found
    return found


def _suggest(trial: optuna.Trial, axis: Axis) -> Any:
    values = axis.domain.values
    if axis.domain.ordered:
        return values[trial.suggest_int(axis.key, 0, len(values) - 1)]
    return trial.suggest_categorical(axis.key, list(values))


def _param(axis: Axis, value: Any) -> Any:
    return axis.domain.index(value) if axis.domain.ordered else value


def _has_hidden_states(point: Point) -> bool:
    kinds = MIXERS.with_hidden_states()
    return all(value in kinds for key, value in point.items() if key.endswith(".mixer"))
