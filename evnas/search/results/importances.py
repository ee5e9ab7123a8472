"""How much each axis moves each objective, by Optuna's PED-ANOVA."""

import warnings

import optuna

from evnas.search.state.history import History
from evnas.search.strategies.optuna_study import frozen_trial, new_study
from evnas.space.space import SearchSpace

FEWEST_FOR_IMPORTANCE = 20
"""Trials with an axis active, below which nothing is said about it."""


def importances(space: SearchSpace, history: History) -> dict[str, dict[str, float]]:
    """How much each axis moves each objective: objective -> axis -> share, largest first.

    PED-ANOVA among the better half, over the trials in which an axis is active and times their
    share, so that an axis of a rare branch does not outweigh one that every candidate has.
    Empty while there are too few trials.

    Source: Watanabe et al., "PED-ANOVA", IJCAI 2023, in Optuna's implementation; the weighting
    of conditional axes is ours.
    """
    study = new_study(len(history.objectives))
    study.add_trials(
        frozen_trial(space, trial.arch, vector, attributes={})
        for trial, vector in zip(history.complete, history.vectors, strict=True)
    )
    active = [[t.params[key] for t in study.trials if key in t.params] for key in space.by_key]
    axes = [
        (key, len(values) / len(study.trials))
        for key, values in zip(space.by_key, active, strict=True)
        if len(values) >= FEWEST_FOR_IMPORTANCE and len(set(values)) > 1
    ]
    found: dict[str, dict[str, float]] = {}
    for i, objective in enumerate(history.objectives if axes else ()):
        raw = {key: weight * _moved(study, key, i) for key, weight in axes}
        total = sum(raw.values())
        ranked = sorted(raw.items(), key=lambda item: -item[1])
        found[objective.metric] = {key: value / total if total else 0.0 for key, value in ranked}
    return found


def _moved(study: optuna.Study, key: str, objective: int) -> float:
    def value(trial: optuna.trial.FrozenTrial) -> float:
        return float(trial.values[objective])

    with warnings.catch_warnings():
        # that it may change, and that low values count as good: ours are to be minimised
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", message="PedAnova", category=UserWarning)
        shares = optuna.importance.get_param_importances(
            study,
            evaluator=optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.5),
            params=[key],
            target=value,
            normalize=False,
        )
    return shares[key]
