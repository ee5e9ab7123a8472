"""What a trial costs the driver, as a search grows: `python benchmarks/many_trials.py`.

    python benchmarks/many_trials.py --trials 10000 --workers 200    # a made-up engine
    python benchmarks/many_trials.py --ray 1000                      # Ray, one CPU, empty work

The made-up engine has as many workers as it is told, each of which answers at once with a made-up
count and speed; proposals, the store and its file are a real search's (`--strategy`). By tenth of
the search are printed the CPU time of a trial and of going on with what there was, and memory.
With `--ray` empty work goes through Ray's engine, and memory of the driver and of all Ray's
processes is printed as it goes. One JSON line each.
"""

import argparse
import json
import os
import random
import tempfile
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from evnas.arch.catalog import entry
from evnas.phases.base import Need, Task, TimedOn
from evnas.phases.speed import SpeedTask
from evnas.phases.work import Event, Finished, Work
from evnas.record import TargetFields
from evnas.search.driver import Ask, Schedule, drive
from evnas.search.state.history import History
from evnas.search.state.objectives import resolved_objectives
from evnas.space.space import SearchSpace
from evnas.store import Store
from evnas.sweep.candidate import Candidate
from evnas.sweep.search_spec import BudgetSpec, ObjectiveSpec, SearchSpec
from evnas.sweep.strategy_spec import strategy_spec
from evnas.sweep.sweep import load_sweep

SPACE = Path(__file__).parents[1] / "sweeps/search_cpu.yaml"
ON = {"device": "cpu", "runtime": "torch", "resolution": 8, "batch_size": 1}
ON |= {"precision": "float32", "form": "plain", "mode": "inference"}
TARGET = "cpu-torch-8-b1-float32"
PARTS = 10
"""Of a search, whose costs are printed apart."""


class Made:
    """An engine whose workers answer in the order in which they were asked."""

    def __init__(self, workers: int) -> None:
        self.slots = workers
        self._asked: deque[Work] = deque()
        self._draw = random.Random(0)

    def submit(self, work: Work) -> None:
        """Taken at once."""
        self._asked.append(work)

    def wait(self, timeout_s: float) -> list[Event]:
        """The longest asked."""
        work = self._asked.popleft()
        values = (
            {"params": float(self._draw.randrange(5_000_000, 15_000_000))}
            if work.phase == "count"
            else {"throughput_img_s": self._draw.lognormvariate(5.0, 0.5)}
        )
        found = {"values": values}
        return [Finished(work, work.record("complete", started=0.0, seconds=0.0, found=found))]

    def close(self) -> None:
        """Nothing runs."""


class Setting:
    """Of a search with one target."""

    wanted = frozenset({"throughput_img_s"})
    convention, proxy, predict, paper, among, weights = None, None, None, "", (), ""
    base: Any = MappingProxyType({})

    def counted_at(self, candidate: Candidate) -> int:
        """In pixels."""
        return 8

    def targets_of(self, candidate: Candidate) -> dict[str, TimedOn]:
        """The one."""
        return {TARGET: TimedOn(fields={"device": "cpu"}, index=0, budget_s=1.0, resolution=8)}

    def alternates_with(self, candidate: Candidate) -> None:
        """With nothing."""

    def rung(self, candidate: Candidate, need: Need) -> tuple[int | None, str]:
        """None."""
        return None, ""


def work_of(ask: Ask) -> Work:
    """Work that nobody does."""
    need = ask.need
    work = Work(
        label=ask.label,
        digest=ask.candidate.digest,
        arch=ask.candidate.to_dict(),
        phase=ask.phase,
        seed=need.seed,
        budget=need.budget,
        target=need.target,
        origin=ask.origin,
    )
    return replace(work, task=SpeedTask(target=ON, budget_s=1.0) if need.target else Task())


def resident_mib(pid: int | str = "self") -> float:
    """Of a process; 0 of one that is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def searched(trials: int, workers: int, strategy: str, file: Path) -> None:
    """Run the search; a line for each part of it."""
    spec = load_sweep(SPACE).spec
    assert isinstance(spec, SearchSpec)
    space = SearchSpace.from_spec(spec.space, entry("efficientvim_m1").arch)
    target = TargetFields.of_old(TARGET)
    assert target is not None
    wishes = {"throughput_img_s": "max", "params": "min"}
    objectives = resolved_objectives(
        [ObjectiveSpec.model_validate({"metric": m, "goal": g}) for m, g in wishes.items()],
        [target],
    )
    with Store.create(file, sweep=spec.to_dict(), environment={}) as store:
        for part in range(1, PARTS + 1):
            began = time.process_time()
            search = Schedule(
                history=History(objectives=objectives).take_store(store),
                strategy=strategy_spec(strategy).strategy(space, warm=(), full_budget=0.0),
                setting=Setting(),
                budget=BudgetSpec(trials=trials * part // PARTS),
                first_budget=0.0,
            )
            search.resume()
            resumed_s, began = time.process_time() - began, time.process_time()
            drive(search, store, Made(workers), make_work=work_of)
            line = {
                "strategy": strategy,
                "workers": workers,
                "trials": trials * part // PARTS,
                "resume_cpu_s": resumed_s,
                "cpu_ms_per_trial": 1e3 * (time.process_time() - began) / (trials / PARTS),
                "resident_mib": resident_mib(),
            }
            print(json.dumps(line), flush=True)


def through_ray(number: int) -> None:
    """Empty work, one at a time; a line for each part of it."""
    import ray

    from evnas.search.engines.tune.engine import TuneEngine

    def empty(work: Work) -> Finished:
        return Finished(work, work.record("complete", started=0.0, seconds=0.0))

    engine = TuneEngine(address="auto", resources={"cpu": 1}, timeout_s=600.0, evaluate=empty)
    try:
        began = time.perf_counter()
        for n in range(1, number + 1):
            engine.submit(Work(label=str(n), digest=str(n), arch={}, phase="count"))
            while not engine.wait(0.25):
                pass
            if n % max(1, number // PARTS) == 0:
                line = {
                    "ray": ray.__version__,
                    "work": n,
                    "wall_ms_each": 1e3 * (time.perf_counter() - began) / (number // PARTS),
                    "driver_mib": resident_mib(),
                    "all_of_ray_mib": sum(resident_mib(pid) for pid in of_ray()),
                }
                print(json.dumps(line), flush=True)
                began = time.perf_counter()
    finally:
        engine.close()


def of_ray() -> list[str]:
    """Processes that Ray runs here."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if b"ray" in command and folder.name != str(os.getpid()):
            found.append(folder.name)
    return found


def main() -> None:
    """One of the two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--strategy", default="random")
    parser.add_argument("--ray", type=int, default=0, help="pieces of empty work")
    given = parser.parse_args()
    if given.ray:
        through_ray(given.ray)
        return
    with tempfile.TemporaryDirectory() as folder:
        searched(given.trials, given.workers, given.strategy, Path(folder) / "study.db")


if __name__ == "__main__":
    main()
