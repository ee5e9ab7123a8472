"""What the benchmarks of operators and models share: their arguments, one timing in alternation,
and the sheet of lines, printed and written to JSON after each one, so that a run that is cut off
loses nothing and `--resume` goes on with it.

A line that raised, or that ended its process, is absent with the reason, and is tried again by the
next call. After an error that the device does not recover from, the process ends with `BROKEN`:
the same command goes on behind the line.
"""

import argparse
import datetime
import hashlib
import json
import platform
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cuda_scan
import torch
from exit_codes import BROKEN, OUT_OF_TIME, PARTLY
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
KEYS = ("case", "pass", "form", "peer")
ENDED_ITS_PROCESS = "its process ended while it was taken"


@dataclass
class Sheet:
    """Lines of one benchmark, in one file over any number of calls."""

    path: Path
    end_s: float
    """On the monotonic clock: no line is begun after it."""
    line_limit_s: int = 0
    """A line that takes longer ends its process; 0 lets it take what it takes."""
    runs: list[dict[str, Any]] = field(default_factory=list)
    """Conditions of each process: device, versions, ceilings, load, and which call it was of."""
    lines: list[dict[str, Any]] = field(default_factory=list)
    under_way: dict[str, Any] | None = None
    """The line that is being taken."""
    cut: bool = False
    partly: bool = False
    """Whether a line that was asked for is absent."""

    def go_on(self, kept: Mapping[str, Any]) -> None:
        """Take over what a file holds; the line that was under way there ended its process."""
        self.runs, self.lines = kept["runs"], kept["lines"]
        if kept.get("under_way"):
            run = len(self.runs) - 1
            self.lines.append({**kept["under_way"], "absent": ENDED_ITS_PROCESS, "run": run})

    def wants(self, **key: Any) -> bool:
        """Whether a line is still to be taken; if so it is under way. Notes when there is no time.

        What is absent since an earlier call is wanted again, and so is what another device or
        other versions gave.
        """
        held = [line for line in self.lines if _keys(line) == key and self._holds(line)]
        self.partly = self.partly or any("absent" in line for line in held)
        if held:
            return False
        self.cut = self.cut or time.monotonic() >= self.end_s
        if not self.cut:
            self.under_way = key
            self.write()
            signal.alarm(self.line_limit_s)  # nobody handles it: it ends a call that hangs
        return not self.cut

    def _holds(self, line: Mapping[str, Any]) -> bool:
        run, now = self.runs[line["run"]], self.runs[-1]
        if "absent" in line:
            return bool(run.get("call") == now["call"])
        return all(run[what] == now[what] for what in ("device", "versions"))

    def add(self, line: Mapping[str, Any]) -> None:
        """Write a line down, in the run that is under way, in place of an absent one.

        Raises:
            SystemExit: `BROKEN`, where the device does not answer after it.
        """
        self.partly = self.partly or "absent" in line
        self._ended(_keys(line))
        self.lines.append({**line, "run": len(self.runs) - 1})
        self.runs[-1]["after"] = moment()
        self.write()
        if "absent" in line and not device_answers():
            print(f"the device answers no more: {line['absent']}", flush=True)
            sys.exit(BROKEN)

    def pass_over(self) -> None:
        """The line that was wanted does not exist, or was what others begin with."""
        self._ended(self.under_way or {})
        self.write()

    def _ended(self, key: Mapping[str, Any]) -> None:
        signal.alarm(0)
        self.under_way = None
        self.lines = [o for o in self.lines if _keys(o) != key or "absent" not in o]

    def write(self) -> None:
        """The file as it stands, replaced in one step."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        aside = self.path.with_suffix(".part")
        content = {"runs": self.runs, "lines": self.lines, "under_way": self.under_way}
        aside.write_text(json.dumps(content, indent=1) + "\n")
        aside.replace(self.path)

    def exit_code(self) -> int:
        """Of a run that came to its end: 0, `OUT_OF_TIME` or `PARTLY`."""
        return OUT_OF_TIME if self.cut else PARTLY if self.partly else 0

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
    name = f"rehearsal_{name}" if args.rehearsal else name
    earlier = sheets_of(name, device, args) if args.resume else []
    path = (
        earlier[-1] if earlier else args.out / f"{name}_{_slug(device)}_{today}{args.suffix}.json"
    )
    found = Sheet(path, time.monotonic() + args.seconds, args.line_limit_s)
    if earlier:
        found.go_on(json.loads(path.read_text()))
    watch = stopwatch(args)
    found.runs.append(
        {
            "date": today,
            "call": args.call or f"run {len(found.runs)}",
            "device": _device_name(device),
            "clock": args.clock,
            "python": platform.python_version(),
            "versions": versions(),
            "cuda_scan": cuda_scan.about(),
            "source": source_digest(),
            "torch": torch_facts(),
            "host_memory": memory,
            "ceiling": _ceiling(device, watch, precisions, rehearsal=args.rehearsal),
            "before": moment(),
        }
    )
    found.write()
    print(f"{found.runs[-1]['device']}: {found.ceiling}", flush=True)
    return found


def sheets_of(name: str, device: torch.device, args: argparse.Namespace) -> list[Path]:
    """The files of a benchmark on a device, of any day, the newest last."""
    days = f"{name}_{_slug(device)}_????-??-??{args.suffix}.json"
    return sorted(args.out.glob(days))


def source_digest() -> str:
    """Names the state of our own code: lines of one file may be of several."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for file in sorted((root / "evnas").rglob("*.py")):
        digest.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def device_answers() -> bool:
    """Whether the GPU still works: after an illegal access every call of a process fails."""
    if not torch.cuda.is_available():
        return True
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return False
    return True


def _keys(line: Mapping[str, Any]) -> dict[str, Any]:
    return {key: line[key] for key in KEYS if key in line}


def _ceiling(
    device: torch.device, watch: Stopwatch, precisions: list[str], *, rehearsal: bool
) -> dict[str, Any]:
    """What the device can do at most; a made-up one does one byte and one operation a second."""
    if rehearsal:
        return {"copy_bytes_s": 1.0, "flop_s": dict.fromkeys(precisions, 1.0)}
    return {
        "copy_bytes_s": copy_bytes_s(device, watch),
        "flop_s": {p: matmul_flop_s(device, getattr(torch, p), watch) for p in precisions},
    }


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
    parser.add_argument("--resume", action="store_true", help="go on with the newest such file")
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="begin no line after this"
    )
    parser.add_argument(
        "--line-limit-s", type=int, default=0, help="a line that takes longer ends the process"
    )
    parser.add_argument(
        "--call",
        default="",
        help="name of a call of many processes: what is absent waits for the next one",
    )
    parser.add_argument(
        "--rehearsal", action="store_true", help="tiny shapes, to try the script and time nothing"
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
    if torch.cuda.is_available() and device_answers():
        torch.cuda.empty_cache()
    text = str(failure) or type(failure).__name__
    return text.splitlines()[0]


def stopwatch(args: argparse.Namespace) -> Stopwatch:
    """Wall time, CPU time or device time, as asked for."""
    return CpuStopwatch(time.process_time) if args.clock == "cpu" else stopwatch_for(args.device)


def _slug(device: torch.device) -> str:
    """A device in a file's name: `cpu`, `nvidia-h200`."""
    if device.type != "cuda":
        return device.type
    return re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name(device).lower()).strip("-")


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    facts = cpu_facts()
    return f"{facts['cores']}-core {facts['model']}"
