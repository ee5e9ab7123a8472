"""The operators at the shapes of published models: ours against the reference in plain torch,
torch.compile of it and, where it is installed, mamba_ssm's CUDA scan, in alternation in one run.

Without arguments it takes every shape and precision on the GPU, or float32 at small batches where
there is none. A table goes to stdout, everything to a JSON file; a figure that could not be taken
is absent there, with the reason. With --write-choices the slower of our implementations on this
GPU is ruled out for its operator and size class, for `impl="auto"` from then on.
"""

import argparse
import dataclasses
import datetime
import json
import math
import platform
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from ceilings import copy_bytes_s, matmul_flop_s
from kernel_cases import Case, Run, cases, ours, peers
from torch import Tensor

from evnas.errors import EvnasError
from evnas.kernels.dispatch import CHOICES_FILE, implementation_in_use, size_class
from evnas.measure.conditions import cpu_facts, moment, torch_facts, versions
from evnas.measure.protocol import OutOfMemory, Protocol, time_alternating
from evnas.measure.stopwatch import CpuStopwatch, Stopwatch, stopwatch_for
from evnas.measure.watch import watch_for
from evnas.record import Measurement

PASSES = ("forward", "forward+backward")


def main() -> int:
    """Measure, print, write."""
    args = _arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    device, stopwatch = torch.device(args.device), _stopwatch(args)
    chosen = [c for c in cases(args.device, quick=args.quick) if args.only in c.id]
    ceiling = {
        "copy_bytes_s": copy_bytes_s(device, stopwatch),
        "flop_s": {
            p: matmul_flop_s(device, getattr(torch, p), stopwatch)
            for p in sorted({c.precision for c in chosen})
        },
    }
    before, lines = moment(), []
    for case in chosen:
        for line in _lines(case, ceiling, args):
            lines.append({"case": dataclasses.asdict(case)} | line)
            print(_row(case, line), flush=True)
    result = {
        "date": datetime.date.today().isoformat(),
        "device": _device_name(device),
        "clock": args.clock,
        "python": platform.python_version(),
        "versions": versions(),
        "torch": torch_facts(),
        "ceiling": ceiling,
        "before": before,
        "after": moment(),
        "lines": lines,
    }
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"kernels_{device.type}_{result['date']}{args.suffix}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(path)
    if args.write_choices:
        _write_choices(lines, device)
    return 0


def _lines(
    case: Case, ceiling: Mapping[str, Any], args: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Our operator against each peer, forward, and forward with backward."""
    inputs, cotangents = case.inputs(), None
    for pass_ in PASSES:
        if pass_ == PASSES[1]:
            if args.no_training:
                return
            inputs = {n: t.requires_grad_() for n, t in inputs.items()}
            cotangents = _cotangents(ours(case)(**inputs))
        mine = _call(ours(case), inputs, cotangents)
        for peer, run in peers(case).items():
            line: dict[str, Any] = {"pass": pass_, "peer": peer, "implementation": _used(case)}
            if args.peers and peer not in args.peers.split(","):
                continue
            if isinstance(run, str):
                yield line | {"absent": run}
                continue
            try:
                base = _call(run, inputs, cotangents)
                base()  # compiles, and shows what cannot run
                line |= _figures(_alternated(base, mine, case, args))
            except (OutOfMemory, EvnasError, RuntimeError) as reason:
                yield line | {"absent": str(reason).splitlines()[0]}
                continue
            yield line | (_shares(case, inputs, line, ceiling) if pass_ == PASSES[0] else {})


def _call(
    run: Run, inputs: Mapping[str, Tensor], cotangents: tuple[Tensor, ...] | None
) -> Callable[[], object]:
    if cotangents is None:

        def forward() -> object:
            with torch.inference_mode():
                return run(**inputs)

        return forward

    def forward_backward() -> object:
        y = run(**inputs)
        outputs = y if isinstance(y, tuple) else (y,)
        return torch.autograd.grad(outputs, list(inputs.values()), cotangents, allow_unused=True)

    return forward_backward


def _cotangents(y: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.ones_like(t) for t in (y if isinstance(y, tuple) else (y,)))


def _used(case: Case) -> str:
    first = next(iter(case.inputs().values()))
    return implementation_in_use(case.op, first.device, first.dtype, elements=first.numel())


def _alternated(
    base: Callable[[], object],
    mine: Callable[[], object],
    case: Case,
    args: argparse.Namespace,
) -> dict[str, Measurement]:
    return time_alternating(
        base,
        mine,
        images=case.batch,
        stopwatch=_stopwatch(args),
        watch=watch_for(case.device),
        protocol=Protocol(budget_s=args.budget_s),
    )


def _stopwatch(args: argparse.Namespace) -> Stopwatch:
    return CpuStopwatch(time.process_time) if args.clock == "cpu" else stopwatch_for(args.device)


def _figures(timed: Mapping[str, Measurement]) -> dict[str, Any]:
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


def _shares(
    case: Case, inputs: Mapping[str, Tensor], line: Mapping[str, Any], ceiling: Mapping[str, Any]
) -> dict[str, float]:
    """Of the ceilings: inputs read and outputs written once each, and the operator's FLOPs."""
    seconds = line["latency_ms"][1] / 1e3
    y = ours(case)(**inputs)
    tensors = [*inputs.values(), *(y if isinstance(y, tuple) else (y,))]
    moved = sum(t.numel() * t.element_size() for t in tensors)
    return {
        "bytes_s": moved / seconds,
        "byte_share": moved / seconds / ceiling["copy_bytes_s"],
        "flop_s": case.flop() / seconds,
        "flop_share": case.flop() / seconds / ceiling["flop_s"][case.precision],
    }


def _row(case: Case, line: Mapping[str, Any]) -> str:
    head = f"{case.id:68} {line['pass']:16} {line['implementation']:6} vs {line['peer']:18}"
    if "absent" in line:
        return f"{head} absent: {line['absent']}"
    low, ratio, high = line["ratio"]
    text = f"{head} {line['latency_ms'][1]:9.3f} ms  x{ratio:.2f} [{low:.2f}, {high:.2f}]"
    if "byte_share" in line:
        text += f"  byte {line['byte_share']:.0%}  flop {line['flop_share']:.1%}"
    return text


def _write_choices(lines: list[dict[str, Any]], device: torch.device) -> None:
    """Keep, by operator and size class, whether Triton or plain torch was faster here."""
    major, minor = torch.cuda.get_device_capability(device)
    gains: dict[tuple[str, str], float] = defaultdict(float)
    for line in lines:
        if line["peer"] == "plain torch" and "ratio" in line:
            case = Case(**line["case"])
            first = next(iter(case.inputs().values()))
            gains[case.op, size_class(first.numel())] += math.log(line["ratio"][1])
    table = json.loads(CHOICES_FILE.read_text())
    for (op, sizes), gain in gains.items():
        gpu = table.setdefault(op, {}).setdefault(f"sm_{major}{minor}", {})
        gpu[sizes] = "triton" if gain >= 0 else "cpu"
    CHOICES_FILE.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    facts = cpu_facts()
    return f"{facts['cores']}-core {facts['model']}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=default)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--quick", action="store_true", help="224 only, one precision")
    parser.add_argument("--budget-s", type=float, default=4.0, help="seconds a line")
    parser.add_argument("--threads", type=int, default=0, help="torch's threads; 0 leaves them")
    parser.add_argument("--no-training", action="store_true")
    parser.add_argument("--peers", default="", help="some peers, by name; all when empty")
    parser.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="cpu: this process's CPU time, for one thread on a machine that others use too",
    )
    parser.add_argument("--write-choices", action="store_true", help="GPU only; see above")
    parser.add_argument("--out", type=Path, default=Path("results/reference"))
    parser.add_argument("--suffix", default="", help="added to the name of the JSON file")
    args = parser.parse_args()
    if args.clock == "cpu" and (args.device != "cpu" or args.threads != 1):
        parser.error("--clock cpu needs --device cpu and --threads 1")
    if args.write_choices and (args.device == "cpu" or args.peers):
        parser.error("--write-choices needs a GPU and every peer")
    return args


if __name__ == "__main__":
    sys.exit(main())
