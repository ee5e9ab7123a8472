"""Operators at the shapes of published models, and the peers that they are set against."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from cuda_scan import selective_scan
from torch import Tensor

from evnas import kernels
from evnas.kernels import Impl
from evnas.kernels.dispatch import BY_MEASUREMENT
from evnas.kernels.flops import MACS
from evnas.kernels.operator import BODIES

Run = Callable[..., Any]
LOOPS = ("selective_scan", "ss2d_scan", "ss2d_scan_low_rank")  # references that loop over L
INFERENCE_ONLY = ("depthwise_conv", "dense_conv", "pixel_linear")
"""Whose kernels have no backward."""
GPU_BATCHES = (256, 128, 128, 256)
TARGETS = (
    ("ss2d_scan", "VMamba-T", 1),
    ("ss2d_scan_low_rank", "VMamba-T", 1),
    ("pixel_linear", "VMamba-T", 1),
    ("ss2d_scan", "Vanilla-VMamba-T", 1),  # d_state 16
    ("hsm_ssd", "EfficientViM-M2", 1),
)
"""Operator, model and stage of the shapes that the targets for a GPU speak of."""


@dataclass(frozen=True, slots=True)
class Case:
    """One operator on one shape."""

    op: str
    model: str
    stage: int
    batch: int
    resolution: int
    precision: str
    device: str
    shape: tuple[int, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return (
            f"{self.op} {self.model} stage {self.stage} batch {self.batch} "
            f"at {self.resolution} {self.precision}"
        )

    def inputs(self) -> dict[str, Tensor]:
        """Random inputs; activations in the case's precision, parameters in float32."""
        on_meta = self.device == "meta"
        generator = None if on_meta else torch.Generator(self.device).manual_seed(0)
        return _INPUTS[self.op](self, generator)

    def flop(self) -> int:
        """FLOPs of the forward, 2 a multiply-add."""
        shapes = {name: tuple(t.shape) for name, t in self.inputs().items()}
        return 2 * MACS[self.op](shapes | self.options)


def cases(device: str, *, quick: bool) -> Iterator[Case]:
    """All shapes and precisions on a GPU, or of one on meta; on a CPU float32 at small batches."""
    if device == "cpu":
        for resolution in (224,) if quick else (224, 512):
            yield from _shapes(resolution, "float32", device, batches=(16, 1, 1, 1))
        return
    for resolution in (224,) if quick else (224, 512):
        for precision in ("bfloat16",) if quick else ("float16", "bfloat16", "float32"):
            yield from _shapes(resolution, precision, device, batches=GPU_BATCHES)


def targets(device: str, *, small: bool = False) -> Iterator[Case]:
    """The shapes of `TARGETS`, in half precision and in float32; or tiny ones of the same."""
    batches, resolution = ((2, 2, 2, 2), 32) if small else (GPU_BATCHES, 224)
    for precision in ("float16", "float32"):
        for case in _shapes(resolution, precision, device, batches=batches):
            if (case.op, case.model, case.stage) in TARGETS:
                yield case


def _shapes(
    resolution: int, precision: str, device: str, *, batches: Sequence[int]
) -> Iterator[Case]:
    """Batches are of EfficientViM-M2, VMamba-T, VSSD-T and EfficientVMamba-T."""

    def case(op: str, model: str, stage: int, batch: int, *shape: int, **options: Any) -> Case:
        return Case(op, model, stage, batch, resolution, precision, device, shape, options)

    vim, vmamba, vssd, evm = batches
    for stage, (C, N) in enumerate(((128, 49), (256, 25), (512, 9))):
        side = -(-resolution // (16 << stage))
        yield case("hsm_ssd", "EfficientViM-M2", stage + 1, vim, C, N, side * side)
    yield case("channel_layer_norm", "EfficientViM-M2", 1, vim, 128, resolution // 16)
    for stage, C in enumerate((128, 256, 512)):
        side = -(-resolution // (16 << stage))
        options = {"stride": 1, "act": "none"}
        yield case("depthwise_conv", "EfficientViM-M2", stage + 1, vim, C, side, **options)
    options = {"stride": 1, "act": "silu"}
    yield case("depthwise_conv", "VMamba-T", 1, vmamba, 96, resolution // 4, **options)
    for stage, C in enumerate((128, 256, 512)):
        side = -(-resolution // (16 << stage))
        for width, act in ((4 * C, "relu"), (C, "none")):
            ffn, options = (
                (5 * C - width, width, side, act == "none", 0),
                {"norm": False, "act": act},
            )
            yield case("pixel_linear", "EfficientViM-M2", stage + 1, vim, *ffn, **options)
    options = {"stride": (2, 2), "padding": (1, 1), "groups": 1, "act": "relu"}
    yield case("dense_conv", "EfficientViM-M2", 0, vim, 32, 64, resolution // 4, **options)
    for stage in range(4):
        C, side = 96 << stage, resolution // (4 << stage)
        yield case("ss2d_scan", "VMamba-T", stage + 1, vmamba, C, 1, side, scan="cross")
        factors = (C, 1, side, C // 16)
        yield case("ss2d_scan_low_rank", "VMamba-T", stage + 1, vmamba, *factors, scan="cross")
        for shape, options in _around_a_scan(C, side):
            yield case("pixel_linear", "VMamba-T", stage + 1, vmamba, *shape, **options)
    side = resolution // 4
    yield case("ss2d_scan", "Vanilla-VMamba-T", 1, vmamba, 192, 16, side, scan="cross")
    yield case("selective_scan", "VMamba-T", 1, vmamba, 96, 1, side * side)
    yield case("channel_layer_norm", "VMamba-T", 1, vmamba, 96, side)
    for stage in range(3):
        L, heads = (resolution // (4 << stage)) ** 2, 2 << stage
        yield case("nc_ssd", "VSSD-T", stage + 1, vssd, heads, 64, 64, L)
    for stage in range(2):
        C, side = 96 << stage, resolution // (4 << stage)
        options = {"scan": "atrous", "step": 2}
        yield case("ss2d_scan", "EfficientVMamba-T", stage + 1, evm, C, 16, side, **options)


def _around_a_scan(C: int, side: int) -> Iterator[tuple[tuple[int, ...], dict[str, Any]]]:
    """in_proj, out_proj and the two maps of the MLP: channels in and out, side of the map, whether
    something is added and x holds float32 sums; and the options."""
    yield (C, C, side, 0, 0), {"norm": True, "act": "none"}
    yield (C, C, side, 1, 1), {"norm": True, "act": "none"}
    yield (C, 4 * C, side, 0, 0), {"norm": True, "act": "gelu"}
    yield (4 * C, C, side, 1, 0), {"norm": False, "act": "none"}


def ours(case: Case, impl: Impl = "auto") -> Run:
    """The public operator."""
    op: Run = getattr(kernels, case.op)
    options = dict(case.options)
    if case.op == "nc_ssd":
        options["heads"] = case.shape[0]
    if case.op == "selective_scan":
        options["delta_softplus"] = True
    return lambda **inputs: op(**inputs, **options, impl=impl)


def launchers(case: Case) -> dict[str, Callable[[], object]]:
    """Forward and backward as Triton launches them, on meta tensors that hold nothing."""
    from evnas.kernels.channel_layer_norm import kernel as norm
    from evnas.kernels.depthwise_conv import kernel as conv
    from evnas.kernels.hsm_ssd import kernel as hsm
    from evnas.kernels.hsm_ssd.fused import kernel as fused
    from evnas.kernels.nc_ssd import kernel as nc
    from evnas.kernels.pixel_linear import kernel as pixel
    from evnas.kernels.selective_scan import kernel as scan
    from evnas.kernels.ss2d_scan import kernel as ss2d
    from evnas.kernels.ss2d_scan.backward import kernel as ss2d_backward
    from evnas.kernels.ss2d_scan.launch import adjoint_patches
    from evnas.kernels.ss2d_scan.patches.backward import kernel as gradient

    given = case.inputs()
    t: Any = tuple(given.values())  # in the order of each operator's arguments
    x = t[0]
    if case.op == "selective_scan":
        return {
            "forward": lambda: scan.selective_scan_triton(t, delta_softplus=True),
            "backward": lambda: scan.selective_scan_triton_backward(x, t, delta_softplus=True),
        }
    if case.op == "ss2d_scan":
        routes = {"scan": case.options["scan"], "step": case.options.get("step", 1)}
        found: dict[str, Callable[[], object]] = {
            "forward": lambda: ss2d.ss2d_scan_triton(t, **routes),
            "backward": lambda: ss2d_backward.ss2d_scan_triton_backward(x, t, **routes),
        }
        C, N, side = case.shape
        if adjoint_patches(case.batch, C, N, side, side, scan=case.options["scan"]):
            found["patches"] = lambda: gradient.ss2d_scan_patches_backward(x, t, **routes)
        return found
    if case.op == "ss2d_scan_low_rank":
        u, low, weight, *others = t
        factors: Any = (u, low, *others)
        along = {"scan": case.options["scan"], "step": 1}
        adjoint = ss2d_backward.ss2d_scan_low_rank_triton_backward
        return {
            "forward": lambda: ss2d.ss2d_scan_low_rank_triton(factors, weight, **along),
            "backward": lambda: adjoint(u, factors, weight, **along),
        }
    if case.op == "depthwise_conv":
        return {"forward": lambda: conv.depthwise_conv_triton(*t, **case.options)}
    if case.op == "pixel_linear":
        of_map: Any = (x, given["weight"], given["bias"], given.get("total"))
        return {"forward": lambda: pixel.pixel_linear_triton(*of_map, **case.options)}
    if case.op == "dense_conv":
        return {"forward": lambda: BODIES["dense_conv"](*t, **case.options)}
    if case.op == "nc_ssd":
        state = x.new_empty((*x.shape[:2], given["B"].shape[1])).float()
        return {
            "forward": lambda: nc.nc_ssd_triton(t),
            "backward": lambda: nc.nc_ssd_triton_backward(x, state, t, state),
        }
    if case.op == "channel_layer_norm":
        return {
            "forward": lambda: norm.channel_layer_norm_triton(*[*t, 1e-5]),
            "backward": lambda: norm.channel_layer_norm_triton_backward(*[x, *t[:2], 1e-5]),
        }
    u, dt, B, C = t[:4]
    h0, log_sum = u.new_empty((*u.shape[:2], B.shape[1])).float(), dt[..., :1].float()
    return {
        "forward": lambda: (
            hsm.compress_triton(u, dt, B, heads=1),
            hsm.expand_triton(h0, C, dtype=u.dtype),
        ),
        "backward": lambda: (
            hsm.compress_triton_backward(h0, h0, u, dt, B, log_sum, heads=1),
            hsm.expand_triton_backward(u, h0, C),
        ),
        "fused": lambda: fused.hsm_ssd_fused(t, heads=1, as_u_lies=True),
        "added": lambda: fused.hsm_ssd_added(t, u, h0[0, :, 0], heads=1),
    }


def peers(case: Case) -> dict[str, Run | str]:
    """Peer -> how to run it, or why it is absent."""
    found: dict[str, Run | str] = {"reference": ours(case, "reference")}
    if case.op in LOOPS:
        found["compiled reference"] = "its loop over L would be unrolled step by step"
        found["mamba_ssm"] = _mamba(case)
    else:
        found["compiled reference"] = torch.compile(ours(case, "reference"), dynamic=False)
    if case.device != "cpu":
        found["plain torch"] = ours(case, "cpu")
        found |= {name: ours(case, name) for name in BY_MEASUREMENT.get(case.op, ())}
    return found


def _mamba(case: Case) -> Run | str:
    """The CUDA selective scan, with cross-scan and cross-merge around it for a map."""
    if case.op == "ss2d_scan_low_rank":
        return "it takes steps, not their factors: see ss2d_scan"
    selective_scan_fn = selective_scan()
    if isinstance(selective_scan_fn, str):
        return selective_scan_fn
    if case.op == "selective_scan":
        return lambda x, delta, A, B, C, D, delta_bias: selective_scan_fn(
            x, delta, A, B, C, D, None, delta_bias, True
        )
    if case.options["scan"] != "cross":
        return "no ES2D around mamba_ssm"
    return cross_scan_around(selective_scan_fn)


def cross_scan_around(selective_scan: Run) -> Run:
    """SS2D of the cross routes by a selective scan over sequences, with copies of the map.

    Step sizes and matrices are taken as if they had been computed in route order, so only the
    map's own copies are charged to it; the figures are its own, the values are not SS2D's.
    """

    def run(
        u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor
    ) -> Tensor:
        Bt, Dm, H, W = u.shape
        two = torch.stack([u.flatten(2), u.transpose(2, 3).flatten(2)], 1)
        xs = torch.cat([two, two.flip(-1)], 1).flatten(1, 2)  # (Bt, 4 * Dm, L)
        ys = selective_scan(
            xs, delta.flatten(3).flatten(1, 2), A.flatten(0, 1), B.flatten(3), C.flatten(3),
            D.flatten(), None, delta_bias.flatten(), True,
        ).view(Bt, 4, Dm, -1)  # fmt: skip
        row, col = (ys[:, :2] + ys[:, 2:].flip(-1)).unbind(1)
        mixed: Tensor = row.view(Bt, Dm, H, W) + col.view(Bt, Dm, W, H).transpose(2, 3)
        return mixed

    return run


class _Draw:
    """Random tensors on the case's device, in its precision."""

    def __init__(self, case: Case, generator: torch.Generator | None) -> None:
        self._case, self._generator = case, generator

    def tokens(self, *shape: int) -> Tensor:
        return self.weights(*shape).to(getattr(torch, self._case.precision))

    def weights(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self._generator, device=self._case.device)

    def decay(self, *shape: int) -> Tensor:
        return -torch.exp(0.5 * self.weights(*shape))


def _selective_scan(case: Case, generator: torch.Generator | None) -> dict[str, Tensor]:
    draw, (C, N, L), Bt, K = _Draw(case, generator), case.shape, case.batch, 4
    slices = _routes(draw, (Bt, K), C // 16, N, (L,))
    return {
        "x": draw.tokens(Bt, K * C, L),
        "delta": draw.tokens(Bt, K * C, L) - 3,
        "A": draw.decay(K * C, N),
        "B": slices["B"],
        "C": slices["C"],
        "D": draw.weights(K * C),
        "delta_bias": draw.weights(K * C),
    }


def _ss2d_scan(case: Case, generator: torch.Generator | None) -> dict[str, Tensor]:
    draw, (C, N, side), Bt, K = _Draw(case, generator), case.shape, case.batch, 4
    given = {
        "u": draw.tokens(Bt, C, side, side),
        "delta": draw.tokens(Bt, K, C, side, side) - 3,
        **_routes(draw, (Bt, K), C // 16, N, (side, side)),
        **_parameters(draw, K, C, N),
    }
    return {name: given[name] for name in ("u", "delta", "A", "B", "C", "D", "delta_bias")}


def _ss2d_scan_low_rank(case: Case, generator: torch.Generator | None) -> dict[str, Tensor]:
    draw, (C, N, side, R), Bt, K = _Draw(case, generator), case.shape, case.batch, 4
    given = {
        "u": draw.tokens(Bt, C, side, side),
        "dt_weight": (draw.weights(K, C, R) / R**0.5).to(getattr(torch, case.precision)),
        **_routes(draw, (Bt, K), R, N, (side, side)),
        **_parameters(draw, K, C, N),
    }
    order = ("u", "low", "dt_weight", "A", "B", "C", "D", "delta_bias")
    return {name: given[name] for name in order}


def _routes(
    draw: _Draw, routes: tuple[int, int], rank: int, N: int, size: tuple[int, ...]
) -> dict[str, Tensor]:
    """Steps' factor, B and C as a mixer has them: slices of one map."""
    low, B, C = draw.tokens(*routes, rank + 2 * N, *size).split([rank, N, N], dim=2)
    return {"low": low, "B": B, "C": C}


def _parameters(draw: _Draw, K: int, C: int, N: int) -> dict[str, Tensor]:
    return {
        "A": draw.decay(K, C, N),
        "D": draw.weights(K, C),
        "delta_bias": draw.weights(K, C),
    }


def _hsm_ssd(case: Case, generator: torch.Generator | None) -> dict[str, Tensor]:
    draw, (C, N, L), Bt = _Draw(case, generator), case.shape, case.batch
    B, Cm, dt = draw.tokens(Bt, 3 * N, L).split(N, dim=1)  # as a mixer has them
    return {
        "u": draw.tokens(Bt, C, L),
        "dt": dt,
        "B": B,
        "C": Cm,
        "A": draw.weights(N),
        "Q": draw.weights(2 * C, C) / C**0.5,
        "O": draw.weights(C, C) / C**0.5,
        "D": draw.weights(1),
    }


def _nc_ssd(case: Case, generator: torch.Generator | None) -> dict[str, Tensor]:
    draw, (heads, p, N, L), Bt = _Draw(case, generator), case.shape, case.batch
    v, B, C = draw.tokens(Bt, heads * p + 2 * N, L).split([heads * p, N, N], dim=1)
    return {
        "v": v,
        "delta": draw.tokens(Bt, heads, L).abs() / L,
        "A_log": draw.weights(heads),
        "B": B,
        "C": C,
        "D": draw.weights(heads),
    }


def _channel_layer_norm(case: Case, generator: torch.Generator | None) -> dict[str, Tensor]:
    draw, (C, side) = _Draw(case, generator), case.shape
    return {
        "x": draw.tokens(case.batch, C, side, side),
        "weight": draw.weights(C),
        "bias": draw.weights(C),
    }


def _depthwise_conv(case: Case, generator: torch.Generator | None) -> dict[str, Tensor]:
    draw, (C, side) = _Draw(case, generator), case.shape
    x = draw.tokens(case.batch, C, side, side)
    return {
        "x": x.contiguous(memory_format=torch.channels_last),
        "weight": draw.tokens(C, 1, 3, 3),
        "bias": draw.tokens(C),
    }


def _pixel_linear(case: Case, generator: torch.Generator | None) -> dict[str, Tensor]:
    draw, (C, out, side, added, sums) = _Draw(case, generator), case.shape
    shape = (case.batch, C, side, side)
    weight = (draw.weights(out, C) / C**0.5).to(getattr(torch, case.precision))
    given = {
        "x": draw.weights(*shape) if sums else draw.tokens(*shape),
        "weight": weight,
        "bias": draw.tokens(out),
    }
    given |= {"total": draw.tokens(case.batch, out, side, side)} if added else {}
    if case.model != "EfficientViM-M2":  # whose maps are channels last
        return given
    last = {
        name: t.contiguous(memory_format=torch.channels_last)
        for name, t in given.items()
        if t.ndim == 4
    }
    return given | last


def _dense_conv(case: Case, generator: torch.Generator | None) -> dict[str, Tensor]:
    draw, (C, width, side) = _Draw(case, generator), case.shape
    x = draw.tokens(case.batch, C, side, side)
    return {
        "x": x.contiguous(memory_format=torch.channels_last),
        "weight": draw.tokens(width, C, 3, 3) / C**0.5,
        "bias": draw.tokens(width),
    }


_INPUTS = {
    "selective_scan": _selective_scan,
    "ss2d_scan": _ss2d_scan,
    "ss2d_scan_low_rank": _ss2d_scan_low_rank,
    "hsm_ssd": _hsm_ssd,
    "nc_ssd": _nc_ssd,
    "channel_layer_norm": _channel_layer_norm,
    "depthwise_conv": _depthwise_conv,
    "dense_conv": _dense_conv,
    "pixel_linear": _pixel_linear,
}
