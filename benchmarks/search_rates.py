"""How fast candidates are made and proposed: `python benchmarks/search_rates.py [--write]`.

CPU time of one thread, for a quiet machine. Candidates a second: drawn, repaired into the space,
validated, hashed; the median of several rounds. A proposal: its median with 10,000 complete
trials stored (30,000 records), each after one more. About four minutes; the last line is JSON.
"""

import argparse
import json
import os
import platform
import random
import statistics
import time
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from search_runs import FULL, OBJECTIVES, SPACE, evaluate, space_of

from evnas.arch.spec import ArchSpec
from evnas.phases.base import Need
from evnas.search.driver import Ask
from evnas.search.state.history import History
from evnas.search.strategies.first import After
from evnas.space.mutation import repair
from evnas.space.space import SearchSpace
from evnas.sweep.candidate import Candidate
from evnas.sweep.strategy_spec import strategy_spec

KINDS = ("random", "evolution", "mo_asha", "tpe", "nsga2", "nsga3", "gp")
STORED = 10_000
PROPOSALS = 11
RESULT = Path(__file__).parents[1] / "results/reference/search_rates.json"


def candidates_a_second(space: SearchSpace, *, rounds: int = 7, count: int = 2000) -> list[float]:
    """Of each round, sorted."""
    found = []
    for seed in range(rounds):
        rng = random.Random(seed)
        began = time.process_time()
        for _ in range(count):
            _, arch = repair(space, space.draw(rng), rng)
            assert arch.digest
        found.append(count / (time.process_time() - began))
    return sorted(found)


def stored(samples: Sequence[ArchSpec]) -> History:
    """A history in which every sample is complete."""
    history = History(objectives=OBJECTIVES, full_budget=FULL)
    for label, arch in enumerate(samples):
        complete(history, label, arch)
    return history


def complete(history: History, label: int, arch: ArchSpec) -> None:
    """All phases of one candidate."""
    candidate = Candidate(label=str(label), arch=arch, published="")
    for ask in (
        Ask(candidate=candidate, phase="count"),
        Ask(candidate=candidate, phase="speed", need=Need(target="closed")),
        Ask(candidate=candidate, phase="proxy", need=Need(budget=FULL)),
    ):
        history.take(evaluate(ask))


def propose_ms(space: SearchSpace, kind: str, samples: Sequence[ArchSpec]) -> dict[str, float]:
    """The first proposal, which takes the store in, and the median and longest after it."""
    history = stored(samples[:-PROPOSALS])
    strategy = strategy_spec(kind).strategy(space, warm=(), full_budget=FULL)
    strategy = strategy.strategy if isinstance(strategy, After) else strategy
    began = time.process_time()
    strategy.propose(history, 1)
    first, steps = 1e3 * (time.process_time() - began), []
    for i, arch in enumerate(samples[-PROPOSALS:], start=len(samples) - PROPOSALS):
        complete(history, i, arch)
        began = time.process_time()
        strategy.propose(history, 1)
        steps.append(1e3 * (time.process_time() - began))
    return {"median_ms": statistics.median(steps), "most_ms": max(steps), "first_ms": first}


def main() -> None:
    """Print a line per figure, then all as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--stored", type=int, default=STORED)
    parser.add_argument("--write", action="store_true", help="keep the JSON in results/reference")
    args = parser.parse_args()
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        parser.error("set OPENBLAS_NUM_THREADS=1: CPU time counts BLAS's waiting threads too")
    space = space_of(SPACE)
    rates = candidates_a_second(space)
    found: dict[str, Any] = {
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "versions": {n: version(n) for n in ("optuna", "numpy", "moocore", "pydantic")},
        "processor": platform.processor() or platform.machine(),
        "candidates_a_second": {
            "median": statistics.median(rates), "low": rates[0], "high": rates[-1]
        },
        "trials_stored": args.stored,
        "proposal": {},
    }  # fmt: skip
    print("candidates a second", found["candidates_a_second"], flush=True)
    rng = random.Random(0)
    samples = [space.sample(rng)[1] for _ in range(args.stored)]
    for kind in args.kinds.split(","):
        found["proposal"][kind] = propose_ms(space, kind, samples)
        print(kind, json.dumps(found["proposal"][kind]), flush=True)
    if args.write:
        RESULT.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
