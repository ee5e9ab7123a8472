"""Which implementation of an operator runs: asked for by name, or chosen for the tensor at hand.

`reference` is the definition in plain torch, seen by autograd and compilers as its many parts.
`cpu` is plain torch too, vectorised, with a backward of its own; it runs on any device. `numba`
is for scans on a CPU, compiled when first called. `triton` is for NVIDIA GPUs, or for CPU tensors
in Triton's interpreter; where an operator has a second one, that has a name too. A named
implementation never gives way to another one. `auto` takes what was measured to be fastest on such
a device and shape; where nothing was, Triton, numba or `cpu`, the first that can run.
"""

import functools
import importlib.util
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, NamedTuple, get_args

import torch

from evnas.errors import KernelUnavailable
from evnas.kernels.autotune_table import (
    CHOICES_FILE,
    CallShape,
    capability,
    device_name,
    fastest,
    read_table,
)
from evnas.kernels.onnx_form.exporting import exporting
from evnas.kernels.precision import widest

Chosen = Literal["reference", "cpu", "numba", "triton", "triton_patches", "triton_fused"]
Impl = Literal["auto", Chosen]
IMPLEMENTATIONS: tuple[str, ...] = get_args(Impl)
OF_EVERY_OPERATOR = ("auto", "reference", "cpu")
"""Run on any tensors."""
COMPILED_DTYPES = (torch.float16, torch.bfloat16, torch.float32)
MEASURED_DEVICES = ("cpu", "cuda")
MOST_TRITON_STATES = 128
"""A tile holds all states of its tokens: of more, ptxas spills (130 in float16: 912 bytes per
thread) or takes minutes (260 in float32). `impl="triton"` still runs them."""
NUMBA_OPERATORS: tuple[str, ...] = ("selective_scan", "ss2d_scan", "ss2d_scan_low_rank")
"""Those with an implementation compiled by numba."""
COMPILED: tuple[Chosen, ...] = ("numba", "triton", "triton_patches", "triton_fused")
BY_MEASUREMENT: Mapping[str, tuple[Chosen, ...]] = {
    "ss2d_scan": ("triton_patches",),
    "ss2d_scan_low_rank": ("triton_patches", "triton_fused"),
    "hsm_ssd": ("triton_fused",),
    "dense_conv": ("triton",),
    "depthwise_conv": ("triton",),
    "pixel_linear": ("triton",),
}
"""Implementations that nobody has timed, by operator: they run under their name, and `auto` takes
one only where a measurement has it as the fastest."""
NO_BACKWARD = "impl='triton' was asked for, but that kernel is for inference and has no backward"
OPERATORS = (
    "selective_scan",
    "ss2d_scan",
    "ss2d_scan_low_rank",
    "hsm_ssd_compress",
    "hsm_ssd_expand",
    "hsm_ssd",
    "nc_ssd",
    "channel_layer_norm",
    "dense_conv",
    "depthwise_conv",
    "pixel_linear",
)


def why_not_triton(device: torch.device, dtype: torch.dtype) -> str | None:
    """None where the Triton kernels can run on such a tensor, else the reason."""
    if dtype not in COMPILED_DTYPES:
        return _unsupported(dtype)
    if not installed("triton"):
        return "triton is not installed (pip install triton)"
    if device.type == "cuda":
        major, minor = capability(device)
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
    if impl in OF_EVERY_OPERATOR:
        return
    if impl not in IMPLEMENTATIONS:
        raise ValueError(f"impl must be one of {IMPLEMENTATIONS}, got {impl!r}")
    reason = None
    if impl not in implementations(op_name):
        reason = f"{op_name} has no such implementation"
    elif impl.startswith("triton"):
        reason = why_not_triton(x.device, x.dtype)
    elif impl == "numba":
        reason = why_not_numba(x.device, x.dtype)
    if reason is not None:
        raise KernelUnavailable(f"impl={impl!r} was asked for, but {reason}")


def implementations(op_name: str) -> tuple[str, ...]:
    """The names that `impl` may have for an operator."""
    numba = ("numba",) if op_name in NUMBA_OPERATORS else ()
    further = (name for name in BY_MEASUREMENT.get(op_name, ()) if name != "triton")
    return (*OF_EVERY_OPERATOR, *numba, "triton", *further)


def choose(
    op_name: str, impl: Impl, inputs: Sequence[torch.Tensor | None], *, states: int = 1
) -> Impl:
    """What a public operator runs: itself under this name, or the reference in its place.

    Compilers are handed "auto" as it is: their graphs hold the operator, since the reference was
    timed in eager mode.

    Args:
        impl: as asked for.
        inputs: the operator's tensors, the first one never None; its size decides, and its dtype
            unless another one is float64.
        states: N, where the operator has states.

    Raises:
        ValueError, KernelUnavailable: see `require`.
    """
    tensors = [t for t in inputs if t is not None]
    x = tensors[0]
    require(op_name, impl, x)
    if impl == "auto" and states > MOST_TRITON_STATES and x.device.type == "cuda":
        return "cpu"  # plain torch, on the tensors' device; the record says so
    if torch.compiler.is_compiling():
        return impl
    if impl == "auto" and exporting():
        return "reference"  # alone made of operators that ONNX has
    if impl == "auto" and torch._C._are_functorch_transforms_active():
        return "reference"  # alone made of operators that torch.func knows
    listening = _NOTED.get()
    if impl != "auto" and listening is None:
        return impl
    training = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    device = x.device.type
    whole = device in MEASURED_DEVICES and torch.is_autocast_enabled(device)
    work = CallShape(x.numel(), states, training, whole)
    question = Question(op_name, impl, widest(*tensors).dtype, work)
    if listening is not None:
        listening.append(question)
    return question.answer(x.device)


def choose_for_inference(op_name: str, impl: Impl, inputs: Sequence[torch.Tensor | None]) -> Impl:
    """As `choose`, of an operator whose kernel has no backward: "auto" is torch's own where a
    gradient is asked for, and within autocast, which has dtypes of its own.

    Raises:
        KernelUnavailable: `impl` is "triton" and a gradient is asked for.
        ValueError, KernelUnavailable: see `require`.
    """
    tensors = [t for t in inputs if t is not None]
    gradient = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    if gradient and impl == "triton":
        raise KernelUnavailable(NO_BACKWARD)
    if impl == "auto" and (gradient or torch.is_autocast_enabled(tensors[0].device.type)):
        impl = "cpu"
    return choose(op_name, impl, inputs)


def resolve(op_name: str, impl: str, x: torch.Tensor) -> Chosen:
    """What `impl` means within the operator on `x`, in its forward and its backward alike."""
    if impl != "auto":
        require(op_name, impl, x)
        return next((name for name in COMPILED if name == impl), "cpu")
    found = implementation_in_use(
        op_name, x.device, x.dtype, work=CallShape(x.numel(), states=None, training=True)
    )
    return _first_that_runs(op_name, x.device, x.dtype) if found == "reference" else found


def implementation_in_use(
    op_name: str,
    device: torch.device | str,
    dtype: torch.dtype = torch.float32,
    *,
    work: CallShape | None = None,
) -> Chosen:
    """The implementation that `impl="auto"` runs for such a call.

    Of those that can run, the one that `autotune_table.json` has as the fastest at the nearest
    measured
    shape; without `work`, and where nothing was measured, the first of Triton, numba and `cpu`.

    Raises:
        ValueError: no operator has that name.
    """
    if op_name not in OPERATORS:
        raise ValueError(f"op_name must be one of {OPERATORS}, got {op_name!r}")
    device = torch.device(device)
    first = _first_that_runs(op_name, device, dtype)
    if work is None or device.type not in MEASURED_DEVICES:
        return first
    measured = fastest(CHOICES_FILE, op_name, device=device, dtype=dtype, work=work)
    if measured == "cpu":
        return "cpu"
    for name in BY_MEASUREMENT.get(op_name, ()):
        if measured == name and why_not_triton(device, dtype) is None:
            return name
    return "reference" if measured == "reference" and not work.whole else first


def implementations_by_shape(op_name: str, device: torch.device | str) -> str:
    """All that `impl="auto"` may run on a device in float32: `cpu+reference`."""
    found = {str(implementation_in_use(op_name, device))}
    found |= read_table(CHOICES_FILE).all_fastest(op_name, device_name(torch.device(device)))
    return "+".join(sorted(found))


def _first_that_runs(op_name: str, device: torch.device, dtype: torch.dtype) -> Chosen:
    timed = "triton" not in BY_MEASUREMENT.get(op_name, ())
    if timed and device.type == "cuda" and why_not_triton(device, dtype) is None:
        return "triton"
    if op_name in NUMBA_OPERATORS and why_not_numba(device, dtype) is None:
        return "numba"
    return "cpu"


class Question(NamedTuple):
    """What an operator was asked to run by, and on what."""

    op_name: str
    impl: Impl
    dtype: torch.dtype
    work: CallShape

    def answer(self, device: torch.device) -> Impl:
        """The implementation that runs on the device."""
        if self.impl != "auto":
            return self.impl
        return implementation_in_use(self.op_name, device, self.dtype, work=self.work)


_NOTED: ContextVar[list[Question] | None] = ContextVar("noted", default=None)


@contextmanager
def noted() -> Iterator[list[Question]]:
    """What operators are asked within, in eager mode, in their order."""
    questions: list[Question] = []
    token = _NOTED.set(questions)
    try:
        yield questions
    finally:
        _NOTED.reset(token)
