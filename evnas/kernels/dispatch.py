"""Which implementation of an operator runs: asked for by name, or chosen for the tensor at hand.

`reference` is the definition in plain torch, seen by autograd and compilers as its many parts.
`cpu` is plain torch too, vectorised, with a backward of its own; it runs on any device and is
what `auto` takes wherever nothing faster can run. `numba` is for scans on a CPU, compiled when
first called. `triton` is for NVIDIA GPUs, or for CPU tensors in Triton's interpreter. A named
implementation never gives way to another one.
"""

import functools
import importlib.util
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch

from evnas.errors import KernelUnavailable

Impl = Literal["auto", "reference", "cpu", "numba", "triton"]
Chosen = Literal["cpu", "numba", "triton"]
IMPLEMENTATIONS: tuple[str, ...] = get_args(Impl)
COMPILED_DTYPES = (torch.float16, torch.bfloat16, torch.float32)
NUMBA_OPERATORS: tuple[str, ...] = ("selective_scan", "ss2d_scan")
"""Those with an implementation compiled by numba."""
OPERATORS = (
    "selective_scan",
    "ss2d_scan",
    "hsm_ssd_compress",
    "hsm_ssd_expand",
    "hsm_ssd",
    "nc_ssd",
    "channel_layer_norm",
)


CHOICES_FILE = Path(__file__).with_name("choices.json")


def why_not_triton(device: torch.device, dtype: torch.dtype) -> str | None:
    """None where the Triton kernels can run on such a tensor, else the reason."""
    if dtype not in COMPILED_DTYPES:
        return _unsupported(dtype)
    if not installed("triton"):
        return "triton is not installed (pip install triton)"
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        if major < 8:
            return f"compute capability {major}.{minor} is below 8.0"
        return None
    if device.type == "cpu" and interpreting():
        return None
    return f"the tensor is on {device.type}, not on an NVIDIA GPU"


def why_not_numba(device: torch.device, dtype: torch.dtype) -> str | None:
    """None where the scans compiled by numba can run on such a tensor, else the reason."""
    if dtype not in COMPILED_DTYPES:
        return _unsupported(dtype)
    if not installed("numba"):
        return "numba is not installed (pip install numba)"
    if device.type != "cpu":
        return f"the tensor is on {device.type}, not on a CPU"
    return None


@functools.cache
def installed(package: str) -> bool:
    """Whether a package can be imported; looked up once, as every call of an operator asks."""
    return importlib.util.find_spec(package) is not None


def _unsupported(dtype: torch.dtype) -> str:
    return f"dtype {dtype} is not supported (float16, bfloat16 and float32 are)"


def interpreting() -> bool:
    """Whether Triton kernels run in its interpreter (TRITON_INTERPRET=1), a debugging aid."""
    return os.environ.get("TRITON_INTERPRET", "0") == "1"


def require(op_name: str, impl: str, x: torch.Tensor) -> None:
    """Refuse an implementation that is unknown, or that cannot run the operator on `x`.

    Raises:
        ValueError: `impl` is none of IMPLEMENTATIONS.
        KernelUnavailable: "numba" or "triton" was asked for where it cannot run.
    """
    if impl not in IMPLEMENTATIONS:
        raise ValueError(f"impl must be one of {IMPLEMENTATIONS}, got {impl!r}")
    reason = None
    if impl == "triton":
        reason = why_not_triton(x.device, x.dtype)
    elif impl == "numba" and op_name not in NUMBA_OPERATORS:
        reason = f"{op_name} has no such implementation"
    elif impl == "numba":
        reason = why_not_numba(x.device, x.dtype)
    if reason is not None:
        raise KernelUnavailable(f"impl={impl!r} was asked for, but {reason}")


def resolve(op_name: str, impl: str, x: torch.Tensor) -> Chosen:
    """What `impl` means for the operator on `x`; for "auto" see `implementation_in_use`."""
    if impl == "auto":
        return implementation_in_use(op_name, x.device, x.dtype, elements=x.numel())
    require(op_name, impl, x)
    return "triton" if impl == "triton" else "numba" if impl == "numba" else "cpu"


def implementation_in_use(
    op_name: str,
    device: torch.device | str,
    dtype: torch.dtype = torch.float32,
    *,
    elements: int | None = None,
) -> Chosen:
    """The implementation that `impl="auto"` runs for a tensor of that device and dtype.

    On a CPU it is numba's for the operators that have one, where numba can run. On a GPU where
    Triton can run it is Triton's, unless `choices.json` holds a measurement of this operator, GPU
    and size class that says otherwise; `elements` is the size of the operator's first input,
    without which no measurement is looked up.

    Raises:
        ValueError: no operator has that name.
    """
    if op_name not in OPERATORS:
        raise ValueError(f"op_name must be one of {OPERATORS}, got {op_name!r}")
    device = torch.device(device)
    if op_name in NUMBA_OPERATORS and why_not_numba(device, dtype) is None:
        return "numba"
    if device.type != "cuda" or why_not_triton(device, dtype) is not None:
        return "cpu"
    if elements is None:
        return "triton"
    major, minor = torch.cuda.get_device_capability(device)
    return read_choices(CHOICES_FILE).chosen(op_name, f"sm_{major}{minor}", elements)


@dataclass(frozen=True, slots=True)
class Choices:
    """Measured choices: operator -> GPU ("sm_90") -> size class ("2^20") -> implementation."""

    table: dict[str, dict[str, dict[str, Chosen]]]

    def chosen(self, op_name: str, gpu: str, elements: int) -> Chosen:
        """The faster one as measured, "triton" where nothing was."""
        return self.table.get(op_name, {}).get(gpu, {}).get(size_class(elements), "triton")


def size_class(elements: int) -> str:
    """The power of two that `elements` reaches: "2^20" for 2^20 up to 2^21 - 1."""
    return f"2^{elements.bit_length() - 1}"


@functools.cache
def read_choices(path: Path) -> Choices:
    """The choices in a JSON file as `benchmarks/kernels.py --write-choices` leaves it."""
    return Choices(json.loads(path.read_text()))
