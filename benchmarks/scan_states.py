"""Where do the states of a scan on a CPU go through its steps together, and where each by itself?
`python benchmarks/scan_states.py --out FILE.json`.

Times both ways that `evnas.kernels.numba_scan` has, in alternation, over numbers of states and
widths of square maps that four routes cross: `layout.by_lanes` takes the faster one by a rule, and
the table says where that was right. The machine must be otherwise idle.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from evnas.kernels.numba_scan import scan
from evnas.kernels.numba_scan.layout import BY_COLUMN, REVERSE, by_lanes
from evnas.kernels.numba_scan.scan import Maps, scan_backward, scan_forward
from evnas.measure.stopwatch import CpuStopwatch
from evnas.measure.timing.allocator import keep_freed_memory
from evnas.measure.timing.conditions import environment
from evnas.measure.timing.noise_monitor import CpuNoiseMonitor
from evnas.measure.timing.protocol import Protocol, time_alternating

sys.path.append(str(Path(__file__).parent / "training_study"))

from page_section import write_section

PAGE = Path(__file__).parents[1] / "docs/results/performance.md"
SECTION = "states of a scan"
STATES, WIDTHS = (1, 2, 4, 8, 12, 16, 32), (7, 14, 28, 56)
IMAGES, CHANNELS = 2, 64
CROSS = (0, BY_COLUMN, REVERSE, BY_COLUMN | REVERSE)


def maps(states: int, width: int) -> Maps:
    """Random inputs, IMAGES of CHANNELS."""
    draw = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=draw)

    map_, routes = (width, width), len(CROSS)
    return Maps(
        normal(IMAGES, CHANNELS, *map_),
        normal(IMAGES, routes, CHANNELS, *map_),
        -normal(routes, CHANNELS, states).exp(),
        normal(IMAGES, routes, states, *map_),
        normal(IMAGES, routes, states, *map_),
        normal(routes, CHANNELS),
        normal(routes, CHANNELS),
        CROSS,
    )


def way(call: Callable[[], object], lanes: bool) -> Callable[[], object]:
    """The call, by lanes or not, whatever the rule says."""

    def this_way() -> object:
        with mock.patch.object(scan, "by_lanes", lambda N, W: lanes):
            return call()

    return this_way


def ratio(call: Callable[[], object], budget_s: float) -> dict[str, Any]:
    """How many times as fast a call is by lanes, with its interval; both in ms."""
    taken = time_alternating(
        way(call, False),
        way(call, True),
        images=IMAGES,
        stopwatch=CpuStopwatch(),
        watch=CpuNoiseMonitor(),
        protocol=Protocol(budget_s=budget_s),
    )
    found = taken["throughput_ratio"].interval()
    return {
        "times_as_fast": [found.low, found.mid, found.high],
        "each_ms": taken["base_latency_ms"].interval().mid,
        "lanes_ms": taken["latency_ms"].interval().mid,
    }


def line(states: int, width: int, budget_s: float) -> dict[str, Any]:
    """Both passes of one size."""
    given = maps(states, width)
    gy = torch.ones_like(given.u)
    return {
        "states": states,
        "width": width,
        "forward": ratio(lambda: scan_forward(given), budget_s),
        "backward": ratio(lambda: scan_backward(given, gy), budget_s),
    }


def table(lines: Sequence[dict[str, Any]]) -> str:
    """Times as fast by lanes, forward and backward, a row for each number of states; what the rule
    takes is bold."""
    found = {(one["states"], one["width"]): one for one in lines}
    rows = ["| states | " + " | ".join(f"{w} x {w}" for w in WIDTHS) + " |"]
    rows.append("|---" * (1 + len(WIDTHS)) + "|")
    for states in STATES:
        cells = [_cell(found[states, width]) for width in WIDTHS]
        rows.append(f"| {states} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _cell(one: dict[str, Any]) -> str:
    passes = (one[name]["times_as_fast"][1] for name in ("forward", "backward"))
    words = ", ".join(f"{times:.2f}" for times in passes)
    return f"**{words}**" if by_lanes(one["states"], one["width"]) else words


def main() -> None:
    """Measure all sizes, or print what there is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--budget-s", type=float, default=1.0, help="of each pass and size")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    parser.add_argument("--write", action="store_true", help="the table into docs/ too")
    given = parser.parse_args()
    if not given.report:
        torch.set_num_threads(given.threads)
        about = {
            "date": date.today().isoformat(),
            "threads": given.threads,
            "memory": keep_freed_memory(),
            "environment": environment(),
        }
        lines = [line(n, width, given.budget_s) for n in STATES for width in WIDTHS]
        given.out.write_text(json.dumps({**about, "lines": lines}, indent=1) + "\n")
    found = table(json.loads(given.out.read_text())["lines"])
    print(found)
    if given.write:
        write_section(PAGE, SECTION, found)


if __name__ == "__main__":
    main()
