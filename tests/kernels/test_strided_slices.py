"""Kernels of the state-space duals and of the scans read slices of a larger map as they lie:
nothing is copied.
"""

import importlib

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from evnas import kernels
from evnas.kernels.operator import BODIES
from evnas.kernels.ss2d_scan.launch import by_route

CONTRACTION = importlib.import_module("evnas.kernels.contraction.kernel")
KERNELS = {
    "hsm_ssd": importlib.import_module("evnas.kernels.hsm_ssd.kernel"),
    "nc_ssd": importlib.import_module("evnas.kernels.nc_ssd.kernel"),
    "scan": importlib.import_module("evnas.kernels.ss2d_scan.kernel"),
    "its gradient": importlib.import_module("evnas.kernels.ss2d_scan.backward.kernel"),
    "patches": importlib.import_module("evnas.kernels.ss2d_scan.patches.kernel"),
    "their gradient": importlib.import_module("evnas.kernels.ss2d_scan.patches.backward.kernel"),
}


class Copies(TorchDispatchMode):
    """Copies of tensors of `rows` tokens' worth."""

    def __init__(self, size):
        super().__init__()
        self.size, self.found = size, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func._opname in ("clone", "_to_copy", "copy_") and result.numel() in self.size:
            self.found.append((func._opname, tuple(result.shape)))
        return result


class Launched:
    """Stands for a kernel: it runs nothing, so that only the launcher's copies are seen."""

    def __getitem__(self, grid):
        return lambda *args, **options: None


@pytest.fixture
def nothing_runs(monkeypatch):
    for module in (CONTRACTION, *KERNELS.values()):
        for name, value in vars(module).items():
            if name.startswith("_") and hasattr(value, "fn"):
                monkeypatch.setattr(module, name, Launched())


def sliced(*rows, L=9):
    t = torch.randn(2, sum(rows), L)
    return torch.split(t, list(rows), dim=1)


def test_hsm_ssd_copies_no_slice(nothing_runs):
    C, N, L = 12, 5, 9
    B, Cm, dt = sliced(N, N, N)
    given = (torch.randn(2, C, L), dt, B, Cm, None, torch.randn(2 * C, C), torch.randn(C, C))
    weights = (*given[4:], torch.ones(1))
    with Copies({2 * N * L, 2 * C * L}) as copies:
        y, h, states, hz, log_sum = BODIES["hsm_ssd"](*given[:4], *weights, 1, "triton")
        cotangents = (y, h, *given[:4], *weights[1:], h, states, hz, log_sum)
        BODIES["hsm_ssd_backward"](*cotangents, 1, "triton")
    assert copies.found == []
    assert states.is_contiguous() and states.shape == (2, N, C)


def test_nc_ssd_copies_no_slice(nothing_runs):
    heads, p, N, L = 2, 6, 5, 9
    v, B, Cm = sliced(heads * p, N, N)
    given = (v, torch.rand(2, heads, L), torch.ones(heads), B, Cm, torch.ones(heads))
    with Copies({2 * N * L, v.numel()}) as copies:
        y, state = BODIES["nc_ssd"](*given, "triton")
        BODIES["nc_ssd_backward"](y, state, *given, state, "triton")
    assert copies.found == []


def test_an_offset_past_int32_is_copied():
    assert CONTRACTION.strided(torch.empty(1, 4, 3, device="meta"))[1] == (12, 3, 1)
    apart = torch.empty(1, device="meta").as_strided((2, 3, 3), (9, 2**30, 1))
    assert CONTRACTION.strided(apart)[1] == (9, 3, 1)


SCANS = [
    ("ss2d_scan", "triton", 1, (3, 5)),  # forward by patches, backward by tiles
    ("ss2d_scan", "triton_patches", 1, (3, 4)),
    ("ss2d_scan", "triton", 2, (2, 3)),
    ("ss2d_scan_low_rank", "triton_fused", 1, (3, 4)),
    ("ss2d_scan_low_rank", "triton_fused", 2, (2, 3)),
    ("selective_scan", "triton", 2, (7,)),
]
IMAGES, ROUTES, CHANNELS, RANK = 2, 4, 3, 5


def draw(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def arguments(op, states, size, dtype):
    """The map that step's factor, B and C are slices of, and everything else by name."""
    q = draw(IMAGES, ROUTES, RANK + 2 * states, *size).to(dtype)
    others = {"A": -draw(ROUTES, CHANNELS, states).exp()}
    others |= {name: draw(ROUTES, CHANNELS) for name in ("D", "delta_bias")}
    if op == "selective_scan":
        others = {name: t.flatten(0, 1) for name, t in others.items()}
        tokens = draw(IMAGES, ROUTES * CHANNELS, *size).to(dtype)
        return q, {"x": tokens, "delta": tokens.cos(), **others}
    others["u"] = draw(IMAGES, CHANNELS, *size).to(dtype)
    if op == "ss2d_scan":
        others["delta"] = draw(IMAGES, ROUTES, CHANNELS, *size).to(dtype)
    else:
        others["dt_weight"] = draw(ROUTES, CHANNELS, RANK).to(dtype)
    return q, others


def sliced_routes(q, states, op):
    low, B, C = torch.split(q, [RANK, states, states], dim=2)
    return {"B": B, "C": C} | ({"low": low} if op == "ss2d_scan_low_rank" else {})


def scanned(op, impl, states, q, others, *, copied):
    """The result and the gradients of everything, with slices of q or copies of them."""
    q, others = q.clone().requires_grad_(), {n: t.requires_grad_() for n, t in others.items()}
    slices = sliced_routes(q, states, op)
    if copied:
        slices = {name: t.contiguous() for name, t in slices.items()}
    options = {"delta_softplus": True} if op == "selective_scan" else {"scan": "cross"}
    y = getattr(kernels, op)(**others, **slices, **options, impl=impl)
    return y, *torch.autograd.grad(y, [q, *others.values()], draw(*y.shape))


HALVES = [scan for scan in SCANS if scan[3] in ((2, 3), (7,))]
"""Of tiles, which the interpreter runs in a tenth of the time of patches: addresses are worked out
alike in all dtypes."""
IN_DTYPES = [(*scan, torch.float32) for scan in SCANS] + [
    (*scan, dtype) for scan in HALVES for dtype in (torch.float16, torch.bfloat16)
]


@pytest.mark.parametrize(("op", "impl", "states", "size", "dtype"), IN_DTYPES, ids=str)
def test_slices_of_routes_give_what_copies_of_them_give(op, impl, states, size, dtype):
    given = op, impl, states, *arguments(op, states, size, dtype)
    for got, want in zip(scanned(*given, copied=False), scanned(*given, copied=True), strict=True):
        assert torch.equal(got, want)


@pytest.mark.parametrize(("op", "impl", "states", "size"), SCANS, ids=str)
def test_a_scan_copies_no_slice(op, impl, states, size, nothing_runs):
    q, others = arguments(op, states, size, torch.float32)
    by_name = others | sliced_routes(q, states, op)
    order = getattr(torch.ops.evnas, op).default._schema
    given = [by_name[a.name] for a in order.arguments if a.name in by_name]
    options = {
        "ss2d_scan": ("cross", 1, impl),
        "ss2d_scan_low_rank": ("cross", 1),
        "selective_scan": (True, impl),
    }[op]
    per_map = IMAGES * ROUTES * by_name["B"][0, 0, 0].numel()
    with Copies({per_map * states, per_map * RANK}) as copies:
        y = BODIES[op](*given, *options)
        BODIES[f"{op}_backward"](y, *given, *options)
    assert copies.found == []


def test_routes_at_no_one_distance_are_copied():
    q = draw(2, 4, 6, 3, 5)
    for even in (q, q[:, :, 1:3], q[:, ::2, 1:3], q[:1, :3]):
        maps, apart = by_route(even)
        assert maps.data_ptr() == even.data_ptr() and apart * 15 == even.stride(1)
    for uneven in (q[:, :3], q[:, :, ::2], q.mT, q[..., 1:]):
        maps, apart = by_route(uneven)
        assert maps.is_contiguous() and apart == uneven.shape[2]
