"""Which implementation of an operator was measured to be the fastest, by device and shape.

`autotune_table.json` holds a row per measured shape, as `benchmarks/kernels.py --write-choices`
leaves it;
a call takes the choice of the nearest shape of its operator, device, dtype and pass.
"""

import functools
import json
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

CHOICES_FILE = Path(__file__).with_name("autotune_table.json")
CPU_FACTS = Path("/proc/cpuinfo")


class CallShape(NamedTuple):  # made again in every call, which a dataclass makes slower
    """One call of an operator, as far as measurements tell calls apart."""

    elements: int
    """Of the operator's first input."""
    states: int | None
    """N; 1 for an operator that has none, None where it is not known."""
    training: bool
    """Whether a gradient will be asked for."""
    whole: bool = False
    """Whether the reference cannot stand in: autocast would cast its products, which operators
    forbid, and a compiler's graph holds the operator."""


Kind = tuple[str, str, str, bool]
"""Operator, device, dtype, and whether in training."""


@dataclass(frozen=True, slots=True)
class Choices:
    """The rows of a file of choices."""

    rows: Mapping[Kind, tuple[tuple[int, int, str], ...]]
    """Elements, states and the fastest implementation of each measured shape."""

    def fastest(
        self, op_name: str, device: str, dtype: torch.dtype, work: CallShape
    ) -> str | None:
        """That of the nearest shape in powers of two, None where nothing was measured."""
        measured = self.rows.get((op_name, device, _name(dtype), work.training), ())
        return min(measured, key=lambda row: _distance(row, work))[2] if measured else None

    def all_fastest(self, op_name: str, device: str) -> set[str]:
        """Those that some shape of some kind chooses."""
        kinds = [kind for kind in self.rows if kind[:2] == (op_name, device)]
        return {row[2] for kind in kinds for row in self.rows[kind]}


def _distance(row: tuple[int, int, str], work: CallShape) -> float:
    elements, states, _ = row
    of_states = 0.0 if work.states is None else abs(math.log2(max(1, work.states) / states))
    return abs(math.log2(max(1, work.elements) / elements)) + of_states


@functools.cache
def read_table(path: Path) -> Choices:
    """The rows of a JSON file."""
    rows: dict[Kind, list[tuple[int, int, str]]] = defaultdict(list)
    for row in json.loads(path.read_text()):
        kind = (row["operator"], row["device"], row["dtype"], row["pass"] == "forward+backward")
        rows[kind].append((row["elements"], row["states"], row["fastest"]))
    return Choices({kind: tuple(found) for kind, found in rows.items()})


@functools.lru_cache(maxsize=4096)
def fastest(
    path: Path, op_name: str, *, device: torch.device, dtype: torch.dtype, work: CallShape
) -> str | None:
    """What the file says of one call on this machine; kept, as a model asks again each forward."""
    return read_table(path).fastest(op_name, device_name(device), dtype, work)


@functools.cache
def device_name(device: torch.device) -> str:
    """What a measurement holds for: `sm_90`, or a CPU's vendor and vector instructions."""
    if device.type == "cuda":
        major, minor = capability(device)
        return f"sm_{major}{minor}"
    if device.type == "cpu":
        return f"{_cpu_vendor()} {torch.backends.cpu.get_cpu_capability()}"
    return device.type


@functools.cache
def capability(device: torch.device) -> tuple[int, int]:
    """Of an NVIDIA GPU."""
    return torch.cuda.get_device_capability(device)


def _cpu_vendor() -> str:
    lines = CPU_FACTS.read_text().splitlines() if CPU_FACTS.exists() else []
    found = [line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")]
    return found[0] if found else "unknown"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
