"""What the Triton kernels compile to, for any NVIDIA GPU, on a machine without one.

    python benchmarks/compiled.py [--capability 90] [--only ss2d_scan] [--precisions float16]

For each operator of `kernel_cases.py`, forward and backward: registers a thread, bytes that a
thread spills, warps, shared memory, and how long compiling took. Exits 1 where one spills.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from kernel_cases import Case, cases, launchers
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver
from triton.runtime.jit import JITFunction


@dataclass(frozen=True, slots=True)
class Compiled:
    """One kernel in one configuration."""

    kernel: str
    warps: int
    registers: int
    """A thread."""
    spilled_bytes: int
    """Stored and loaded again by a thread, together."""
    shared_bytes: int
    programs: int
    """Of the launch."""
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.kernel:16} {self.warps:2} warps {self.registers:3} registers "
            f"{self.spilled_bytes:5} bytes spilled {self.shared_bytes:6} shared "
            f"{self.programs:7} programs {self.seconds:5.1f} s"
        )


class NoDevice:
    """Stands for Triton's driver: names the GPU to compile for, and has none."""

    def __init__(self, capability: int) -> None:
        self._target = GPUTarget("cuda", capability, 32)

    def get_current_target(self) -> GPUTarget:
        return self._target

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def compiled(launch: Callable[[], object]) -> list[Compiled]:
    """The kernels that `launch` starts, compiled and not run; its tensors are on meta."""
    found: list[Compiled] = []
    run = JITFunction.run

    def compile_only(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
        start = time.perf_counter()
        kernel = run(self, *args, grid=grid, warmup=True, **kwargs)
        seconds = time.perf_counter() - start
        registers, spilled = _resources(kernel.asm["ptx"])
        programs = 1
        for side in grid:
            programs *= side
        meta = kernel.metadata
        found.append(
            Compiled(
                self.fn.__name__,
                meta.num_warps,
                registers,
                spilled,
                meta.shared,
                programs,
                seconds,
            )
        )
        return kernel

    JITFunction.run = compile_only
    try:
        launch()
    finally:
        JITFunction.run = run
    return found


def _resources(ptx: str) -> tuple[int, int]:
    """Registers a thread, and bytes spilled by it, as ptxas tells."""
    target = re.search(r"^\.target (\w+)", ptx, re.MULTILINE)
    assert target is not None
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "kernel.ptx")
        source.write_text(ptx)
        ptxas = [knobs.nvidia.ptxas.path, "-v", "--gpu-name", target[1], str(source)]
        told = subprocess.run(
            [*ptxas, "-o", f"{folder}/kernel.cubin"], capture_output=True, text=True, check=True
        ).stderr
    spills = re.findall(r"(\d+) bytes spill (?:stores|loads)", told)
    registers = re.findall(r"Used (\d+) registers", told)
    return max(map(int, registers)), sum(map(int, spills))


def _all(args: argparse.Namespace) -> Iterator[tuple[Case, str, Compiled]]:
    for case in cases("meta", quick=False):
        if args.only not in case.id or case.precision not in args.precisions.split(","):
            continue
        for pass_, launch in launchers(case).items():
            for kernel in compiled(launch):
                yield case, pass_, kernel


def main() -> int:
    """Compile, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--capability", type=int, default=90, help="90 is Hopper")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--precisions", default="float16,float32")
    args = parser.parse_args()
    driver.set_active(NoDevice(args.capability))
    spilling = 0
    for case, pass_, kernel in _all(args):
        print(f"{case.id:68} {pass_:8} {kernel}", flush=True)
        spilling += kernel.spilled_bytes > 0
    print(f"{spilling} configurations spill")
    return int(spilling > 0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
