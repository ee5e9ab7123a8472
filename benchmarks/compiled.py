"""What the Triton kernels compile to, for any NVIDIA GPU, on a machine without one.

    python benchmarks/compiled.py [--capability 90] [--only ss2d_scan] [--precisions float16]

For each operator of `kernel_cases.py`, forward and backward: registers a thread, bytes that a
thread spills, warps, shared memory, the instructions of a warp, of which special functions,
shuffles and accesses of shared memory, and how long compiling took. Where none of them is in a
loop, what the launch issues follows, and is estimated, not measured: instructions in all, for 32
steps of a scan, and the time that all schedulers of an H200 would take to issue them. Exits 1
where one spills.
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

SCHEDULERS, CLOCK_HZ = 132 * 4, 1.7e9  # of an H200; one warp instruction a cycle each
REGISTERS = 65536  # of a multiprocessor


@dataclass(frozen=True, slots=True)
class Issued:
    """Instructions of one warp up to its exit, blocks aside left out; a loop's count once."""

    instructions: int
    special: int
    """Of those: exponentials, logarithms, reciprocals; each takes its unit eight cycles."""
    shuffles: int
    shared: int
    """Of those: loads and stores of shared memory."""
    loops: int


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
    issued: Issued

    @property
    def warps_held(self) -> int:
        """Of a multiprocessor, by registers alone."""
        programs = REGISTERS // (self.registers * 32 * self.warps)
        return min(64, programs * self.warps)

    def estimated(self, case: Case) -> str:
        """What the launch issues, in words."""
        if self.issued.loops:
            return f"{self.issued.loops} loops"
        total = self.issued.instructions * self.warps * self.programs
        report = f"{total / 1e9:.3f} G issued, {1e3 * total / SCHEDULERS / CLOCK_HZ:.3f} ms"
        if case.op == "ss2d_scan":
            Bt, K, Dm, H, W = case.inputs()["delta"].shape
            report += f", {total / (Bt * K * Dm * H * W / 32):.1f} for 32 steps"
        return report

    def __str__(self) -> str:
        return (
            f"{self.kernel:16} {self.warps:2} warps {self.registers:3} registers "
            f"{self.spilled_bytes:5} bytes spilled {self.shared_bytes:6} shared "
            f"{self.programs:7} programs {self.warps_held:2} warps held {self.seconds:5.1f} s "
            f"{self.issued.instructions:5} instructions ({self.issued.special} special, "
            f"{self.issued.shuffles} shuffles, {self.issued.shared} shared)"
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
                _issued(kernel.asm["cubin"]),
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
        report = subprocess.run(
            [*ptxas, "-o", f"{folder}/kernel.cubin"], capture_output=True, text=True, check=True
        ).stderr
    spills = re.findall(r"(\d+) bytes spill (?:stores|loads)", report)
    registers = re.findall(r"Used (\d+) registers", report)
    return max(map(int, registers)), sum(map(int, spills))


def _issued(cubin: bytes) -> Issued:
    """Counts from the machine code."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [knobs.nvidia.cuobjdump.path, "-sass", file.name]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    main, _, _ = re.sub(r"@!?U?P\w+ EXIT", "EXIT_IF", text).partition(" EXIT ;")
    line = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+ )?([A-Z0-9_]+)([^;]*);")
    found = [(int(at, 16), name, rest.split()) for at, name, rest in line.findall(main)]
    found = [instruction for instruction in found if instruction[1] != "NOP"]
    backward = [at for at, name, rest in found if name == "BRA" and int(rest[-1], 16) < at]
    names = [name for _, name, _ in found]
    return Issued(
        instructions=len(names),
        special=names.count("MUFU"),
        shuffles=names.count("SHFL"),
        shared=sum(name in ("LDS", "STS", "LDSM", "STSM") for name in names),
        loops=len(backward),
    )


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
        print(f"{case.id:68} {pass_:8} {kernel} {kernel.estimated(case)}", flush=True)
        spilling += kernel.spilled_bytes > 0
    print(f"{spilling} configurations spill")
    return int(spilling > 0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
