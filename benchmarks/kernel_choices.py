"""Which implementation `impl="auto"` takes: rows of `autotune_table.json` as they are measured.

On a CPU each shape is timed here by itself, ours against the reference in alternation, with the
caches emptied before every call: so operators find them between the layers of a model, and there
what Python does around an operator costs several times what it does in a loop. On a GPU the
lines of the benchmark tell.
"""

import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from kernel_cases import LOOPS, Case, cases, ours
from torch import Tensor

from evnas.kernels.autotune_table import CHOICES_FILE, device_name
from evnas.kernels.dispatch import BY_MEASUREMENT, implementation_in_use

PASSES = ("forward", "forward+backward")
BATCHES = (1, 4, 16)
NORM_SHAPES = ((128, 14), (256, 7), (512, 4), (64, 56), (128, 28), (256, 14), (512, 7))
"""Channels and side of the maps that EfficientViM-M2 and VSSD-T normalise, and VMamba's sizes."""
ROUNDS = 40
LONGEST_S = 3.0
"""A shape: no further round after so long."""
LEAST_GAIN = 1.03
"""What ours has to be faster by, in the median round; the rest is the measurement's own."""
EVICTED_ELEMENTS = 4_000_000
"""Of float32, copied before a call: several times a core's share of the last cache."""


def cpu_cases() -> Iterator[Case]:
    """The shapes at 224 pixels whose reference does not loop over L, at several batches."""
    left_out = (*LOOPS, "depthwise_conv", "pixel_linear")  # which are torch's own on a CPU
    found = [case for case in cases("cpu", quick=True) if case.op not in left_out]
    products = [case for case in found if case.op != "channel_layer_norm"]
    norm = next(case for case in found if case.op == "channel_layer_norm")
    norms = [replace(norm, model="any", stage=0, shape=shape) for shape in NORM_SHAPES]
    for case in (*products, *norms):
        for batch in BATCHES:
            yield replace(case, batch=batch)


def cpu_rows() -> list[dict[str, Any]]:
    """A row for each size and pass; shapes of one size share it."""
    found: dict[str, tuple[dict[str, Any], list[float]]] = {}
    for case in cpu_cases():
        for pass_ in PASSES:
            row, ratio = _row(case, pass_), _ratio(case, training=pass_ == PASSES[1])
            found.setdefault(json.dumps(row), (row, []))[1].append(ratio)
            print(f"{case.id:60} {pass_:16} x{ratio:.2f}", flush=True)
    return [_decided(row, statistics.geometric_mean(ratios)) for row, ratios in found.values()]


def _decided(row: dict[str, Any], ratio: float) -> dict[str, Any]:
    mine = implementation_in_use(row["operator"], "cpu", getattr(torch, row["dtype"]))
    fastest = mine if ratio >= LEAST_GAIN else "reference"
    return row | {"fastest": fastest, "ratio_to_reference": round(ratio, 2)}


def rows_of_lines(
    lines: Sequence[dict[str, Any]], device: torch.device
) -> Iterator[dict[str, Any]]:
    """A row for each shape and pass whose lines set Triton against plain torch, or another
    kernel in Triton."""
    found: dict[str, tuple[Case, str, dict[str, float]]] = {}
    for line in lines:
        ours = line.get("implementation", "")  # a line that broke names none
        peers = {"plain torch": "cpu", "reference": "reference"}
        peers |= {name: name for name in BY_MEASUREMENT.get(line["case"]["op"], ())}
        if ours and line["peer"] in peers and "ratio" in line:
            case = Case(**{**line["case"], "shape": tuple(line["case"]["shape"])})
            case = replace(case, device=str(device))
            key = json.dumps([line["case"], line["pass"]])
            _, _, ratios = found.setdefault(key, (case, line["pass"], {ours: 1.0}))
            ratios[peers[line["peer"]]] = line["ratio"][1]
    for case, pass_, ratios in found.values():
        yield _row(case, pass_) | {"fastest": min(ratios, key=lambda name: ratios[name])}


def write_choices(rows: Sequence[dict[str, Any]], file: Path) -> None:
    """Put the rows into a file, in place of those of the same device and shape; a new one begins
    with the choices that hold now."""

    def key(row: dict[str, Any]) -> list[Any]:
        names = ("operator", "device", "dtype", "pass", "elements", "states")
        return [row[name] for name in names]

    begun = file if file.exists() else CHOICES_FILE
    kept = {json.dumps(key(row)): row for row in json.loads(begun.read_text())}
    kept |= {json.dumps(key(row)): row for row in rows}
    lines = ",\n".join(json.dumps(row) for row in sorted(kept.values(), key=key))
    file.write_text(f"[\n{lines}\n]\n")


def _row(case: Case, pass_: str) -> dict[str, Any]:
    shapes = {name: t.shape for name, t in replace(case, device="meta").inputs().items()}
    states = shapes["B"][-2] if "B" in shapes else 1
    if case.op in LOOPS:
        states = shapes["A"][-1]
    return {
        "operator": case.op,
        "device": device_name(torch.device(case.device)),
        "dtype": case.precision,
        "pass": pass_,
        "elements": next(iter(shapes.values())).numel(),
        "states": states,
    }


def _dtype(case: Case) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, case.precision)
    return dtype


def _ratio(case: Case, *, training: bool) -> float:
    """The reference's time over ours, in the median round."""
    mine = ours(case, implementation_in_use(case.op, case.device, _dtype(case)))
    inputs = {name: t.requires_grad_(training) for name, t in case.inputs().items()}
    timed = [_Timed(run, inputs, training) for run in (mine, ours(case, "reference"))]
    ratios: list[float] = []
    start = time.perf_counter()
    while len(ratios) < 3 or (len(ratios) < ROUNDS and time.perf_counter() - start < LONGEST_S):
        mine_s, base_s = (one.seconds() for one in timed)
        ratios.append(base_s / mine_s)
    return statistics.median(ratios[1:])


@dataclass
class _Timed:
    """Calls of an operator, each with the caches emptied before its forward and its backward."""

    run: Callable[..., Any]
    inputs: dict[str, Tensor]
    training: bool

    def seconds(self) -> float:
        """CPU time of one call, on one thread; wall time on several."""
        clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
        _empty_caches()
        with torch.inference_mode(not self.training):
            start = clock()
            y = self.run(**self.inputs)
            spent = clock() - start
        if self.training:
            outputs = y if isinstance(y, tuple) else (y,)
            ones = [torch.ones_like(t) for t in outputs]
            _empty_caches()
            start = clock()
            leaves = list(self.inputs.values())
            torch.autograd.grad(outputs, leaves, ones, allow_unused=True)
            spent += clock() - start
        return spent


def _empty_caches() -> None:
    """Copy more than they hold, and run other code: a convolution."""
    memory = torch.ones(EVICTED_ELEMENTS)
    memory.clone()
    torch.nn.functional.conv2d(torch.ones(1, 256, 14, 14), torch.ones(256, 256, 3, 3))
