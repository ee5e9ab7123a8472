"""What the kernel tests share: NaN-filled scratch, and a builder of operator calls over awkward
shapes.
"""

import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

if torch.cuda.is_available():
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

from evnas import kernels

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(autouse=True)
def nan_filled_scratch() -> Iterator[None]:
    """With deterministic algorithms `torch.empty` comes NaN-filled: an unwritten output shows."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@dataclass(frozen=True)
class Call:
    """One operator with its inputs; `leaves` are those with a gradient, by name."""

    run: Callable[..., Tensor | tuple[Tensor, ...]]
    inputs: Mapping[str, Tensor | None]
    options: dict[str, Any]

    def leaves(self) -> dict[str, Tensor]:
        return {name: t for name, t in self.inputs.items() if t is not None}

    def to(self, dtype: torch.dtype) -> "Call":
        """The same call in another dtype; parameters that stay float32 under autocast too."""
        inputs = {n: None if t is None else t.to(dtype) for n, t in self.inputs.items()}
        return Call(self.run, inputs, self.options)

    def outputs(self, impl: str) -> tuple[Tensor, ...]:
        y = self.run(**self.inputs, **self.options, impl=impl)
        return y if isinstance(y, tuple) else (y,)

    def gradients(self, impl: str) -> dict[str, Tensor]:
        """Outputs and the gradient of every input for fixed cotangents, by name."""
        fresh = {n: None if t is None else _leaf(t) for n, t in self.inputs.items()}
        y = Call(self.run, fresh, self.options).outputs(impl)
        generator = torch.Generator().manual_seed(7)
        cotangents = [
            torch.randn(t.shape, generator=generator, dtype=torch.float64).to(t) for t in y
        ]
        leaves = {n: t for n, t in fresh.items() if t is not None}
        names = list(leaves)
        grads = torch.autograd.grad(
            y, list(leaves.values()), cotangents, allow_unused=True, materialize_grads=True
        )
        found = {f"output {i}": t.detach() for i, t in enumerate(y)}
        return found | {f"gradient of {n}": g for n, g in zip(names, grads, strict=True)}


def _leaf(t: Tensor) -> Tensor:
    """A leaf of the same values and strides."""
    return t.detach().clone(memory_format=torch.preserve_format).requires_grad_()


class Draw:
    """Float64 tensors from a seed, optionally with strides that no kernel may assume away."""

    def __init__(self, seed: int, strided: bool) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._strided = strided

    def normal(self, *shape: int, scale: float = 1.0, shift: float = 0.0) -> Tensor:
        values = torch.randn(shape, generator=self._generator, dtype=torch.float64)
        values = (values * scale + shift).to(DEVICE)
        if not self._strided or len(shape) < 2:
            return values
        order = (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)  # last two axes swapped
        return values.permute(order).contiguous().permute(order)

    def decay(self, *shape: int) -> Tensor:
        return -torch.exp(self.normal(*shape, scale=0.7))


def selective_scan_call(draw: Draw, Bt: int, K: int, Dm: int, N: int, L: int, full: bool) -> Call:
    inputs = dict(
        x=draw.normal(Bt, K * Dm, L),
        delta=draw.normal(Bt, K * Dm, L, shift=-1.0) if full else draw.normal(Bt, K * Dm, L).abs(),
        A=draw.decay(K * Dm, N),
        B=draw.normal(Bt, K, N, L),
        C=draw.normal(Bt, K, N, L),
        D=draw.normal(K * Dm) if full else None,
        delta_bias=draw.normal(K * Dm) if full else None,
    )
    return Call(kernels.selective_scan, inputs, {"delta_softplus": full})


def ss2d_scan_call(
    draw: Draw, scan: str, step: int, Bt: int, Dm: int, N: int, H: int, W: int
) -> Call:
    K = step * step if scan == "atrous" else 2 if scan in ("rows", "cols") else 4
    inputs = dict(
        u=draw.normal(Bt, Dm, H, W),
        delta=draw.normal(Bt, K, Dm, H, W, shift=-1.0),
        A=draw.decay(K, Dm, N),
        B=draw.normal(Bt, K, N, H, W),
        C=draw.normal(Bt, K, N, H, W),
        D=draw.normal(K, Dm),
        delta_bias=draw.normal(K, Dm),
    )
    return Call(kernels.ss2d_scan, inputs, {"scan": scan, "step": step})


def hsm_ssd_call(draw: Draw, Bt: int, C: int, N: int, L: int, heads: int, shared: bool) -> Call:
    S = heads if shared else heads * N
    inputs = dict(
        u=draw.normal(Bt, C, L),
        dt=draw.normal(Bt, S, L, scale=2.0),
        B=draw.normal(Bt, N, L),
        C=draw.normal(Bt, N, L),
        A=draw.normal(S),
        Q=draw.normal(2 * C, C, scale=1 / math.sqrt(C)),
        O=draw.normal(C, C, scale=1 / math.sqrt(C)),
        D=draw.normal(1),
    )
    return Call(kernels.hsm_ssd, inputs, {"heads": heads})


def hsm_ssd_compress_call(
    draw: Draw, Bt: int, C: int, N: int, L: int, heads: int, shared: bool
) -> Call:
    whole = hsm_ssd_call(draw, Bt, C, N, L, heads, shared)
    inputs = {name: whole.inputs[name] for name in ("u", "dt", "B", "A")}
    return Call(kernels.hsm_ssd_compress, inputs, {"heads": heads})


def hsm_ssd_expand_call(draw: Draw, Bt: int, C: int, N: int, L: int) -> Call:
    inputs = dict(h=draw.normal(Bt, C, N), C=draw.normal(Bt, N, L))
    return Call(kernels.hsm_ssd_expand, inputs, {})


def nc_ssd_call(draw: Draw, Bt: int, heads: int, p: int, N: int, L: int) -> Call:
    inputs = dict(
        v=draw.normal(Bt, heads * p, L),
        delta=draw.normal(Bt, heads, L).abs(),
        A_log=draw.normal(heads, scale=0.5),
        B=draw.normal(Bt, N, L),
        C=draw.normal(Bt, N, L),
        D=draw.normal(heads),
    )
    return Call(kernels.nc_ssd, inputs, {"heads": heads})


def channel_layer_norm_call(draw: Draw, *shape: int, affine: bool = True) -> Call:
    C = shape[1]
    inputs = dict(
        x=draw.normal(*shape, scale=2.0, shift=0.5),
        weight=draw.normal(C, shift=1.0) if affine else None,
        bias=draw.normal(C) if affine else None,
    )
    return Call(kernels.channel_layer_norm, inputs, {})


# Shapes hold 1, primes, and sizes just over a tile (16, 32, 64).
BUILDERS: dict[str, Callable[[Draw], Call]] = {
    "selective_scan-1": lambda d: selective_scan_call(d, 1, 1, 1, 1, 1, True),
    "selective_scan-plain": lambda d: selective_scan_call(d, 2, 2, 3, 5, 7, False),
    "selective_scan-long": lambda d: selective_scan_call(d, 1, 2, 3, 1, 67, True),
    "selective_scan-wide": lambda d: selective_scan_call(d, 1, 1, 1, 64, 3, True),
    "ss2d_scan-cross-1": lambda d: ss2d_scan_call(d, "cross", 1, 1, 1, 1, 1, 1),
    "ss2d_scan-cross": lambda d: ss2d_scan_call(d, "cross", 1, 2, 2, 2, 3, 7),
    "ss2d_scan-cross-tile": lambda d: ss2d_scan_call(d, "cross", 1, 1, 3, 1, 9, 5),
    "ss2d_scan-unidi": lambda d: ss2d_scan_call(d, "unidi", 1, 1, 2, 3, 2, 5),
    "ss2d_scan-bidi": lambda d: ss2d_scan_call(d, "bidi", 1, 1, 2, 3, 5, 2),
    "ss2d_scan-rows": lambda d: ss2d_scan_call(d, "rows", 1, 2, 2, 2, 3, 5),
    "ss2d_scan-cols": lambda d: ss2d_scan_call(d, "cols", 1, 2, 2, 2, 3, 5),
    "ss2d_scan-atrous-1": lambda d: ss2d_scan_call(d, "atrous", 1, 1, 2, 2, 3, 5),
    "ss2d_scan-atrous-2": lambda d: ss2d_scan_call(d, "atrous", 2, 2, 3, 2, 5, 7),
    "ss2d_scan-atrous-3": lambda d: ss2d_scan_call(d, "atrous", 3, 1, 2, 1, 4, 5),
    "hsm_ssd_compress-1": lambda d: hsm_ssd_compress_call(d, 1, 1, 1, 1, 1, False),
    "hsm_ssd_compress": lambda d: hsm_ssd_compress_call(d, 2, 33, 9, 49, 1, False),
    "hsm_ssd_compress-heads": lambda d: hsm_ssd_compress_call(d, 2, 22, 3, 67, 2, False),
    "hsm_ssd_compress-shared": lambda d: hsm_ssd_compress_call(d, 1, 15, 17, 13, 3, True),
    "hsm_ssd_expand-1": lambda d: hsm_ssd_expand_call(d, 1, 1, 1, 1),
    "hsm_ssd_expand": lambda d: hsm_ssd_expand_call(d, 2, 33, 17, 67),
    "hsm_ssd": lambda d: hsm_ssd_call(d, 2, 17, 9, 49, 1, False),
    "hsm_ssd-shared": lambda d: hsm_ssd_call(d, 2, 14, 5, 17, 2, True),
    "nc_ssd-1": lambda d: nc_ssd_call(d, 1, 1, 1, 1, 1),
    "nc_ssd": lambda d: nc_ssd_call(d, 2, 3, 7, 17, 67),
    "nc_ssd-head": lambda d: nc_ssd_call(d, 1, 2, 33, 5, 13),
    "channel_layer_norm-1": lambda d: channel_layer_norm_call(d, 1, 1, 1),
    "channel_layer_norm": lambda d: channel_layer_norm_call(d, 2, 33, 7, 11),
    "channel_layer_norm-plain": lambda d: channel_layer_norm_call(d, 3, 5, 131, affine=False),
    "channel_layer_norm-few": lambda d: channel_layer_norm_call(d, 5, 17, 3),
    "channel_layer_norm-wide": lambda d: channel_layer_norm_call(d, 2, 150, 5, 7),
    "channel_layer_norm-flat": lambda d: channel_layer_norm_call(d, 5, 17),
}


def build(case: str, *, strided: bool = False) -> Call:
    """The call named `case` in float64."""
    return BUILDERS[case](Draw(sum(map(ord, case)), strided))


@pytest.fixture
def build_call() -> Callable[..., Call]:
    return build


@pytest.fixture
def build_scan() -> Callable[..., Call]:
    """ss2d_scan of a named scan over sizes (Bt, Dm, N, H, W)."""
    return lambda scan, step, *sizes: ss2d_scan_call(Draw(3, False), scan, step, *sizes)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", BUILDERS)
    if "scan_case" in metafunc.fixturenames:
        scans = [case for case in BUILDERS if "scan" in case]
        metafunc.parametrize("scan_case", scans)
