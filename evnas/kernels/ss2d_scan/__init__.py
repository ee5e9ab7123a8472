"""The two-dimensional selective scans of VMamba (SS2D) and EfficientVMamba (ES2D)."""

from collections.abc import Sequence

from torch import Tensor

from evnas.errors import KernelUnavailable
from evnas.kernels.dispatch import Impl, choose
from evnas.kernels.onnx_form.exporting import as_one_node
from evnas.kernels.operator_inputs import MapInputs

from .launch import adjoint_patches
from .onnx_form import ss2d_scan_onnx_form
from .op import ss2d_scan_op
from .reference import ss2d_scan_reference
from .routes import SCANS, Scan, route_count


def ss2d_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor,
    *,
    scan: Scan,
    step: int = 1,
    impl: Impl = "auto",
) -> Tensor:
    """Scan one map along K routes, each with its own recurrence, and sum the results per pixel.

    Route k walks the pixels in its order (`routes.scan_orders`) with h = exp(dt A) h + dt B u,
    y = <C, h> + D u, dt = softplus(delta + delta_bias), from h = 0; each y returns to its pixel.
    Everything comes in pixel order: no route's copy of a map is needed. The state is float32
    (float64 where an input is float64) for any input dtype, and the inputs may differ in dtype,
    so autocast has nothing to cast here.

    `scan`: "unidi", "bidi" and "cross" have K = 4 routes over the whole map. "rows" ("cols") has
    K = 2: every row (column) is a sequence of its own with a fresh state, walked forward by route
    0 and backward by route 1, whose result is *not* flipped back: what it computes at step t goes
    to the t-th pixel; two such passes make the cascade. "atrous" walks the step * step phases of
    a map, zero-padded at the bottom and right to a multiple of `step`: route k holds the pixels
    (k % step + i * step, k // step + j * step), by row for even k and by column for odd k. Padded
    pixels take part with u, delta, B and C of zero, so the state decays over them. Step 2 is the
    published ES2D; other steps extend its rule and are ours; step 1 is one route by row.

    Args:
        u: one map, (Bt, Dm, H, W).
        delta: step size per route before bias and softplus, (Bt, K, Dm, H, W).
        A: continuous decay, (K, Dm, N), negative already: -exp(A_log); 1 <= N <= 64.
        B: input matrix, (Bt, K, N, H, W).
        C: output matrix, (Bt, K, N, H, W).
        D: skip, (K, Dm).
        delta_bias: (K, Dm).
        scan: one of `routes.SCANS`.
        step: p of ES2D; 1 for every other scan.
        impl: "auto", or an implementation by name, which runs or raises; "triton_patches" is
            "triton" with a backward that holds whole maps in registers.

    Returns:
        y: (Bt, Dm, H, W), float32 (float64 where an input is float64): a sum over states and
        routes may be too large for half precision, and a norm comes next.

    Raises:
        ValueError: unknown scan, or shapes that do not fit one another.
        KernelUnavailable: `impl` names a kernel that cannot run on these tensors.

    Source: VMamba, arXiv 2401.10166, Sec. 4.2 (SS2D), Table 10 (scan patterns); EfficientVMamba,
    arXiv 2403.09977, Sec. 4.1 (ES2D).
    """
    given = (u, delta, A, B, C, D, delta_bias)
    check_shapes([t.shape for t in given], scan, step)
    if as_one_node():
        return ss2d_scan_onnx_form(given, scan=scan, step=step)
    if impl == "triton_patches":
        _check_patches(given, scan)
    impl = choose("ss2d_scan", impl, given, states=A.shape[2])
    if impl == "reference":
        return ss2d_scan_reference(given, scan=scan, step=step)
    y: Tensor = ss2d_scan_op(*given, scan, step, impl)
    return y


def _check_patches(given: MapInputs, scan: str) -> None:
    (Bt, Dm, H, W), N = given[0].shape, given[2].shape[2]
    if adjoint_patches(Bt, Dm, N, H, W, scan=scan) is None:
        raise KernelUnavailable(
            "impl='triton_patches' was asked for, but it is for whole maps of up to about 64 x 64 "
            f"pixels with one state, walked along K = 4 routes, not for {N} states of scan "
            f"{scan!r} over maps {(H, W)}"
        )


def check_shapes(shapes: Sequence[Sequence[int]], scan: str, step: int) -> None:
    """Refuse shapes of `ss2d_scan`'s inputs that do not fit one another, as it says."""
    u, delta, A, B, C, D, delta_bias = shapes
    if scan not in SCANS:
        raise ValueError(f"scan must be one of {SCANS}, got {scan!r}")
    if step < 1 or (step > 1 and scan != "atrous"):
        raise ValueError(
            f"step must be >= 1, and 1 for any scan but 'atrous', got {step} for {scan!r}"
        )
    if len(u) != 4 or min(u[1:]) == 0:
        raise ValueError(f"u must be (Bt, Dm, H, W) of pixels, got {tuple(u)}")
    (Bt, Dm, H, W), K = u, route_count(scan, step)
    N = A[2] if len(A) == 3 else 0
    if not 1 <= N <= 64:
        raise ValueError(f"A must be (K, Dm, N) with 1 <= N <= 64, got {tuple(A)}")
    expected = (
        ("delta", delta, (Bt, K, Dm, H, W)),
        ("A", A, (K, Dm, N)),
        ("B", B, (Bt, K, N, H, W)),
        ("C", C, (Bt, K, N, H, W)),
        ("D", D, (K, Dm)),
        ("delta_bias", delta_bias, (K, Dm)),
    )
    for name, found, shape in expected:
        if tuple(found) != shape:
            raise ValueError(
                f"{name} must be {shape} for {K} routes of scan {scan!r} over u "
                f"{tuple(u)}, got {tuple(found)}"
            )
