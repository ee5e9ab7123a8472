"""What the Triton kernels compile to, for any NVIDIA GPU, on a machine without one.

    python benchmarks/compiled.py [--capability 90] [--only ss2d_scan] [--precisions float16]
    python benchmarks/compiled.py --fill-cache DIR --torch 2.11 --triton 3.6

For each operator of `kernel_cases.py`, forward and backward: registers a thread, bytes that a
thread spills, warps, shared memory, the instructions of a warp, of which special functions,
shuffles and accesses of shared memory, and how long compiling took. Where none of them is in a
loop, what the launch issues follows, and is estimated, not measured: instructions in all, for 32
steps of a scan, and the time that all schedulers of an H200 would take to issue them. Exits 1
where one spills.

With --fill-cache nothing is counted: Triton's cache in DIR gets the kernels of the targets' models
in all forms, of Table C's rows, and of the targets' operators in both passes, so that a GPU
machine with the same Python, torch and Triton compiles none of them (`TRITON_CACHE_DIR=DIR`, or
`gpu.py --triton-cache DIR`). Run it with the Python that is there; --torch and --triton say what
is, and a difference is refused.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import triton
from kernel_cases import Case, cases, launchers, targets
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
        if case.op.startswith("ss2d_scan"):
            given = case.inputs()
            (Bt, Dm, H, W), K = given["u"].shape, given["A"].shape[0]
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


class Pointer:
    """What Triton looks at of a tensor, for one that has no memory: its dtype, and whether its
    address is a multiple of 16, as that of a slice need not be."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.dtype = tensor.dtype
        self._address = int(tensor.storage_offset()) * tensor.element_size()

    def data_ptr(self) -> int:
        """From the start of its memory, which torch allocates at multiples of 512."""
        return self._address


def compiled(launch: Callable[[], object]) -> list[Compiled]:
    """The kernels that `launch` starts, compiled and not run; its tensors are on meta."""
    found: list[Compiled] = []

    def note(kernel: Any, grid: Any, seconds: float) -> None:
        registers, spilled = _resources(kernel.asm["ptx"])
        programs = 1
        for side in grid:
            programs *= side
        meta = kernel.metadata
        found.append(
            Compiled(
                meta.name,
                meta.num_warps,
                registers,
                spilled,
                meta.shared,
                programs,
                seconds,
                _issued(kernel.asm["cubin"]),
            )
        )

    with compiling(note):
        launch()
    return found


@contextmanager
def compiling(note: Callable[[Any, Any, float], None]) -> Iterator[None]:
    """Within, what starts a kernel compiles it and runs nothing.

    Args:
        note: takes each kernel, its grid and the seconds that it took.
    """
    run = JITFunction.run

    def compile_only(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
        plain = [Pointer(a) if isinstance(a, torch.Tensor) else a for a in args]
        start = time.perf_counter()
        kernel = run(self, *plain, grid=grid, warmup=True, **kwargs)
        note(kernel, grid, time.perf_counter() - start)
        return kernel

    JITFunction.run = compile_only
    try:
        yield
    finally:
        JITFunction.run = run


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


def fill_cache(folder: Path, sweep: Path, only: str) -> None:
    """Put what the first minutes on a GPU need into Triton's cache, and say what was new."""
    from model_launches import runs  # whole models, which the counts do without

    folder.mkdir(parents=True, exist_ok=True)
    os.environ["TRITON_CACHE_DIR"] = str(folder.resolve())
    asked = [(run.name, run.call) for run in runs(sweep)]
    of_targets = list(targets("meta"))
    models = {case.model for case in of_targets}
    others = [c for c in cases("meta", quick=False) if c.model in models and c.resolution == 224]
    for case in (*of_targets, *(c for c in others if c.precision == "float16")):
        asked += [(f"{case.id} {pass_}", call) for pass_, call in launchers(case).items()]
    all_kernels = set[str]()
    before = len(list(folder.iterdir()))
    for name, call in asked:
        if only not in name:
            continue
        kernels: Counter[str] = Counter()
        spent_s = 0.0

        def note(kernel: Any, grid: Any, seconds: float, found: Counter[str] = kernels) -> None:
            nonlocal spent_s
            found[kernel.hash] += 1
            spent_s += seconds

        with compiling(note):
            call()
        all_kernels |= set(kernels)
        print(
            f"{name:60} {sum(kernels.values()):4} launches of {len(kernels):3} kernels, "
            f"{spent_s:6.1f} s",
            flush=True,
        )
    new = len(list(folder.iterdir())) - before
    print(f"{len(all_kernels)} kernels, {new} of them compiled now, the others were there")


def _must_be(name: str, asked: str, found: str, parser: argparse.ArgumentParser) -> None:
    if asked and asked != found and not found.startswith(f"{asked}."):
        parser.error(
            f"--{name} {asked}: this Python must have that version of {name}, it has {found}; "
            "Triton looks kernels up by its own files, so run this with the same versions"
        )


def main() -> int:
    """Compile, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--capability", type=int, default=90, help="90 is Hopper")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--precisions", default="float16,float32")
    parser.add_argument("--fill-cache", type=Path, metavar="DIR", help="see above")
    parser.add_argument("--torch", default="", help="version that --fill-cache is for: 2.11")
    parser.add_argument("--triton", default="", help="likewise: 3.6")
    parser.add_argument(
        "--sweep", type=Path, default=Path(__file__).parents[1] / "sweeps/table_c.yaml"
    )
    args = parser.parse_args()
    _must_be("torch", args.torch, torch.__version__, parser)
    _must_be("triton", args.triton, triton.__version__, parser)
    driver.set_active(NoDevice(args.capability))
    if args.fill_cache is not None:
        fill_cache(args.fill_cache, args.sweep, args.only)
        return 0
    spilling = 0
    for case, pass_, kernel in _all(args):
        print(f"{case.id:68} {pass_:8} {kernel} {kernel.estimated(case)}", flush=True)
        spilling += kernel.spilled_bytes > 0
    print(f"{spilling} configurations spill")
    return int(spilling > 0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
