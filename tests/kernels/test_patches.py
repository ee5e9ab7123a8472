"""Whole maps in registers: one state, patches of each shape, and which maps go this way."""

import pytest
import torch

from evnas.kernels.ss2d_scan.launch import patches

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
