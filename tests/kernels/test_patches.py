"""Whole maps in registers: one state, patches of each shape, and which maps go this way."""

import importlib

import pytest
import torch

from evnas.errors import KernelUnavailable
from evnas.kernels.ss2d_scan.launch import patches

FORWARD = importlib.import_module("evnas.kernels.ss2d_scan.patches.kernel")
GRADIENT = importlib.import_module("evnas.kernels.ss2d_scan.patches.backward.kernel")

TOLERANCE = {torch.float32: 5e-6, torch.float16: 1.5e-3, torch.bfloat16: 1e-2}


def error(call, dtype):
    """The largest, relative to the largest entry that the reference has in float64."""
    call = call.to(dtype)
    (want,) = call.to(torch.float64).outputs("reference")
    (got,) = call.outputs("triton")
    assert got.dtype == torch.float32
    return ((got.double() - want).abs().max() / want.abs().max()).item()


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(
    ("scan", "Dm", "H", "W"),
    [
        ("cross", 3, 57, 3),  # patches across warps, rows and columns past the map, odd lines
        ("cross", 2, 11, 24),  # lines of 4 or 8, three places of four along a row
        ("bidi", 5, 9, 12),
        ("unidi", 1, 7, 16),
    ],
)
def test_maps_in_patches_agree_with_reference(build_scan, scan, Dm, H, W, dtype):
    assert patches(1, Dm, 1, H, W, scan=scan, itemsize=dtype.itemsize) is not None
    assert error(build_scan(scan, 1, 1, Dm, 1, H, W), dtype) < TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
def test_one_kernel_serves_models_with_parameters_in_any_dtype(build_scan, dtype, monkeypatch):
    started = []

    class Noted:
        def __getitem__(self, grid):
            return lambda *given, **options: started.append([t.dtype for t in given[3:8]])

    monkeypatch.setattr(FORWARD, "_patches_fwd", Noted())
    inputs = build_scan("cross", 1, 1, 2, 1, 7, 8).to(torch.float16).inputs
    of_model = {name: inputs[name].to(dtype) for name in ("A", "D", "delta_bias")}
    FORWARD.scan_patches(
        tuple((inputs | of_model).values()), patches(1, 2, 1, 7, 8, scan="cross", itemsize=2)
    )
    half, wide = torch.float16, torch.float32
    assert started == [[wide, half, half, wide, wide]]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_small_steps_keep_their_digits(build_scan, dtype):
    """Steps near e^-12: adding their exponentials to 1 would leave two or three digits."""
    call = build_scan("cross", 1, 1, 2, 1, 8, 8)
    call.inputs["delta"].clamp_(-1.0, 1.0).sub_(12.0)
    call.inputs["delta_bias"].zero_()
    call.inputs["D"].zero_()
    assert error(call, dtype) < TOLERANCE[dtype]


@pytest.mark.parametrize("delta", [-200.0, 200.0])
def test_extreme_steps_stay_finite(build_scan, delta):
    call = build_scan("cross", 1, 1, 1, 1, 8, 8)
    call.inputs["delta"].fill_(delta)
    assert error(call, torch.float32) < TOLERANCE[torch.float32]


@pytest.mark.parametrize("itemsize", [2, 4])
@pytest.mark.parametrize(("H", "W"), [(1, 1), (7, 7), (56, 56), (64, 64), (13, 40), (57, 3)])
def test_patches_cover_a_map(H, W, itemsize):
    plan = patches(4, 96, 1, H, W, scan="cross", itemsize=itemsize)
    assert plan is not None
    sizes = plan.constants
    assert sizes["G2"] * sizes["G1"] * sizes["R"] >= H > 0
    assert sizes["C"] * sizes["V"] >= W and W % sizes["V"] == 0
    assert sizes["G1"] * sizes["C"] <= 32 and 1 <= plan.num_warps <= 8
    assert plan.grid == (4 * -(-96 // sizes["BD"]),)


@pytest.mark.parametrize(
    ("N", "H", "W", "scan"),
    [(2, 8, 8, "cross"), (1, 8, 8, "rows"), (1, 8, 8, "atrous"), (1, 128, 128, "cross")],
)
def test_other_scans_go_by_strips(N, H, W, scan):
    assert patches(1, 8, N, H, W, scan=scan, itemsize=2) is None


def gradient_errors(call, dtype):
    """Of each output and gradient, relative to the largest entry of the float64 reference."""
    call = call.to(dtype)
    want = call.to(torch.float64).gradients("reference")
    got = call.gradients("triton_patches")
    for name, t in call.leaves().items():
        assert got[f"gradient of {name}"].dtype == t.dtype
        assert got[f"gradient of {name}"].shape == t.shape
    return {
        name: ((got[name].double() - g).abs().max() / g.abs().max().clamp(min=1e-30)).item()
        for name, g in want.items()
    }


@pytest.mark.parametrize(
    ("scan", "Bt", "Dm", "H", "W", "dtype"),
    [
        ("cross", 1, 5, 57, 3, torch.float32),  # patches across warps, rows and lanes past the map
        ("cross", 1, 6, 3, 12, torch.float16),
        ("cross", 1, 2, 8, 8, torch.bfloat16),  # patches that cover the map and no more
        ("bidi", 2, 2, 3, 5, torch.float32),
        ("unidi", 1, 1, 1, 2, torch.float32),
    ],
    ids=str,
)
def test_gradients_of_maps_in_patches_agree_with_reference(
    build_scan, scan, Bt, Dm, H, W, dtype, monkeypatch
):
    monkeypatch.setattr(GRADIENT, "CHANNELS", 4)  # of five: two turns of two, and a part more
    bound = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}[dtype]
    found = gradient_errors(build_scan(scan, 1, Bt, Dm, 1, H, W), dtype)
    assert max(found.values()) < bound, found


@pytest.mark.parametrize(("delta", "scale"), [(-200.0, 1.0), (30.0, 100.0)])
def test_gradients_of_extreme_steps_and_large_maps_agree(build_scan, delta, scale):
    call = build_scan("cross", 1, 1, 1, 1, 2, 8)
    call.inputs["delta"].add_(delta)
    for name in ("u", "B", "C"):
        call.inputs[name].mul_(scale)
    found = gradient_errors(call, torch.float32)
    assert max(found.values()) < 2e-5, found


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, behind the interpreter
def test_what_is_not_finite_reaches_the_gradients_that_it_reaches_in_plain_torch(build_scan):
    call = build_scan("cross", 1, 1, 2, 1, 4, 6).to(torch.float32)
    call.inputs["u"][0, 1, 2, 3] = float("nan")
    call.inputs["C"][0, 2, 0, 3, 0] = float("inf")
    want, got = call.gradients("cpu"), call.gradients("triton_patches")
    for name, g in want.items():
        assert torch.equal(got[name].isfinite(), g.isfinite()), name


def test_a_map_that_patches_do_not_hold_is_refused_by_name(build_scan):
    with pytest.raises(KernelUnavailable, match=r"with one state.* not for 2 states"):
        build_scan("cross", 1, 1, 1, 2, 4, 4).to(torch.float32).outputs("triton_patches")
