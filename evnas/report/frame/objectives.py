"""Which columns a study is judged by, and what it demands of its candidates."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evnas.report.frame.columns import Direction, describe_column
from evnas.report.frame.trial_frame import TrialFrame
from evnas.tables import quantity_and_target

_DEFAULTS = (
    ("throughput_ratio", "throughput_img_s"),
    ("top1_percent", "predicted_top1_percent"),
)
"""Of an ablation, by what is found first. Rows are timed one after another, so their images/s are
of different moments; ratios were taken in alternation with the reference."""
_BOUND = re.compile(r"\s*([\w@.-]+)\s*(<=|<|>=|>)\s*([-+.\deE]+)\s*")


@dataclass(frozen=True, slots=True)
class Objective:
    """A column and which way is better."""

    key: str
    better: Direction


@dataclass(frozen=True, slots=True)
class Constraint:
    """A column and a bound on it."""

    key: str
    at_most: bool
    bound: float


def find_objectives(sweep: Mapping[str, Any], frame: TrialFrame) -> list[Objective]:
    """The resolved sweep's own objectives as columns; of an ablation, speed against accuracy.

    A name without a target means its first target. A name that no trial has found yet is left
    out.
    """
    if sweep.get("objectives"):
        asked = [(o["metric"], o["goal"]) for o in sweep["objectives"]]
        found = [(resolve_column(metric, frame), goal) for metric, goal in asked]
        return [Objective(key, "more" if goal == "max" else "less") for key, goal in found if key]
    found_first = (
        next(filter(None, (resolve_column(name, frame) for name in names)), None)
        for names in _DEFAULTS
    )
    keys = [key for key in found_first if key]
    spare = [k for k in ("params_m", "macs_exact_g", "macs_paper_g") if k in frame.numbers]
    return [
        *(Objective(key, _better(key)) for key in keys),
        *(Objective(key, "less") for key in spare[: max(0, 2 - len(keys))]),
    ]


def resolve_column(name: str, frame: TrialFrame) -> str | None:
    """The column a name means: itself, or itself on the first target that fits what follows @."""
    if name in frame.numbers:
        return name
    metric, wish = quantity_and_target(name)
    if metric == "macs_g":  # objectives count exactly; a paper's own way is `macs_paper_g` here
        return "macs_exact_g" if "macs_exact_g" in frame.numbers else None
    fitting = [
        id
        for id, on in frame.targets.items()
        if not wish or id.startswith(wish) or (on is not None and wish in on.names)
    ]
    if wish in frame.targets:  # it may also begin the id of a deployed or training target
        fitting = [wish]
    keys = (f"{metric}@{target}" for target in fitting)
    return next((key for key in keys if key in frame.numbers), None)


def _better(key: str) -> Direction:
    return "less" if describe_column(key).better == "less" else "more"


def find_constraints(sweep: Mapping[str, Any], frame: TrialFrame) -> list[Constraint]:
    """The sweep's bounds on one column, such as `params_m <= 20`; longer conditions draw none."""
    matches = (_BOUND.fullmatch(text) for text in sweep.get("constraints") or [])
    bounds = [
        (resolve_column(m[1], frame), m[2].startswith("<"), float(m[3])) for m in matches if m
    ]
    return [Constraint(key, at_most, bound) for key, at_most, bound in bounds if key]
