"""Beyond which speeds a candidate is out of the race: its timing may end there.

Two kinds: a speed that breaks a constraint, and one by which it cannot be better than a member of
the front that is at least as good in every other objective.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from evnas.record import Measurement
from evnas.search.state.history import History
from evnas.search.state.trial import Trial
from evnas.space.expressions import Expression
from evnas.stats.interval import Interval
from evnas.sweep.search_spec import ObjectiveSpec
from evnas.tables import quantity_of

Fields = Mapping[str, Any]
"""Of `evnas.measure.timing.ending.Limit`, which a process without torch does not load."""
TIMED = ("latency_ms", "throughput_img_s", "throughput_ratio")
SPEEDS = [10.0**exponent for exponent in range(-6, 10)]
"""From below to above any, in milliseconds, images a second or as a ratio."""
SPLITS = 50
"""Halvings of a decade: to the precision of a float."""


def limits_of(history: History, label: str, target: str) -> tuple[Fields, ...]:
    """The limits of a candidate on a target; none before anything is known of it.

    Args:
        label: the candidate's.
        target: its id; "" of phases that time nothing.
    """
    trial = history.trials.get(label)
    if trial is None or not target:
        return ()
    return limits_for(history, trial, target)


def limits_for(history: History, trial: Trial, target: str) -> tuple[Fields, ...]:
    """The same of a trial that may not stand in the history yet."""
    found = [
        limit
        for constraint in history.constraints
        for limit in _of_constraint(constraint, trial, target)
    ]
    return (*found, *_of_front(history, trial, target))


def _of_constraint(constraint: Expression, trial: Trial, target: str) -> Iterator[Fields]:
    """Where a constraint on one speed turns from kept to broken, if it does so once."""
    names = [f"{name}@{target}" for name in TIMED if f"{name}@{target}" in constraint.quantities]
    if len(names) != 1:
        return
    known = trial.quantities()

    def holds(value: float) -> bool | None:
        return constraint.holds(trial.arch, known | {names[0]: value})

    answers = [holds(value) for value in SPEEDS]
    turns = [i for i in range(1, len(answers)) if answers[i] is not answers[i - 1]]
    if None in answers or len(turns) != 1:
        return
    kept_below = bool(answers[0])
    value = _turn(lambda x: holds(x) is kept_below, SPEEDS[turns[0] - 1], SPEEDS[turns[0]])
    yield {
        "quantity": quantity_of(names[0]),
        "beyond": "above" if kept_below else "below",
        "value": value[1] if kept_below else value[0],
        "why": f"breaks {constraint.text}",
    }


def _turn(is_as_below: Callable[[float], bool], low: float, high: float) -> tuple[float, float]:
    """Two neighbours, the first of which is as those below, the second as those above."""
    for _ in range(SPLITS):
        middle = (low + high) / 2
        if is_as_below(middle):
            low = middle
        else:
            high = middle
    return low, high


def _of_front(history: History, trial: Trial, target: str) -> Iterator[Fields]:
    """The best speed of those that are at least as good in all that is known of the trial."""
    unknown = [o for o in history.objectives if trial.value(o.metric) is None]
    names = [f"{name}@{target}" for name in TIMED]
    if len(unknown) != 1 or unknown[0].metric not in names:
        return
    (asked,) = unknown
    known = [o for o in history.objectives if o is not asked]
    front = [history.trials[label] for label in history.front.labels]
    rivals = {
        other.label: _safe_value(other, asked)
        for other in front
        if all(_as_good(other, trial, o) for o in known)
    }
    if not rivals:
        return
    best = (max if asked.goal == "max" else min)(rivals, key=lambda label: rivals[label])
    yield {
        "quantity": quantity_of(asked.metric),
        "beyond": "below" if asked.goal == "max" else "above",
        "value": rivals[best],
        "why": f"trial {best} is better or as good in every objective",
    }


def _as_good(other: Trial, trial: Trial, objective: ObjectiveSpec) -> bool:
    theirs, mine = other.value(objective.metric), trial.value(objective.metric)
    assert theirs is not None and mine is not None
    return theirs >= mine if objective.goal == "max" else theirs <= mine


@functools.lru_cache(maxsize=1024)
def _interval(samples: tuple[float, ...]) -> Interval:
    """Kept: a member of the front is asked for by every candidate."""
    return Measurement("speed", samples).interval()


def _safe_value(trial: Trial, objective: ObjectiveSpec) -> float:
    """The end of its interval that is nearer to being beaten."""
    value, samples = trial.value(objective.metric), trial.samples.get(objective.metric, ())
    assert value is not None
    if len(samples) < 2:
        return value
    interval = _interval(samples)
    return interval.low if objective.goal == "max" else interval.high
