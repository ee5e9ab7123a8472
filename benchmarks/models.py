"""Whole models, ours against plain eager, torch.compile, timm and ONNX Runtime, in alternation.

Without arguments it takes the published sizes on the GPU, and a subset of them where there is
none. A table goes to stdout, everything to a JSON file; a figure that could not be taken is
absent there, with the reason.
"""

import argparse
import dataclasses
import datetime
import json
import platform
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ceilings import copy_bytes_s, matmul_flop_s, traffic_bytes
from forms import FORMS, PEERS, TRAINING, Case, Form, Maker, made

from evnas.errors import EvnasError
from evnas.measure.conditions import cpu_facts, moment, torch_facts, versions
from evnas.measure.flops import count
from evnas.measure.memory import peak_mib
from evnas.measure.protocol import OutOfMemory, Protocol, time_alternating
from evnas.measure.stopwatch import CpuStopwatch, Stopwatch, stopwatch_for
from evnas.measure.watch import watch_for
from evnas.record import Measurement
from evnas.space.catalog import entry

GPU_BATCHES = {
    "efficientvim_m2": 256,
    "vmamba_tiny_s1l8": 128,
    "vssd_tiny": 128,
    "efficient_vmamba_tiny": 256,
}
CPU_BATCHES = {
    "efficientvim_m2": (16, 1),
    "vssd_tiny": (1,),
    "vmamba_tiny_s1l8": (1,),
    "efficient_vmamba_tiny": (1,),
}


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Of the device, in this run."""

    copy_bytes_s: float
    flop_s: Mapping[str, float]
    """By precision."""


def main() -> int:
    """Measure, print, write."""
    args = _arguments()
    if args.clock == "cpu" and (args.device != "cpu" or args.threads != 1):
        raise SystemExit("models.py: --clock cpu needs --device cpu and --threads 1")
    if args.threads:
        torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    cases = [case for case in _cases(args) if args.only in case.id]
    precisions = sorted({case.precision for case in cases})
    stopwatch = _stopwatch(args)
    ceiling = Ceiling(
        copy_bytes_s(device, stopwatch),
        {p: matmul_flop_s(device, getattr(torch, p), stopwatch) for p in precisions},
    )
    before, lines = moment(), []
    for case in cases:
        for line in (*_inference(case, ceiling, args), *_training(case, args)):
            lines.append({"case": dataclasses.asdict(case)} | line)
            print(_row(case, line), flush=True)
    result = {
        "date": datetime.date.today().isoformat(),
        "device": _device_name(device),
        "clock": args.clock,
        "python": platform.python_version(),
        "versions": versions(),
        "torch": torch_facts(),
        "ceiling": dataclasses.asdict(ceiling),
        "before": before,
        "after": moment(),
        "lines": lines,
    }
    name = f"models_{device.type}_{result['date']}{args.suffix}.json"
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / name).write_text(json.dumps(result, indent=1) + "\n")
    print(args.out / name)
    return 0


def _inference(case: Case, ceiling: Ceiling, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Each of our forms against each peer, forward only."""
    images = case.images()
    flop = 2 * case.batch * count(entry(case.model).arch, case.resolution).macs["exact"]
    ours, peers = (
        _made(case, _chosen(FORMS, args.forms), images),
        _made(case, _chosen(PEERS, args.peers), images),
    )
    for name, form in ours.items():
        for peer, base in peers.items():
            line = {"pass": "forward", "form": name, "peer": peer}
            if isinstance(form, str) or isinstance(base, str):
                yield line | {"absent": form if isinstance(form, str) else base}
                continue
            try:
                timed = _alternated(case, base, form, args)
            except OutOfMemory as reason:
                yield line | {"absent": str(reason)}
                continue
            seconds = timed["latency_ms"].median / 1e3
            line |= _figures(timed) | {
                "flop_share": flop / seconds / ceiling.flop_s[case.precision]
            }
            if form.counts_traffic:
                line["byte_share"] = traffic_bytes(form.call) / seconds / ceiling.copy_bytes_s
            yield line


def _training(case: Case, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Forward and backward with our kernels, against the reference operators and compile."""
    if args.no_training:
        return
    images = case.images()
    peers = _made(case, _chosen(TRAINING, args.peers and f"kernels,{args.peers}"), images)
    ours = peers.pop("kernels")
    for peer, base in peers.items():
        line: dict[str, Any] = {"pass": "forward+backward", "form": "kernels", "peer": peer}
        if isinstance(ours, str) or isinstance(base, str):
            yield line | {"absent": ours if isinstance(ours, str) else base}
            continue
        try:
            line |= _figures(_alternated(case, base, ours, args))
            line["peak_mib"] = peak_mib(ours.call, ours.model, images)
            line["peer_peak_mib"] = peak_mib(base.call, base.model, images)
        except OutOfMemory as reason:
            line["absent"] = str(reason)
        yield line


def _made(case: Case, names: Iterable[str], images: torch.Tensor) -> dict[str, Form | str]:
    """Name -> form, or why there is none."""
    found: dict[str, Form | str] = {}
    for name in names:
        try:
            form = made(name, case, images)
            if form is None:
                continue  # not for this model or device
            form.call()  # compiles, and shows what cannot run
            found[name] = form
        except (EvnasError, RuntimeError) as reason:
            found[name] = str(reason).splitlines()[0]
    return found


def _chosen(makers: Mapping[str, Maker], names: str) -> Mapping[str, Maker]:
    return {n: m for n, m in makers.items() if not names or n in names.split(",")}


def _alternated(
    case: Case, base: Form, form: Form, args: argparse.Namespace
) -> dict[str, Measurement]:
    return time_alternating(
        base.call,
        form.call,
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


def _row(case: Case, line: Mapping[str, Any]) -> str:
    head = f"{case.id:48} {line['pass']:16} {line['form']:18} vs {line['peer']:18}"
    if "absent" in line:
        return f"{head} absent: {line['absent']}"
    low, ratio, high = line["ratio"]
    text = f"{head} {line['latency_ms'][1]:9.2f} ms  x{ratio:.2f} [{low:.2f}, {high:.2f}]"
    for name in ("flop_share", "byte_share"):
        if name in line:
            text += f"  {name.split('_')[0]} {line[name]:.0%}"
    if "peak_mib" in line:
        text += f"  peak {line['peak_mib']:.0f} vs {line['peer_peak_mib']:.0f} MiB"
    return text


def _cases(args: argparse.Namespace) -> Iterator[Case]:
    if args.device != "cpu":
        for resolution in (224, 512):
            for model, batch in GPU_BATCHES.items():
                for precision in ("float16", "bfloat16", "float32"):
                    yield Case(model, batch, resolution, precision, args.device)
        return
    for model, batches in CPU_BATCHES.items():
        for batch in batches:
            yield Case(model, batch, 224, "float32", "cpu")


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
    parser.add_argument("--budget-s", type=float, default=8.0, help="seconds a line")
    parser.add_argument("--threads", type=int, default=0, help="torch's threads; 0 leaves them")
    parser.add_argument("--no-training", action="store_true")
    parser.add_argument("--forms", default="", help=f"some of {','.join(FORMS)}; all when empty")
    parser.add_argument(
        "--peers", default="", help=f"some of {','.join((*PEERS, *TRAINING))}; all when empty"
    )
    parser.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="cpu: this process's CPU time, for one thread on a machine that others use too",
    )
    parser.add_argument("--out", type=Path, default=Path("results/reference"))
    parser.add_argument("--suffix", default="", help="added to the name of the JSON file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
