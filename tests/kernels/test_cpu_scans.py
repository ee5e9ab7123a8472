"""The CPU scans where their paths part: square and other maps, one and several states, chunks,
strong and weak decay, and both ways to softplus.
"""

import importlib
import math

import pytest
import torch

from evnas.kernels import softplus as softplus_module
from evnas.kernels.softplus import LOG2_E, softplus, softplus_slope

SCAN = importlib.import_module("evnas.kernels.ss2d_scan.cpu")

# Largest error relative to the largest entry of the float64 reference, at least 1.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5, torch.bfloat16: 1.6e-2}
SIZES = [(1, 1), (7, 7), (7, 5), (5, 16), (16, 16), (1, 13), (31, 2)]
SCANS = [("cross", 1), ("bidi", 1), ("rows", 1), ("atrous", 2)]


def assert_agrees(call, dtype=torch.float32):
    call = call.to(dtype)
    got, want = call.gradients("cpu"), call.to(torch.float64).gradients("reference")
    for name, expected in want.items():
        scale = expected.abs().max().clamp(min=1.0)
        error = ((got[name].double() - expected).abs().max() / scale).item()
        assert error <= TOLERANCE[dtype], f"{name}: error {error:.2e} of {scale:.2e}"


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("scan", SCANS, ids=lambda s: s[0])
def test_maps_of_any_shape(build_scan, scan, size):
    assert_agrees(build_scan(*scan, 2, 3, 1, *size))


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("N", [1, 3])
def test_planes_of_a_square_map_together(build_scan, dtype, N):
    assert_agrees(build_scan("cross", 1, 1, 5, N, 9, 9), dtype)


@pytest.mark.parametrize("N", [1, 2])
def test_chunks_of_channels_and_images(build_scan, monkeypatch, N):
    monkeypatch.setattr(SCAN, "CHUNK_ELEMENTS", 3 * 4 * 16)
    monkeypatch.setattr(SCAN, "CACHED_ELEMENTS", 3 * 4 * 16)
    parts = list(SCAN._chunks(torch.empty(2, 7, 4, 4), 4, N))
    assert [c.start for _, c in parts] == [0, 3, 6] * 2
    assert_agrees(build_scan("cross", 1, 2, 7, N, 4, 4))


@pytest.mark.parametrize("shift", [-20.0, 0.0, 30.0, 100.0])
def test_weak_and_strong_decay(build_scan, shift):
    """Steps from vanishing to far above what a float32 exponential holds."""
    call = build_scan("cross", 1, 1, 2, 1, 16, 16)
    call.inputs["delta"] = call.inputs["delta"] + shift
    assert_agrees(call)


@pytest.mark.parametrize("vectorised", [True, False], ids=["numpy", "torch"])
def test_softplus_is_accurate_for_small_results_too(monkeypatch, vectorised):
    monkeypatch.setattr(softplus_module, "_numpy_is_fast", lambda x: vectorised)
    for z in (torch.linspace(-30, 30, 4001), torch.linspace(-30, 200, 501)):
        bits = z * LOG2_E
        want = torch.nn.functional.softplus(bits.double() / LOG2_E)
        error = ((softplus(bits, torch.empty_like(z)).double() - want) / want).abs().max().item()
        assert error < 2e-6
        slope = softplus_slope(bits, torch.empty_like(z)).double()
        assert (slope - torch.sigmoid(z.double())).abs().max().item() < 2e-6


@pytest.mark.parametrize("vectorised", [True, False], ids=["numpy", "torch"])
def test_softplus_keeps_what_is_not_finite(monkeypatch, vectorised):
    monkeypatch.setattr(softplus_module, "_numpy_is_fast", lambda x: vectorised)
    z = torch.tensor([math.nan, math.inf, -math.inf, 0.0])
    y = softplus(z, torch.empty_like(z))
    assert y[0].isnan() and y[1] == math.inf and y[2] == 0
    assert y[3].item() == pytest.approx(math.log(2))
