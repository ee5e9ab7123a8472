"""What the Ray engine costs over the local one: `python benchmarks/engines.py [--phases 60]`.

Both engines are up at once with one worker each, and get the same empty work in alternation: the
count of an architecture whose parts are counted already, so that next to nothing but the engine
takes time. Timed from `submit` until the driver has the record, which is what a search waits for.
The first, in which the workers load torch, is reported apart. The last line is JSON.
"""

import argparse
import json
import os
import platform
import time
from datetime import date
from importlib.metadata import version
from typing import Any

from evnas.arch.catalog import entry
from evnas.phases.count import CountTask
from evnas.phases.work import Finished, Work
from evnas.record import Measurement
from evnas.search.driver import TICK_S
from evnas.search.engines.base import Engine
from evnas.search.runner import engine_for
from evnas.stats.interval import Interval
from evnas.sweep.parts import EngineSpec

SPECS = {
    "local": EngineSpec(kind="local", workers=1),
    "ray": EngineSpec(kind="ray", resources={"cpu": 1}),
}
PHASES_A_TRIAL = 3
"""Count, speed and proxy: of a search that measures on one target and trains one seed."""


def timed(engine: Engine, number: int) -> float:
    """Seconds that one empty phase takes."""
    arch = entry("efficientvim_m1").arch
    plain, task = arch.to_dict(), CountTask()
    work = Work(label=str(number), digest=arch.digest, arch=plain, phase="count", task=task)
    start = time.perf_counter()
    engine.submit(work)
    while True:
        for event in engine.wait(TICK_S):
            if isinstance(event, Finished):
                assert event.record.status == "complete", event.record.error
                return time.perf_counter() - start


def taken(phases: int) -> dict[str, Any]:
    """Seconds a phase of either engine, and of their difference, pair by pair."""
    engines = {name: engine_for(spec) for name, spec in SPECS.items()}
    try:
        first = {name: timed(engine, 0) for name, engine in engines.items()}
        samples: dict[str, list[float]] = {name: [] for name in engines}
        for number in range(1, phases + 1):
            order = list(engines) if number % 2 else list(reversed(engines))
            for name in order:
                samples[name].append(timed(engines[name], number))
    finally:
        for engine in engines.values():
            engine.close()
    pairs = zip(samples["ray"], samples["local"], strict=True)
    samples["ray_over_local"] = [ray - local for ray, local in pairs]
    found = {name: Measurement(f"{name}_s", tuple(s)).interval() for name, s in samples.items()}
    over = found["ray_over_local"]
    a_trial = Interval(*(PHASES_A_TRIAL * bound for bound in (over.low, over.mid, over.high)))
    return {
        "first_s": first,
        "phase_s": {name: as_dict(interval) for name, interval in found.items()},
        "trial_ray_over_local_s": as_dict(a_trial),
        "worst_phase_s": {name: max(s) for name, s in samples.items()},
    }


def as_dict(interval: Interval) -> dict[str, float]:
    """Median between its 95 % bounds."""
    return {"low": interval.low, "median": interval.mid, "high": interval.high}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phases", type=int, default=60, help="of each engine")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    found = taken(args.phases)
    for name, interval in found["phase_s"].items():
        low, mid, high = (1e3 * interval[key] for key in ("low", "median", "high"))
        print(f"{name}: {mid:.1f} ms a phase [{low:.1f}, {high:.1f}]")
    trial = found["trial_ray_over_local_s"]
    print(
        f"a trial of {PHASES_A_TRIAL} phases: {trial['median']:.4f} s more by Ray "
        f"[{trial['low']:.4f}, {trial['high']:.4f}]"
    )
    about = {
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("ray", "torch")},
        "processor": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average_before": round(load, 2),
        "phases": args.phases,
    }
    print(json.dumps(about | found))


if __name__ == "__main__":
    main()
