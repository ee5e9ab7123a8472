"""Which implementation of an operator runs: asked for by name, or chosen for the tensor at hand.

`reference` is the definition in plain torch, seen by autograd and compilers as its many parts.
`cpu` is plain torch too, vectorised, with a backward of its own; it runs on any device and is
what `auto` takes wherever Triton cannot run. `triton` is for NVIDIA GPUs, or for CPU tensors in
Triton's interpreter. A named implementation never gives way to another one.
"""

import importlib.util
import os
from typing import Literal, get_args

import torch

from evnas.errors import KernelUnavailable

Impl = Literal["auto", "reference", "cpu", "triton"]
Chosen = Literal["cpu", "triton"]
IMPLEMENTATIONS: tuple[str, ...] = get_args(Impl)
TRITON_DTYPES = (torch.float16, torch.bfloat16, torch.float32)
OPERATORS = (
    "selective_scan",
    "ss2d_scan",
    "hsm_ssd_compress",
    "hsm_ssd_expand",
    "hsm_ssd",
    "nc_ssd",
    "channel_layer_norm",
)


def why_not_triton(device: torch.device, dtype: torch.dtype) -> str | None:
    """None where the Triton kernels can run on such a tensor, else the reason."""
    if dtype not in TRITON_DTYPES:
        return f"dtype {dtype} is not supported (float16, bfloat16 and float32 are)"
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed (pip install triton)"
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        if major < 8:
            return f"compute capability {major}.{minor} is below 8.0"
        return None
    if device.type == "cpu" and interpreting():
        return None
    return f"the tensor is on {device.type}, not on an NVIDIA GPU"


def interpreting() -> bool:
    """Whether Triton kernels run in its interpreter (TRITON_INTERPRET=1), a debugging aid."""
    return os.environ.get("TRITON_INTERPRET", "0") == "1"


def require(impl: str, x: torch.Tensor) -> None:
    """Refuse an implementation that is unknown or that cannot run on `x`.

    Raises:
        ValueError: `impl` is none of IMPLEMENTATIONS.
        KernelUnavailable: "triton" was asked for where it cannot run.
    """
    if impl == "triton":
        reason = why_not_triton(x.device, x.dtype)
        if reason is not None:
            raise KernelUnavailable(f"impl='triton' was asked for, but {reason}")
    elif impl not in IMPLEMENTATIONS:
        raise ValueError(f"impl must be one of {IMPLEMENTATIONS}, got {impl!r}")


def resolve(op_name: str, impl: str, x: torch.Tensor) -> Chosen:
    """What `impl` means for the operator on `x`; for "auto" see `implementation_in_use`."""
    if impl == "auto":
        return implementation_in_use(op_name, x.device, x.dtype)
    require(impl, x)
    return "triton" if impl == "triton" else "cpu"


def implementation_in_use(
    op_name: str, device: torch.device | str, dtype: torch.dtype = torch.float32
) -> Chosen:
    """The implementation that `impl="auto"` runs for a tensor of that device and dtype.

    Raises:
        ValueError: no operator has that name.
    """
    if op_name not in OPERATORS:
        raise ValueError(f"op_name must be one of {OPERATORS}, got {op_name!r}")
    device = torch.device(device)
    on_gpu = device.type == "cuda" and why_not_triton(device, dtype) is None
    return "triton" if on_gpu else "cpu"
