"""Exact multiply counts of the operators, for counters that see each as a single operation.

A MAC is one multiplication, with or without the addition that follows it; exponentials, divisions
and additions alone count nothing. Papers count otherwise: their conventions are not here.
Importing this module also registers the counts, times two, with torch's FlopCounterMode.
"""

from collections.abc import Callable, Sequence

import torch
from torch.utils.flop_counter import register_flop_formula

from .channel_layer_norm.op import channel_layer_norm_op as _norm  # noqa: F401 - registers it
from .hsm_ssd.op import hsm_ssd_op as _hsm  # noqa: F401 - registers it
from .nc_ssd.op import nc_ssd_op as _nc  # noqa: F401 - registers it
from .selective_scan.op import selective_scan_op as _scan  # noqa: F401 - registers it
from .ss2d_scan.op import ss2d_scan_op as _ss2d  # noqa: F401 - registers it

Shape = Sequence[int]


def _scan_macs(steps: int, N: int, skip: bool) -> int:
    """`steps` counts (image, channel, route, position); 4 multiplies a state, and dt x, D x."""
    return steps * (4 * N + 1 + skip)


def _scan_backward_macs(steps: int, N: int, skip: bool) -> int:
    """States are recomputed: 13 multiplies a state, and those of dt, x, D and the softplus."""
    return steps * (13 * N + 4 + 2 * skip)


def _ss2d_steps(u: Shape, A: Shape, scan: str, step: int) -> int:
    Bt, Dm, H, W = u
    length = -(-H // step) * -(-W // step) if scan == "atrous" else H * W
    return Bt * A[0] * Dm * length


def selective_scan_macs(
    x: Shape,
    delta: Shape,
    A: Shape,
    B: Shape,
    C: Shape,
    D: Shape | None,
    delta_bias: Shape | None,
    delta_softplus: bool,
    impl: str,
) -> int:
    """4 N + 1 a step, one more with D."""
    return _scan_macs(x[0] * x[1] * x[2], A[1], D is not None)


def selective_scan_backward_macs(
    gy: Shape,
    x: Shape,
    delta: Shape,
    A: Shape,
    B: Shape,
    C: Shape,
    D: Shape | None,
    delta_bias: Shape | None,
    delta_softplus: bool,
    impl: str,
) -> int:
    """13 N + 4 a step, two more with D."""
    return _scan_backward_macs(x[0] * x[1] * x[2], A[1], D is not None)


def ss2d_scan_macs(
    u: Shape,
    delta: Shape,
    A: Shape,
    B: Shape,
    C: Shape,
    D: Shape,
    delta_bias: Shape,
    scan: str,
    step: int,
    impl: str,
) -> int:
    """4 N + 2 a step of a route; padded pixels of "atrous" are steps."""
    return _scan_macs(_ss2d_steps(u, A, scan, step), A[2], True)


def ss2d_scan_backward_macs(
    gy: Shape,
    u: Shape,
    delta: Shape,
    A: Shape,
    B: Shape,
    C: Shape,
    D: Shape,
    delta_bias: Shape,
    scan: str,
    step: int,
    impl: str,
) -> int:
    """13 N + 6 a step of a route."""
    return _scan_backward_macs(_ss2d_steps(u, A, scan, step), A[2], True)


def hsm_ssd_compress_macs(
    u: Shape, dt: Shape, B: Shape, A: Shape | None, heads: int, impl: str
) -> int:
    """K = G * B per head, then h0 = u K^T."""
    (Bt, C, L), N = u, B[1]
    return Bt * L * N * (heads + C)


def hsm_ssd_compress_backward_macs(
    gh0: Shape, h0: Shape, u: Shape, dt: Shape, B: Shape, log_sum: Shape, heads: int, impl: str
) -> int:
    """Two products of the size of the forward's; K, dB, dG and dG * G a state, and the rest."""
    (Bt, C, L), N = u, B[1]
    return Bt * L * (N * (2 * C + 3 * heads) + 2 * dt[1])


def hsm_ssd_expand_macs(h: Shape, C: Shape, impl: str) -> int:
    """y = h C."""
    return h[0] * h[1] * h[2] * C[2]


def hsm_ssd_expand_backward_macs(gy: Shape, h: Shape, C: Shape, impl: str) -> int:
    """Two products of the size of the forward's."""
    return 2 * hsm_ssd_expand_macs(h, C, impl)


def hsm_ssd_macs(
    u: Shape,
    dt: Shape,
    B: Shape,
    C: Shape,
    A: Shape | None,
    Q: Shape,
    O: Shape,  # noqa: E741 - the paper's letter
    D: Shape,
    heads: int,
    impl: str,
) -> int:
    """Compress and expand, Q h0 and O h, and SiLU(z), its product with h1, and D h1."""
    (Bt, Ch, _), N, Ci = u, B[1], O[1]
    outer = hsm_ssd_compress_macs(u, dt, B, A, heads, impl)
    outer += hsm_ssd_expand_macs((Bt, Ch, N), C, impl)
    return outer + Bt * N * Ci * (3 * Ch + 3)


def hsm_ssd_backward_macs(
    gy: Shape,
    gh: Shape,
    u: Shape,
    dt: Shape,
    B: Shape,
    C: Shape,
    Q: Shape,
    O: Shape,  # noqa: E741 - the paper's letter
    D: Shape,
    h: Shape,
    h0: Shape,
    hz: Shape,
    log_sum: Shape,
    heads: int,
    impl: str,
) -> int:
    """The adjoints of the three parts."""
    (Bt, Ch, _), N, Ci = u, B[1], O[1]
    outer = hsm_ssd_compress_backward_macs(h0, h0, u, dt, B, log_sum, heads, impl)
    outer += hsm_ssd_expand_backward_macs(gy, (Bt, Ch, N), C, impl)
    return outer + Bt * N * Ci * (6 * Ch + 7)


def nc_ssd_macs(
    v: Shape, delta: Shape, A_log: Shape, B: Shape, C: Shape, D: Shape, impl: str
) -> int:
    """gamma, gamma v and D v, then the state and the read-out over every head."""
    (Bt, Ci, L), heads, N = v, delta[1], B[1]
    return Bt * L * (heads + 2 * Ci + 2 * Ci * N)


def nc_ssd_backward_macs(
    gy: Shape,
    g_state: Shape,
    v: Shape,
    delta: Shape,
    A_log: Shape,
    B: Shape,
    C: Shape,
    D: Shape,
    state: Shape,
    impl: str,
) -> int:
    """Four products of the size of the state's, five multiplies a value, three a weight."""
    (Bt, Ci, L), heads, N = v, delta[1], B[1]
    return Bt * L * (3 * heads + 5 * Ci + 4 * Ci * N)


def channel_layer_norm_macs(
    x: Shape, weight: Shape | None, bias: Shape | None, eps: float, impl: str
) -> int:
    """The square and the scaling of each entry, and the weight's product where there is one."""
    return torch.Size(x).numel() * (2 + (weight is not None))


def channel_layer_norm_backward_macs(
    gy: Shape, x: Shape, weight: Shape | None, eps: float, impl: str
) -> int:
    """Square, scaling, two products with the normal, and two more; and the weight's product."""
    return torch.Size(x).numel() * (6 + (weight is not None))


_FORMULAS: tuple[Callable[..., int], ...] = (
    selective_scan_macs,
    selective_scan_backward_macs,
    ss2d_scan_macs,
    ss2d_scan_backward_macs,
    hsm_ssd_compress_macs,
    hsm_ssd_compress_backward_macs,
    hsm_ssd_expand_macs,
    hsm_ssd_expand_backward_macs,
    hsm_ssd_macs,
    hsm_ssd_backward_macs,
    nc_ssd_macs,
    nc_ssd_backward_macs,
    channel_layer_norm_macs,
    channel_layer_norm_backward_macs,
)

MACS: dict[str, Callable[..., int]] = {
    f"evnas.{formula.__name__.removesuffix('_macs')}.default": formula for formula in _FORMULAS
}
"""Operator overload (`str(torch.ops.evnas.nc_ssd.default)`) -> its MACs, called with the
operator's own arguments in order, shapes in place of tensors."""


def _register(overload: str, formula: Callable[..., int]) -> None:
    def flops(*shapes: object, out_shape: object = None) -> int:
        return 2 * formula(*shapes)

    packet = getattr(torch.ops.evnas, overload.split(".")[1])
    register_flop_formula(packet)(flops)


for _overload, _formula in MACS.items():
    _register(_overload, _formula)
