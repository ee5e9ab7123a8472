"""A synthetic study of any size, for timing the dashboard and for its tests.

    python benchmarks/dashboard.py make 100000 results/synthetic
    python benchmarks/dashboard.py read results/synthetic

`read` is what a dashboard does before it can show all of a study, and says what that costs.
`dashboard_times.py` times the page. The figures in it are made up (and its sweep says so); only
their shapes are those of a real study.
"""

import argparse
import math
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evnas.arch.catalog import entry
from evnas.arch.paths import edit
from evnas.record import Measurement, Record, Status
from evnas.report.frame.study_reader import StudyReader
from evnas.store import Store

TARGETS = ("cpu-torch-224-b16-float32", "cuda0-torch-224-b256-float16")
_START = 1_790_000_000.0
_MIXERS: dict[str, dict[str, Any]] = {
    "hsm_ssd": {"speed": 1.0, "top1": 0.0},
    "nc_ssd": {"speed": 0.86, "top1": 0.6},
    "sa": {"speed": 0.8, "top1": 0.4},
    "ss2d": {"speed": 0.45, "top1": 0.9},
}


def sweep(trials: int) -> dict[str, Any]:
    """What the study says it is of."""
    return {
        "name": "synthetic",
        "title": "Synthetic study: figures made up for timing the dashboard",
        "strategy": {"kind": "random"},
        "base": "efficientvim_m2",
        "budget": {"trials": trials},
        "objectives": [
            {"metric": f"throughput_img_s@{TARGETS[0]}", "goal": "max"},
            {"metric": "top1_percent", "goal": "max"},
        ],
        "constraints": ["params_m <= 40"],
        "space": {
            "stages[*].mixer.kind": list(_MIXERS),
            "stages[*].depth": [1, 2, 3],
            "stages[0].dim": [96, 128, 160, 192],
        },
        "targets": [{"device": "cpu"}, {"device": "cuda"}],
        "seeds": [0, 1],
    }


def records(trials: int, *, seed: int = 0, first: int = 0) -> Iterator[Record]:
    """The records of `trials` candidates: a count, two speeds and proxies of one or two seeds."""
    rng = random.Random(seed)
    base = entry("efficientvim_m2").arch
    clock = _START + 40.0 * first
    for number in range(first, first + trials):
        mixer = rng.choice(list(_MIXERS))
        depths = [rng.randint(1, 3) for _ in range(3)]
        dim = rng.choice([96, 128, 160, 192])
        arch = edit(
            base,
            {
                "head.fusion": "none",
                "stages[*].mixer.kind": mixer,
                "stages[*].depth": depths,
                "stages[0].dim": dim,
            },
        )
        # one design may be drawn twice: the digest must differ for a trial of its own
        arch = edit(arch, {"num_classes": 1 + number})
        origin = "random" if number < 20 else rng.choice(["random", f"mutation of {number - 7}"])
        for record in _trial(rng, number, arch=arch, mixer=mixer, clock=clock, origin=origin):
            yield record
            clock += record.seconds


def _trial(
    rng: random.Random, number: int, *, arch: Any, mixer: str, clock: float, origin: str
) -> Iterator[Record]:
    about: dict[str, Any] = {
        "label": str(number),
        "digest": arch.digest,
        "arch": arch.to_dict(),
        "origin": origin,
    }
    size = sum(s.depth * s.dim**2 for s in arch.stages) / 3e5
    skill = rng.gauss(0, 0.8)
    params = 4.0 + 3.1 * size
    fits = params <= 40
    yield Record(
        **about,
        phase="count",
        status="complete" if fits else "infeasible",
        values={"params": params * 1e6, "macs_exact": (0.1 + 0.12 * size) * 1e9},
        error="" if fits else f"params_m must be at most 40, got {params:.1f}",
        started=clock,
        seconds=0.2,
    )
    if not fits:
        return
    for target, scale in zip(TARGETS, (90.0, 15000.0), strict=True):
        rate = scale * _MIXERS[mixer]["speed"] / (0.4 + 0.25 * size) * math.exp(rng.gauss(0, 0.05))
        yield _speed(about, target, rate, clock=clock, rng=rng)
    yield from _proxies(
        rng, number, about, mean=62 + 4 * math.log(size) + skill, mixer=mixer, clock=clock
    )


def _speed(
    about: dict[str, Any], target: str, rate: float, *, clock: float, rng: random.Random
) -> Record:
    rates = tuple(rate * (1 + rng.gauss(0, 0.012)) for _ in range(15))
    batch = int(target.split("-b")[1].split("-")[0])
    conditions = {"batch": batch, "retaken": [], "warnings": []}
    return Record(
        **about,
        phase="speed",
        status="complete",
        target=target,
        values={"peak_mib": 900 + 20 * rng.random()},
        measurements={
            "throughput_img_s": Measurement("throughput_img_s", rates, conditions),
            "latency_ms": Measurement(
                "latency_ms", tuple(1e3 * batch / r for r in rates), conditions
            ),
        },
        started=clock,
        seconds=8.0,
    )


def _proxies(
    rng: random.Random,
    number: int,
    about: dict[str, Any],
    *,
    mean: float,
    mixer: str,
    clock: float,
) -> Iterator[Record]:
    for seed in range(1 + number % 2):
        diverged = rng.random() < 0.02
        status: Status = "diverged" if diverged else "pruned" if rng.random() < 0.1 else "complete"
        top1 = mean + _MIXERS[mixer]["top1"] + rng.gauss(0, 0.3)
        curve = tuple(
            {
                "epoch": float(e),
                "images": 1000.0 * e,
                "loss": 2.3 * math.exp(-0.5 * e) + 0.4,
                "top1_percent": top1 - 30 * math.exp(-0.7 * e),
            }
            for e in range(1, 5)
        )
        yield Record(
            **about,
            phase="proxy",
            status=status,
            seed=seed,
            budget=4000.0,
            values={} if diverged else {"top1_percent": curve[-1]["top1_percent"]},
            curve=() if diverged else curve,
            error="loss is nan at image 1,216" if diverged else "",
            started=clock,
            seconds=30.0,
        )
        if diverged:
            return


def make(trials: int, folder: Path, *, seed: int = 0) -> Path:
    """Write the study; returns its store."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "study.db"
    environment = {"platform": "synthetic", "python": sys.version.split()[0], "packages": {}}
    with Store.create(path, sweep=sweep(trials), environment=environment) as store:
        append_fast(store, records(trials, seed=seed))
    return path


def append_fast(store: Store, found: Iterator[Record]) -> None:
    """Append without a flush to disk a record, which a real sweep wants and a fixture does not."""
    store._db.execute("PRAGMA synchronous=OFF")
    for record in found:
        store.append(record)


def read(folder: Path, *, times: int) -> None:
    """Print the CPU time that reading a study takes, each time with a new reader."""
    for _ in range(times):
        reader = StudyReader(folder)
        start = time.process_time()
        reader.read_all()
        cpu = time.process_time() - start
        records, _ = reader.progress()
        reader.close()
        print(f"{records} records, {cpu:.2f} s CPU, {1e6 * cpu / records:.1f} µs a record")


def main() -> None:
    """Make a synthetic study, or read one."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    maker = commands.add_parser("make", help="write a synthetic study")
    maker.add_argument("trials", type=int)
    maker.add_argument("folder", type=Path)
    reading = commands.add_parser("read", help="read a study and say what that costs")
    reading.add_argument("folder", type=Path)
    reading.add_argument("--times", type=int, default=3)
    chosen = parser.parse_args()
    if chosen.command == "read":
        read(chosen.folder, times=chosen.times)
        return
    start = time.perf_counter()
    path = make(chosen.trials, chosen.folder)
    print(f"{path}: {chosen.trials} trials in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
