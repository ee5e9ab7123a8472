"""How well the strategies search, in closed form: `python benchmarks/search.py [--seeds 10]`.

A space of more than 10^12 architectures with branches; latency and accuracy from
`closed_form.py`; hypervolume of the noise-free values of what was evaluated, over the number of
evaluations (of `mo_asha`: over the training it paid for). The last line is JSON.
"""

import argparse
import json
import math
import platform
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from typing import Any

import numpy as np
from closed_form import accuracy, cost, trained

from evnas.pareto import front_mask, hypervolume, hypervolume_curve
from evnas.record import Measurement, Record
from evnas.search.history import History
from evnas.search.loop import Ask, Search
from evnas.search.strategies.build import build_strategy
from evnas.search.strategies.warm import After
from evnas.search.strategies.warm import seeds as seeds_of
from evnas.space.arch import ArchSpec
from evnas.space.catalog import entry
from evnas.space.search_spec import BudgetSpec, ObjectiveSpec, SpaceSpec, StrategySpec
from evnas.space.size import size_of
from evnas.space.space import SearchSpace
from evnas.space.vary import repair

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


def evaluate(ask: Ask) -> Record:
    """What a phase of a candidate finds, in closed form."""
    raw = ask.arch.to_dict()
    latency, gflop = cost(raw)
    values, measured = {"params": 1.0, "macs_exact": gflop * 5e8}, {}
    if ask.phase == "speed":
        values = {"latency_ms": latency}
        measured = {"latency_ms": Measurement("latency_ms", (latency,))}
    elif ask.phase == "proxy":
        share = ask.budget / FULL
        values = {"top1_percent": trained(raw, ask.arch.digest, seed=ask.seed, share=share)}
    return Record(
        label=ask.label, digest=ask.arch.digest, arch=raw, phase=ask.phase, status="complete",
        seed=ask.seed, budget=ask.budget, target=ask.target, values=values,
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
) -> Run:
    """Search until so many trials were proposed, trainings paid for, or the goal was reached.

    Every strategy begins with the catalogue's members in the space, as `evolution` always does.
    """
    spec = StrategySpec(kind=kind, seed=seed)
    driver = Search(
        history=History(objectives=OBJECTIVES, full_budget=FULL),
        strategy=build_strategy(spec, space, warm=seeds_of(space), full_budget=FULL),
        constraints=(),
        targets=("closed",),
        budget=BudgetSpec(trials=trials),
        first_budget=0.0 if kind == "mo_asha" else FULL,
    )
    run, paid, began = Run([], [], 0.0), 0.0, time.perf_counter()
    while asks := driver.next(1, 0.0):
        for ask in asks:
            driver.take(evaluate(ask))
            if ask.phase == "proxy":
                seen = driver.history.trials[ask.label].trained
                before = max((b for b in seen if b < ask.budget), default=0.0)
                paid += (ask.budget - before) / FULL
                if ask.budget == FULL:
                    raw = ask.arch.to_dict()
                    run.vectors.append((cost(raw)[0], -accuracy(raw)))
                    run.paid.append(paid)
        if paid >= training or (goal < math.inf and run.vectors and run.curve()[-1] >= goal):
            break
    run.seconds = time.perf_counter() - began
    return run


def compare(kinds: Sequence[str], *, seeds: int, trials: int) -> dict[str, Any]:
    """Median final hypervolume of each, and when `evolution` reaches the best peer's."""
    space = space_of(SPACE)
    curves: dict[str, list[np.ndarray]] = {}
    table: dict[str, Any] = {}
    for kind in kinds:
        runs = [search(space, kind, seed=s, trials=trials) for s in range(seeds)]
        curves[kind] = [run.curve() for run in runs]
        finals = [float(c[-1]) for c in curves[kind]]
        table[kind] = {
            "median_hypervolume": statistics.median(finals),
            "low": min(finals),
            "high": max(finals),
            "seconds_a_run": statistics.median(r.seconds for r in runs),
        }
        print(kind, json.dumps(table[kind]), flush=True)
    peers = [k for k in kinds if k != "evolution"]
    best = max(peers, key=lambda k: table[k]["median_hypervolume"])
    goal = table[best]["median_hypervolume"]
    median = np.median(np.stack([c[:trials] for c in curves["evolution"]]), axis=0)
    reached = np.flatnonzero(median >= goal)
    return {
        "table": table,
        "best_peer": best,
        "evolution_reaches_best_peer_at": int(reached[0]) + 1 if len(reached) else None,
    }


def halving(random_goal: float, *, seeds: int, trials: int) -> dict[str, Any]:
    """The training after which the median `mo_asha` has random search's final hypervolume."""
    space, costs = space_of(SPACE), []
    for seed in range(seeds):
        run = search(
            space, "mo_asha", seed=seed, trials=20 * trials, training=trials / 4, goal=random_goal
        )
        reached = np.flatnonzero(run.curve() >= random_goal)
        costs.append(run.paid[reached[0]] if len(reached) else float("inf"))
    return {"trainings": statistics.median(costs), "of": trials, "each": costs}


def reduced(*, seeds: int) -> dict[str, Any]:
    """The share of the known front's hypervolume that 60 evaluations reach."""
    space = space_of(REDUCED)
    every = [arch.to_dict() for _, arch in space.enumerate()]
    points = np.asarray([(cost(raw)[0], -accuracy(raw)) for raw in every])
    whole = hypervolume(points, REFERENCE)
    found: dict[str, Any] = {"architectures": len(every), "front": int(front_mask(points).sum())}
    for kind in ("random", "evolution"):
        ends = [float(search(space, kind, seed=s, trials=60).curve()[-1]) for s in range(seeds)]
        found[kind] = statistics.median(ends) / whole
    return found


def rates() -> dict[str, float]:
    """Candidates a second of CPU time, and the time of a proposal with 10,000 trials stored."""
    space, rng, count = space_of(SPACE), random.Random(0), 2000
    began = time.process_time()
    for _ in range(count):
        point = space.draw(rng)
        _, arch = repair(space, point, rng)
        assert arch.digest
    rate = count / (time.process_time() - began)
    times: dict[str, float] = {"candidates_a_second": rate}
    samples = [space.sample(rng)[1] for _ in range(10_000)]
    for kind in ("random", "evolution", "mo_asha"):
        times[f"propose_ms_{kind}"] = propose_ms(space, kind, samples)
    return times


def propose_ms(space: SearchSpace, kind: str, samples: Sequence[ArchSpec]) -> float:
    """Median time of a proposal after each of a few new trials, 10,000 being known."""
    history = History(objectives=OBJECTIVES, full_budget=FULL)
    strategy = build_strategy(StrategySpec(kind=kind), space, full_budget=FULL)
    strategy = strategy.strategy if isinstance(strategy, After) else strategy
    steps = []
    for i, arch in enumerate(samples):
        for phase, target, budget in (("count", "", 0.0), ("speed", "closed", 0.0),
                                      ("proxy", "", FULL)):  # fmt: skip
            history.take(evaluate(Ask(label=str(i), arch=arch, phase=phase, target=target,
                                      budget=budget)))  # fmt: skip
        if i == len(samples) - 12:
            strategy.propose(history, 1)
        elif i > len(samples) - 12:
            began = time.process_time()  # of one thread: what else the machine does is left out
            strategy.propose(history, 1)
            steps.append(1e3 * (time.process_time() - began))
    return statistics.median(steps)


def space_of(spec: dict[str, Any]) -> SearchSpace:
    return SearchSpace.from_spec(SpaceSpec.model_validate(spec), entry("efficientvim_m1").arch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--kinds", default="random,tpe,nsga2,evolution")
    parser.add_argument("--only", choices=["all", "compare", "rates"], default="all")
    args = parser.parse_args()
    found: dict[str, Any] = {
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("optuna", "numpy", "moocore", "pydantic")},
        "processor": platform.processor() or platform.machine(),
        "seeds": args.seeds,
        "trials": args.trials,
        "architectures": size_of(space_of(SPACE)).mid,
    }
    if args.only != "rates":
        found |= compare(args.kinds.split(","), seeds=args.seeds, trials=args.trials)
    if args.only == "all":
        goal = found["table"]["random"]["median_hypervolume"]
        found["mo_asha"] = halving(goal, seeds=args.seeds, trials=args.trials)
        found["reduced"] = reduced(seeds=args.seeds)
    if args.only != "compare":
        found["rates"] = rates()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
