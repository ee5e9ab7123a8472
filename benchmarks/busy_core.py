"""Do ratios hold beside a core that others take? `python benchmarks/busy_core.py --out FILE.json`.

Each pair of models is measured as a search measures it, in turn on the quiet machine and beside a
loop that keeps one core busy, so that both see the same drift. There are `--processes` such
series of each, since where memory lies differs by process. FILE gains a series at a time. The
machine must be otherwise idle.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import date
from pathlib import Path
from typing import Any

QUIET, BUSY = "quiet", "beside a busy core"
PAIRS = (
    ("efficientvim_m1", "efficientvim_m2", "torch", 8),
    ("efficientvim_m1", "efficientvim_m2", "openvino", 1),
)
"""Base, candidate, runtime, images."""
LOOP = "while True: pass"


@contextmanager
def busy_core() -> Iterator[None]:
    """Within, a process of plain Python keeps one core busy."""
    loop = subprocess.Popen([sys.executable, "-c", LOOP])
    try:
        yield
    finally:
        loop.kill()
        loop.wait()


def series(pair: Sequence[Any], *, threads: int, repeats: int, budget_s: float) -> dict[str, Any]:
    """Ratios of one pair in this process, quiet and busy in turn."""
    import torch

    from evnas.arch.catalog import entry
    from evnas.measure.stopwatch import CpuStopwatch
    from evnas.measure.target import Target
    from evnas.measure.timing.allocator import keep_freed_memory
    from evnas.measure.timing.noise_monitor import CpuNoiseMonitor
    from evnas.measure.timing.priority import RealTime
    from evnas.measure.timing.protocol import Protocol, time_alternating
    from evnas.measure.timing.speed import prepare
    from evnas.phases.speed import model_on

    base, candidate, runtime, images = pair
    keep_freed_memory()
    torch.set_num_threads(threads)
    target = Target(
        device="cpu", runtime=runtime, batch_size=images, form="deployed", resolution=224
    )
    ready = [
        prepare(model_on(entry(name).arch.to_dict(), target), target) for name in (base, candidate)
    ]
    found: dict[str, list[dict[str, Any]]] = {QUIET: [], BUSY: []}
    for turn in range(2 * repeats):
        kind = (QUIET, BUSY)[turn % 2]
        with busy_core() if kind == BUSY else nullcontext():
            taken = time_alternating(
                ready[0].call,
                ready[1].call,
                images=images,
                stopwatch=CpuStopwatch(),
                watch=CpuNoiseMonitor(),
                protocol=Protocol(budget_s=budget_s),
                priority=RealTime(),
            )
        ratio, latency = taken["throughput_ratio"].interval(), taken["latency_ms"].interval()
        conditions = taken["latency_ms"].conditions
        found[kind].append(
            {
                "ratio": [ratio.low, ratio.mid, ratio.high],
                "latency_ms": latency.mid,
                **{key: conditions[key] for key in ("rounds", "quiet_rounds", "raised_rounds")},
            }
        )
    return {
        "pair": f"{candidate} over {base}, {runtime}, {images} images, {threads} threads",
        "precedence": RealTime().why_not(),
        "measurements": found,
    }


def table(kept: Sequence[dict[str, Any]]) -> str:
    """A line a series: medians of both, how far apart, and the reach of single measurements."""
    lines = [
        "| series | quiet | beside a busy core | apart | of busy ones within 3 % of quiet |",
        "|---|---|---|---|---|",
    ]
    for one in kept:
        quiet, busy = ([m["ratio"][1] for m in one["measurements"][k]] for k in (QUIET, BUSY))
        middle = statistics.median(quiet)
        near = sum(abs(ratio / middle - 1) <= 0.03 for ratio in busy)
        lines.append(
            f"| {one['pair']} | {_spelt(quiet)} | {_spelt(busy)} | "
            f"{statistics.median(busy) / middle - 1:+.1%} | {near} of {len(busy)} |"
        )
    return "\n".join(lines)


def _spelt(ratios: Sequence[float]) -> str:
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"


def main() -> None:
    """Measure, each series in a process of its own, or print what there is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=3, help="series of each pair")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each kind")
    parser.add_argument("--budget-s", type=float, default=4.0, help="of a measurement")
    parser.add_argument("--only", type=int, help="one pair, whose series is printed as JSON")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    given = parser.parse_args()
    if given.only is not None:
        found = series(
            PAIRS[given.only],
            threads=given.threads,
            repeats=given.repeats,
            budget_s=given.budget_s,
        )
        print(json.dumps(found))
        return
    from evnas.measure.timing.conditions import environment

    kept = json.loads(given.out.read_text())["series"] if given.out.exists() else []
    for number in () if given.report else [*range(len(PAIRS))] * given.processes:
        command = [sys.executable, __file__, *sys.argv[1:], "--only", str(number)]
        said = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
        kept.append(json.loads(said.splitlines()[-1]))
        about = {"date": date.today().isoformat(), "environment": environment()}
        given.out.write_text(json.dumps({**about, "series": kept}, indent=1) + "\n")
    print(table(kept))


if __name__ == "__main__":
    main()
