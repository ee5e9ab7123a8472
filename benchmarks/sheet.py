"""What the benchmarks of operators and models share: their arguments, one timing in alternation,
and the sheet of lines, printed and written to JSON after each one, so that a run that is cut off
loses nothing and `--resume` goes on with it."""

import argparse
import datetime
import json
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from triton.errors import TritonError

from evnas.errors import EvnasError
from evnas.measure.stopwatch import CpuStopwatch, Stopwatch, stopwatch_for
from evnas.measure.timing.allocator import keep_freed_memory
from evnas.measure.timing.ceilings import copy_bytes_s, matmul_flop_s
from evnas.measure.timing.conditions import cpu_facts, moment, torch_facts, versions
from evnas.measure.timing.noise_monitor import noise_monitor_for
from evnas.measure.timing.protocol import Protocol, time_alternating

FAILURES = (EvnasError, RuntimeError, TritonError)
"""What a form or a peer that cannot run raises; memory that ran out is among them."""
OUT_OF_TIME = 3
"""Exit code of a run that `--seconds` ended: the same command with `--resume` goes on."""
KEYS = ("case", "pass", "form", "peer")


@dataclass
class Sheet:
    """Lines of one benchmark, in one file over any number of calls."""

    path: Path
    end_s: float
    """On the monotonic clock: no line is begun after it."""
    runs: list[dict[str, Any]] = field(default_factory=list)
    """Conditions of each call: device, versions, ceilings, load."""
    lines: list[dict[str, Any]] = field(default_factory=list)
    cut: bool = False

    def wants(self, **key: Any) -> bool:
        """Whether a line is still to be taken; notes when there is no time for it."""
        if any(all(line.get(k) == v for k, v in key.items()) for line in self.lines):
            return False
        self.cut = self.cut or time.monotonic() >= self.end_s
        return not self.cut

    def add(self, line: Mapping[str, Any]) -> None:
        """Write a line down, in the run that is under way."""
        self.lines.append({**line, "run": len(self.runs) - 1})
        self.write()

    def write(self) -> None:
        """The file as it stands, replaced in one step."""
        self.runs[-1]["after"] = moment()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        aside = self.path.with_suffix(".part")
        aside.write_text(json.dumps({"runs": self.runs, "lines": self.lines}, indent=1) + "\n")
        aside.replace(self.path)

    @property
    def ceiling(self) -> dict[str, Any]:
        """Of the run that is under way."""
        found: dict[str, Any] = self.runs[-1]["ceiling"]
        return found


def sheet(name: str, args: argparse.Namespace, precisions: list[str]) -> Sheet:
    """Open the sheet of a benchmark and begin a run: settings, ceilings, conditions."""
    if args.threads:
        torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    memory = "as the C library has it" if args.memory == "default" else keep_freed_memory()
    torch.backends.cudnn.benchmark = device.type == "cuda"  # for every form and peer alike
    today = datetime.date.today().isoformat()
    path = args.out / f"{name}_{device.type}_{today}{args.suffix}.json"
    found = Sheet(path, time.monotonic() + args.seconds)
    if args.resume and path.exists():
        kept = json.loads(path.read_text())
        found.runs, found.lines = kept["runs"], kept["lines"]
    watch = stopwatch(args)
    found.runs.append(
        {
            "date": today,
            "device": _device_name(device),
            "clock": args.clock,
            "python": platform.python_version(),
            "versions": versions(),
            "torch": torch_facts(),
            "host_memory": memory,
            "ceiling": {
                "copy_bytes_s": copy_bytes_s(device, watch),
                "flop_s": {p: matmul_flop_s(device, getattr(torch, p), watch) for p in precisions},
            },
            "before": moment(),
        }
    )
    found.write()
    print(f"{found.runs[-1]['device']}: {found.ceiling}", flush=True)
    return found


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The options that all benchmarks on a device take."""
    parser = argparse.ArgumentParser(description=description)
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=default)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument(
        "--targets", action="store_true", help="only what the targets for a GPU speak of"
    )
    parser.add_argument("--budget-s", type=float, default=4.0, help="seconds a line")
    parser.add_argument("--threads", type=int, default=0, help="torch's threads; 0 leaves them")
    parser.add_argument("--no-training", action="store_true", help="forward alone")
    parser.add_argument("--peers", default="", help="some peers, by name; all when empty")
    parser.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="cpu: this process's CPU time, for one thread on a machine that others use too",
    )
    parser.add_argument(
        "--memory",
        choices=("kept", "default"),
        default="kept",
        help="kept: freed memory stays with the process, as evnas measures; default: as in any "
        "other program, where large maps are fetched from the system again",
    )
    parser.add_argument("--out", type=Path, default=Path("results/reference"))
    parser.add_argument("--suffix", default="", help="added to the name of the JSON file")
    parser.add_argument("--resume", action="store_true", help="go on with that file of today")
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="begin no line after this"
    )
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments, with combinations refused that would time something else."""
    args = parser.parse_args()
    if args.clock == "cpu" and (args.device != "cpu" or args.threads != 1):
        parser.error("--clock cpu needs --device cpu and --threads 1")
    return args


def alternated(
    base: Callable[[], object],
    mine: Callable[[], object],
    images: int,
    args: argparse.Namespace,
) -> dict[str, Any]:
    """Times of ours and of a peer, and their ratio, each as low, median, high."""
    timed = time_alternating(
        base,
        mine,
        images=images,
        stopwatch=stopwatch(args),
        watch=noise_monitor_for(args.device),
        protocol=Protocol(budget_s=args.budget_s),
    )
    line: dict[str, Any] = {}
    for name, key in (
        ("latency_ms", "latency_ms"),
        ("base_latency_ms", "peer_latency_ms"),
        ("throughput_ratio", "ratio"),
    ):
        interval = timed[name].interval()
        line[key] = [interval.low, timed[name].median, interval.high]
    conditions = timed["latency_ms"].conditions
    return line | {"rounds": conditions["rounds"], "warnings": conditions["warnings"]}


def why(failure: BaseException) -> str:
    """The first line of what cannot run says, and its memory freed."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    text = str(failure) or type(failure).__name__
    return text.splitlines()[0]


def stopwatch(args: argparse.Namespace) -> Stopwatch:
    """Wall time, CPU time or device time, as asked for."""
    return CpuStopwatch(time.process_time) if args.clock == "cpu" else stopwatch_for(args.device)


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    facts = cpu_facts()
    return f"{facts['cores']}-core {facts['model']}"
