"""The spaces, objectives and single runs behind `search.py` and `search_rates.py`."""

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from closed_form import LANDSCAPES, cost, trained

from evnas.arch.catalog import entry
from evnas.phases.base import Need, TimedOn
from evnas.record import Measurement, Record
from evnas.search.driver import Ask, Schedule
from evnas.search.state.history import History
from evnas.search.strategies.warm import seeds as seeds_of
from evnas.space.space import SearchSpace
from evnas.space.spec import SpaceSpec
from evnas.stats.pareto import hypervolume_curve
from evnas.sweep.candidate import Candidate
from evnas.sweep.search_spec import BudgetSpec, ObjectiveSpec
from evnas.sweep.strategy_spec import strategy_spec

FULL = 9.0
REFERENCE = (12.0, -70.0)
"""12 ms and 70 %: what a useful candidate beats."""
OBJECTIVES = (
    ObjectiveSpec(metric="latency_ms@closed", goal="min"),
    ObjectiveSpec(metric="top1_percent", goal="max"),
)
MIXER = {
    "choice": {
        "hsm_ssd": {"states": [4, 9, 16, 25, 36, 49, 64], "expand": [0.5, 1.0, 2.0]},
        "nc_ssd": {"states": [9, 16, 25, 49, 64], "heads": [1, 2, 4, 8], "expand": 1.0},
        "ss2d": {"d_state": [1, 2, 4, 8], "scan": ["unidi", "bidi", "cascade", "cross"]},
        "sa": {"heads": [2, 4, 8]},
    }
}
SPACE = {
    "axes": {
        "stages[*].dim": {"each": {"int": {"low": 64, "high": 512, "step": 16}}},
        "stages[*].depth": {"each": {"int": {"low": 1, "high": 8}}},
        "stages[*].mlp_ratio": {"each": [1.0, 2.0, 3.0, 4.0, 5.0]},
        "stages[*].mixer": {"each": MIXER},
        "head.fusion": ["hidden", "none"],
        "norm": ["partial_ln", "full_bn"],
        "stem.stride": [8, 16],
    },
    "require": ["stages[1].dim >= stages[0].dim", "stages[2].dim >= stages[1].dim"],
}
REDUCED = {
    "axes": {
        "stages[*].dim": {"increasing": [96, 160, 256]},
        "stages[*].depth": {"shared": [1, 2, 4]},
        "stages[*].mixer": {
            "each": {"choice": {"hsm_ssd": {"states": [9, 25]}, "ss2d": {}, "sa": {}}}
        },
        "head.fusion": ["hidden", "none"],
    }
}


@dataclass
class Run:
    """One search: true vectors in the order of evaluation, and what training each had cost."""

    vectors: list[tuple[float, float]]
    paid: list[float]
    seconds: float

    def curve(self) -> np.ndarray:
        return hypervolume_curve(np.asarray(self.vectors), REFERENCE)


@dataclass(frozen=True)
class ClosedForm:
    """A setting of one target, whose tasks nobody looks at."""

    convention: None = None
    proxy: None = None
    predict: None = None
    wanted: frozenset[str] = frozenset()
    paper: str = ""
    among: tuple[str, ...] = ()
    weights: str = ""

    @property
    def base(self) -> dict[str, Any]:
        return {}

    def counted_at(self, candidate: Candidate) -> int:
        return 224

    def targets_of(self, candidate: Candidate) -> dict[str, TimedOn]:
        return {"closed": TimedOn(fields={}, index=0, budget_s=1.0, resolution=224)}

    def alternates_with(self, candidate: Candidate) -> None:
        return None

    def rung(self, candidate: Candidate, need: Need) -> tuple[None, str]:
        return None, ""


def evaluate(ask: Ask, landscape: str = "usual") -> Record:
    """What a phase of a candidate finds, in closed form."""
    raw = ask.candidate.to_dict()
    latency, gflop = cost(raw)
    values, measured = {"params": 1.0, "macs_exact": gflop * 5e8}, {}
    if ask.phase == "speed":
        values = {"latency_ms": latency}
        measured = {"latency_ms": Measurement("latency_ms", (latency,))}
    elif ask.phase == "proxy":
        share = ask.need.budget / FULL
        values = {
            "top1_percent": trained(
                raw, ask.candidate.digest, seed=ask.need.seed, share=share, landscape=landscape
            )
        }
    return Record(
        label=ask.label, digest=ask.candidate.digest, arch=raw, phase=ask.phase, status="complete",
        seed=ask.need.seed, budget=ask.need.budget, target=ask.need.target, values=values,
        measurements=measured, origin=ask.origin,
    )  # fmt: skip


def search(
    space: SearchSpace,
    kind: str,
    *,
    seed: int,
    trials: int,
    training: float = math.inf,
    goal: float = math.inf,
    landscape: str = "usual",
) -> Run:
    """Search until so many trials were proposed, trainings paid for, or the goal was reached.

    Every strategy begins with the catalogue's members in the space, as `evolution` always does.
    """
    spec = strategy_spec({"kind": kind, "seed": seed})
    driver = Schedule(
        history=History(objectives=OBJECTIVES, full_budget=FULL),
        strategy=spec.strategy(space, warm=seeds_of(space), full_budget=FULL),
        setting=ClosedForm(),
        budget=BudgetSpec(trials=trials),
        first_budget=0.0 if spec.rungs_of(FULL) else FULL,
    )
    run, paid, began = Run([], [], 0.0), 0.0, time.perf_counter()
    while asks := driver.next(1, 0.0):
        for ask in asks:
            driver.take(evaluate(ask, landscape))
            if ask.phase == "proxy":
                seen = driver.history.trials[ask.label].trained
                before = max((b for b in seen if b < ask.need.budget), default=0.0)
                paid += (ask.need.budget - before) / FULL
                if ask.need.budget == FULL:
                    raw = ask.candidate.to_dict()
                    run.vectors.append((cost(raw)[0], -LANDSCAPES[landscape](raw)))
                    run.paid.append(paid)
        if paid >= training or (goal < math.inf and run.vectors and run.curve()[-1] >= goal):
            break
    run.seconds = time.perf_counter() - began
    return run


def space_of(spec: dict[str, Any]) -> SearchSpace:
    return SearchSpace.from_spec(SpaceSpec.model_validate(spec), entry("efficientvim_m1").arch)
