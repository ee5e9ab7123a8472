"""How well the strategies search, in closed form: `python benchmarks/search.py --write`.

A space of more than 10^12 architectures with branches; latency and accuracy from
`closed_form.py`, on three landscapes of accuracy; beside ours Optuna's own samplers as they are
at their best (`native_peers.py`); hypervolume of the noise-free values of what was evaluated,
over the number of evaluations (of `mo_asha`: over the training it paid for). Strategies were
tuned on seeds 0 to 9 of the usual landscape, the development seeds; figures are of the seeds from
`--first-seed` on. GP runs on few seeds and for fewer evaluations, since each of its proposals
takes seconds. The last line is JSON. Speed is measured apart: `search_rates.py`.

`--only KIND`, any number of times, runs these strategies alone, one after the other, on all
landscapes. With `--runs FILE` each run is kept as a line when it ends, and the same command goes
on from there; `--ended-only` makes the figures of strategies whose runs are all there.
"""

import argparse
import json
import math
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from closed_form import accuracy, cost
from native_peers import PEERS, native
from search_runs import REDUCED, REFERENCE, SPACE, Run, search, space_of

from evnas.space.size import size_of
from evnas.stats.pareto import front_mask, hypervolume
from evnas.sweep.strategy_spec import strategy_spec

RESULT = Path(__file__).parents[1] / "results/reference/search.json"
SIBLINGS = ("deceptive", "coupled")
"""Landscapes on which `evolution` was not tuned; `tpe` models axes together in turn since that did
better on the development seeds of all three."""
SMALL_TRIALS = 60
"""Evaluations on the reduced space."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run: where, who, with which seed, for how long."""

    space: str
    kind: str
    seed: int
    trials: int
    training: float = math.inf
    goal: float = math.inf
    landscape: str = "usual"

    @property
    def key(self) -> str:
        """What a kept run is known by."""
        return f"{self.space} {self.landscape} {self.kind} {self.seed} {self.trials}"


def run(job: Job) -> tuple[Job, Run]:
    """A worker's whole task."""
    space = space_of(SPACE if job.space == "large" else REDUCED)
    if job.kind in PEERS:
        return job, native(space, job.kind, seed=job.seed, trials=job.trials,
                           landscape=job.landscape)  # fmt: skip
    return job, search(space, job.kind, seed=job.seed, trials=job.trials,
                       training=job.training, goal=job.goal,
                       landscape=job.landscape)  # fmt: skip


def jobs_of(args: argparse.Namespace, goal: float) -> Iterator[Job]:
    """All runs but those of random search on the large space, the longest first.

    Args:
        args: of the command line.
        goal: random search's median final hypervolume, at which `mo_asha` may stop.
    """
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    for seed in seeds[: args.gp_seeds]:
        for kind in ("gp", "native gp"):
            yield Job(space="large", kind=kind, seed=seed, trials=args.gp_trials)
    peers = [kind for kind in PEERS if kind != "native gp"]
    for kind in ("tpe", "evolution", "nsga2", *peers):
        for seed in seeds:
            yield Job(space="large", kind=kind, seed=seed, trials=args.trials)
    for landscape in SIBLINGS:
        for kind in ("tpe", "evolution", *peers):
            for seed in seeds:
                yield Job(space="large", kind=kind, seed=seed, trials=args.trials,
                          landscape=landscape)  # fmt: skip
    for seed in seeds:
        yield Job(space="large", kind="mo_asha", seed=seed, trials=20 * args.trials,
                  training=args.trials / 4, goal=goal)  # fmt: skip
    for kind in ("evolution", "random"):
        for seed in seeds:
            yield Job(space="reduced", kind=kind, seed=seed, trials=SMALL_TRIALS)


def chosen_jobs(args: argparse.Namespace) -> Iterator[Job]:
    """Of the strategies that `--only` names, in its order."""
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    for kind in args.only:
        for landscape in ("usual", *SIBLINGS):
            for seed in seeds:
                yield Job(space="large", kind=kind, seed=seed, trials=args.trials,
                          landscape=landscape)  # fmt: skip


def runs_of(jobs: Sequence[Job], args: argparse.Namespace) -> Iterator[tuple[Job, Run]]:
    """Jobs with their runs, in their order; those that are kept are not run again."""
    kept = _kept(args.runs)
    missing = [] if args.ended_only else [job for job in jobs if job.key not in kept]
    if args.jobs == 1:
        yield from _with_kept(jobs, kept, map(run, missing), args.runs)
        return
    with multiprocessing.get_context("spawn").Pool(args.jobs) as pool:
        yield from _with_kept(jobs, kept, pool.imap(run, missing), args.runs)


def _with_kept(
    jobs: Sequence[Job],
    kept: Mapping[str, Run],
    fresh: Iterator[tuple[Job, Run]],
    file: Path | None,
) -> Iterator[tuple[Job, Run]]:
    for job in jobs:
        if job.key in kept:
            yield job, kept[job.key]
            continue
        ended = next(fresh, None)
        if ended is None:  # only what has ended is wanted
            continue
        if file is not None:
            with file.open("a") as lines:
                lines.write(json.dumps({"key": job.key, **asdict(ended[1])}) + "\n")
        yield ended


def _kept(file: Path | None) -> dict[str, Run]:
    if file is None or not file.exists():
        return {}
    kept = {}
    for line in map(json.loads, file.read_text().splitlines()):
        vectors = [(latency, loss) for latency, loss in line["vectors"]]
        kept[line["key"]] = Run(vectors, line["paid"], line["seconds"])
    return kept


def table_of(runs: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """Of each strategy its final hypervolumes, and the median on the way there."""
    table = {}
    for kind, found in runs.items():
        curves = np.stack([r.curve() for r in found])
        finals = curves[:, -1]
        marks = range(30, curves.shape[1] + 1, 30)
        table[kind] = {
            "seeds": len(found),
            "evaluations": curves.shape[1],
            "median_hypervolume": float(np.median(finals)),
            "low": float(finals.min()),
            "high": float(finals.max()),
            "each": finals.tolist(),
            "median_after": {n: float(np.median(curves[:, n - 1])) for n in marks},
            "seconds_a_run": statistics.median(r.seconds for r in found),
        }
    return table


def reached(runs: Mapping[str, Sequence[Run]], table: Mapping[str, Any]) -> dict[str, Any]:
    """When `evolution`'s median has the final median of its best peer of as many evaluations,
    and how it stands beside GP after as many evaluations of the same seeds as GP had."""
    whole = table["evolution"]["evaluations"]
    peers = [k for k in table if k != "evolution" and table[k]["evaluations"] == whole]
    best = max(peers, key=lambda k: table[k]["median_hypervolume"])
    median = np.median(np.stack([r.curve() for r in runs["evolution"]]), axis=0)
    there = np.flatnonzero(median >= table[best]["median_hypervolume"])
    found: dict[str, Any] = {
        "best_peer": best,
        "evolution_reaches_best_peer_at": int(there[0]) + 1 if len(there) else None,
        "best_peer_median": table[best]["median_hypervolume"],
        "evolution_lowest": table["evolution"]["low"],
    }
    if "gp" in runs:
        count, seeds = table["gp"]["evaluations"], table["gp"]["seeds"]
        ours = [float(r.curve()[count - 1]) for r in runs["evolution"][:seeds]]
        theirs = [float(r.curve()[-1]) for r in runs["gp"]]
        found["beside_gp"] = {"evaluations": count, "evolution": ours, "gp": theirs}
    return found


def halving(runs: Sequence[Run], *, goal: float, trials: int) -> dict[str, Any]:
    """The training after which each `mo_asha` has random search's final median."""
    costs = []
    for found in runs:
        there = np.flatnonzero(found.curve() >= goal)
        costs.append(found.paid[there[0]] if len(there) else math.inf)
    return {"trainings": statistics.median(costs), "of": trials, "each": costs}


def reduced(runs: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """The share of the known front's hypervolume that a run on the reduced space reaches."""
    every = [arch.to_dict() for _, arch in space_of(REDUCED).enumerate()]
    points = np.asarray([(cost(raw)[0], -accuracy(raw)) for raw in every])
    whole = hypervolume(points, REFERENCE)
    shares = {kind: [float(r.curve()[-1]) / whole for r in found] for kind, found in runs.items()}
    return {
        "architectures": len(every),
        "front": int(front_mask(points).sum()),
        "evaluations": SMALL_TRIALS,
        **{kind: statistics.median(each) for kind, each in shares.items()},
        "each": shares,
    }


def figures(args: argparse.Namespace) -> dict[str, Any]:
    """Everything, in one run."""
    began, size = time.perf_counter(), size_of(space_of(SPACE))
    runs: dict[str, dict[str, list[Run]]] = {"large": {}, "reduced": {}}
    seeds = range(args.first_seed, args.first_seed + args.seeds)

    def take(jobs: Sequence[Job]) -> None:
        for job, found in runs_of(jobs, args):
            place = job.space if job.landscape == "usual" else job.landscape
            runs.setdefault(place, {}).setdefault(job.kind, []).append(found)
            print(f"{time.perf_counter() - began:.0f} s {place} {job.kind} {job.seed} "
                  f"{float(found.curve()[-1]):.1f}", flush=True)  # fmt: skip

    halved: dict[str, Any] = {}
    if args.only:
        take(list(chosen_jobs(args)))
    else:
        take([Job(space="large", kind="random", seed=s, trials=args.trials) for s in seeds])
        goal = table_of(runs["large"])["random"]["median_hypervolume"]
        take(list(jobs_of(args, goal)))
        halved["mo_asha"] = halving(runs["large"].pop("mo_asha"), goal=goal, trials=args.trials)
        halved["reduced"] = reduced(runs["reduced"])
    if args.ended_only:
        runs = {place: {kind: found for kind, found in each.items() if len(found) == args.seeds}
                for place, each in runs.items()}  # fmt: skip
    table = table_of(runs["large"])
    beside = {name: table_of(runs[name]) for name in SIBLINGS}
    return {
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "versions": {n: version(n) for n in ("optuna", "numpy", "moocore", "pydantic")},
        "evolution": strategy_spec({"kind": "evolution"}).model_dump(mode="json"),
        "processor": platform.processor() or platform.machine(),
        "seeds": [seeds[0], seeds[-1]],
        "architectures": {"mid": size.mid, "low": size.low, "high": size.high,
                          "exact": size.exact},
        "table": table,
        **reached(runs["large"], table),
        "siblings": {
            name: {"table": each, **reached(runs[name], each)} for name, each in beside.items()
        },
        **halved,
        "minutes": (time.perf_counter() - began) / 60,
    }  # fmt: skip


def rows_of(found: Mapping[str, Any]) -> list[str]:
    """The table of docs/guide/search.md, best first, one landscape after the other."""
    ordered = sorted(found["table"].items(), key=lambda kv: -kv[1]["median_hypervolume"])
    for name, sibling in found.get("siblings", {}).items():
        ours = sorted(sibling["table"].items(), key=lambda kv: -kv[1]["median_hypervolume"])
        ordered += [(f"{kind} ({name})", row) for kind, row in ours]
    rows = ["| strategy | seeds | evaluations | median hypervolume | lowest | highest |"]
    rows.append("|---|---|---|---|---|---|")
    for kind, row in ordered:
        figures = " | ".join(f"{row[k]:.1f}" for k in ("median_hypervolume", "low", "high"))
        rows.append(f"| {kind} | {row['seeds']} | {row['evaluations']} | {figures} |")
    return rows


def main() -> None:
    """Run everything; with --write keep it in results/reference."""
    os.environ["OMP_NUM_THREADS"] = "1"  # for the workers, which take a core each
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=100)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--gp-seeds", type=int, default=3)
    parser.add_argument("--gp-trials", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", action="append", default=[], metavar="KIND")
    parser.add_argument("--runs", type=Path, metavar="FILE", help="keep each run, and go on there")
    parser.add_argument("--ended-only", action="store_true", help="run nothing that is not kept")
    parser.add_argument("--write", action="store_true", help="keep the JSON in results/reference")
    parser.add_argument("--output", type=Path, default=RESULT, help="where --write keeps it")
    args = parser.parse_args()
    found = figures(args)
    if args.write:
        args.output.write_text(json.dumps(found, indent=1) + "\n")
    print("\n".join(rows_of(found)))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
