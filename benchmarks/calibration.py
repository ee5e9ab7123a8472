"""How well a calibration predicts latencies: 60 random architectures of a space that it did not
measure, beside FLOPs alone and the parts' sum alone, and what it costs.

Everything goes into one table of its own, so a run that was broken off, or ended by `--minutes`,
goes on where it was; `--fresh` begins again. About 6 minutes a target on two quiet cores.

    python benchmarks/calibration.py --threads 2
    python benchmarks/calibration.py --threads 1 --clock cpu --only torch    # on a busy machine
"""

import argparse
import json
import random
import shutil
import statistics
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from evnas.arch.spec import ArchSpec
from evnas.latency.calibration import Calibration, calibrate, calibration_in, what_of
from evnas.latency.design import Design, design_of, networks_of
from evnas.latency.measuring import TargetMeasurer
from evnas.latency.parts import Part
from evnas.latency.predictor import LatencyPredictor, NetworkTime
from evnas.latency.report import settled_target
from evnas.latency.table import LatencyTable, Timed
from evnas.latency.validation import cross_validated, on_others
from evnas.measure.stopwatch import CpuStopwatch
from evnas.measure.target import Target
from evnas.measure.timing.conditions import moment
from evnas.measure.timing.device_lock import DeviceLock
from evnas.space.space import SearchSpace
from evnas.sweep.parts import TargetSpec
from evnas.sweep.search_spec import SearchSpec
from evnas.sweep.sweep import load_sweep

HELD_OUT = 60
REPEATED = 12
"""Of the held-out networks, measured once more at the end: what no predictor can know."""
TARGETS = (
    {"device": "cpu", "runtime": "openvino"},
    {"device": "cpu", "runtime": "torch", "form": "deployed"},
)
OUT_OF_TIME = 3
"""Exit code of a run that `--minutes` ended: the same command goes on."""


@dataclass(frozen=True)
class Case:
    """A target with its table and what is measured on it."""

    target: Target
    table: LatencyTable
    measurer: TargetMeasurer
    design: Design
    held_out: tuple[ArchSpec, ...]

    def seconds(self, wanted: Iterable[Part | ArchSpec]) -> float:
        """That the measurements of these took, in whichever run."""
        found = (self.known(one) for one in wanted)
        return sum(timed.seconds for timed in found if timed is not None)

    def known(self, one: Part | ArchSpec) -> Timed | None:
        """What the table holds of a part or network."""
        assert self.target.batch_size != "auto"  # settled
        return self.table.get(what_of(one, self.target), self.target.batch_size)


def main() -> int:
    """Measure, predict, and write the sheet; 3 when time ran out."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    sweep = load_sweep(args.sweep)
    assert isinstance(sweep.spec, SearchSpec)
    space = SearchSpace.from_spec(sweep.spec.space, sweep.base)
    end = time.monotonic() + 60 * args.minutes
    for fields in TARGETS:
        spec = TargetSpec(**fields, batch_size=args.batch_size)
        target = settled_target(sweep, spec)
        if args.only not in target.id:
            continue
        folder = args.tables / f"{target.runtime}-{args.threads}-{args.clock}"
        if args.fresh:
            shutil.rmtree(folder, ignore_errors=True)
        measurer = TargetMeasurer(target)
        if args.clock == "cpu":  # which others may share, so nobody is kept waiting
            lock = DeviceLock("cpu", folder)
            measurer = TargetMeasurer(target, CpuStopwatch(time.process_time), lock)
        case = Case(
            target,
            LatencyTable.of_target(target, folder=folder),
            measurer,
            design_of(space, sweep.base, target.resolution),
            _held_out(space, sweep.base),
        )
        if not _measured(case, end):
            print("out of time: the same command goes on")
            return OUT_OF_TIME
        line = _line(case, space, args)
        _write(args.out, line)
        print(json.dumps(line, indent=1), flush=True)
    return 0


def _measured(case: Case, end: float) -> bool:
    """Whether all of it is in the table by now."""
    for design in (case.design, Design(case.held_out, ())):
        left = (end - time.monotonic()) / 60
        progress = calibrate(
            design,
            case.table,
            case.measurer,
            case.target,
            minutes=max(0.0, left),
            say=lambda text: print(text, file=sys.stderr, flush=True),
        )
        if progress.left:
            return False
    return True


def _line(case: Case, space: SearchSpace, args: argparse.Namespace) -> dict[str, Any]:
    found = calibration_in(case.table, case.design.networks, case.target)
    predictor = found.predictor()
    others = calibration_in(case.table, case.held_out, case.target).network_times
    return {
        "target": case.target.id,
        "threads": args.threads,
        "clock": args.clock,
        "of": dict(case.table.of),
        "space": str(args.sweep),
        "parts": len(found.parts),
        "networks": len(found.networks),
        "refused": sum(bool(timed.refused) for timed in case.table.entries.values()),
        "calibration_minutes": round(case.seconds(case.design.in_turn()) / 60, 2),
        "anchor_spread_percent": _anchor_spread(case.table),
        "held_out": _rounded(on_others(predictor, others)),
        "cross_validated": _rounded(cross_validated(predictor)),
        "repeat_error_percent": _repeat_error(case, others),
        "prediction_ms": _prediction_ms(found, space, args.clock),
        "latency_ms": _range(others),
        "pairs": _pairs(predictor, others),
        "after": moment(),
    }


def _held_out(space: SearchSpace, base: ArchSpec) -> tuple[ArchSpec, ...]:
    """Random architectures that no calibration of the space measures."""
    known = {arch.digest for arch in networks_of(space, base)}
    drawn = networks_of(space, base, count=2 * HELD_OUT, seed=2)
    return tuple(arch for arch in drawn if arch.digest not in known)[:HELD_OUT]


def _rounded(ways: Any) -> dict[str, Any]:
    return {
        name: {
            key: round(value, 4) if isinstance(value, float) else value
            for key, value in way.to_dict().items()
        }
        for name, way in ways.items()
    }


def _anchor_spread(table: LatencyTable) -> dict[str, float]:
    """Of the network that is timed beside all others: how steady the machine was."""
    anchors = sorted(e.anchor_ms for e in table.entries.values() if e.anchor_ms is not None)
    middle = statistics.median(anchors)
    ends = {"p5": anchors[len(anchors) // 20], "p95": anchors[-1 - len(anchors) // 20]}
    return {name: round(100 * (value / middle - 1), 2) for name, value in ends.items()}


def _repeat_error(case: Case, others: list[NetworkTime]) -> float:
    """Mean difference of two measurements of one network, in percent, each over its anchor."""
    found = []
    for network in others[:REPEATED]:
        first, again = case.known(network.arch), case.measurer.network(network.arch)
        assert first is not None
        found.append(100 * abs(_over_anchor(again) / _over_anchor(first) - 1))
    return round(statistics.mean(found), 3)


def _over_anchor(timed: Timed) -> float:
    assert timed.latency_ms is not None and timed.anchor_ms is not None  # it ran
    return timed.latency_ms / timed.anchor_ms


def _prediction_ms(found: Calibration, space: SearchSpace, clock: str) -> dict[str, float]:
    """Milliseconds of one prediction, of architectures that the predictor has not seen."""
    predictor, draw, count = found.predictor(), random.Random("prediction"), 500
    now = time.process_time if clock == "cpu" else time.perf_counter
    times = []
    for arch in [space.sample(draw)[1] for _ in range(count)]:
        start = now()
        predictor.predict(arch)
        times.append(1e3 * (now() - start))
    times.sort()
    return {
        "mean": round(statistics.mean(times), 4),
        "median": round(times[count // 2], 4),
        "p95": round(times[int(0.95 * count)], 4),
    }


def _range(networks: list[NetworkTime]) -> list[float]:
    times = sorted(network.latency_ms for network in networks)
    return [round(times[0], 3), round(times[-1], 3)]


def _pairs(predictor: LatencyPredictor, networks: list[NetworkTime]) -> list[list[float]]:
    """Measured, predicted, and the ends of the interval, in ms."""
    found = []
    for network in networks:
        p = predictor.predict(network.arch)
        found.append([round(x, 4) for x in (network.latency_ms, p.mid_ms, p.low_ms, p.high_ms)])
    return found


def _write(path: Path, line: dict[str, Any]) -> None:
    """The sheet with this line in the place of an older one of its kind."""
    kind = ("target", "threads", "clock")
    lines = json.loads(path.read_text())["lines"] if path.exists() else []
    kept = [old for old in lines if any(old[key] != line[key] for key in kind)]
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps({"lines": [*kept, line]}, indent=1) + "\n")
    draft.replace(path)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sweep", type=Path, default=Path("sweeps/search_cpu.yaml"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument(
        "--clock", choices=("wall", "cpu"), default="wall", help="cpu needs one thread"
    )
    parser.add_argument("--only", default="", help="part of a target's id")
    parser.add_argument("--minutes", type=float, default=600.0)
    parser.add_argument("--tables", type=Path, default=Path("results/calibration"))
    parser.add_argument("--out", type=Path, default=Path("results/reference/calibration.json"))
    parser.add_argument("--fresh", action="store_true", help="measure again")
    args = parser.parse_args()
    if args.clock == "cpu" and args.threads != 1:
        parser.error("--clock cpu adds up the time of all threads, so it needs --threads 1")
    return args


if __name__ == "__main__":
    sys.exit(main())
