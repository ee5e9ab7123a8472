"""The depthwise convolution: Triton against torch in float64, and when which of them runs."""

import pytest
import torch

from evnas.errors import KernelUnavailable
from evnas.kernels import depthwise_conv, dispatch

TOLERANCE = {torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}


def draw(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).to(dtype)


def maps(*shape, dtype=torch.float32, channels_last=True):
    kept = torch.channels_last if channels_last else torch.contiguous_format
    return draw(*shape, dtype=dtype).contiguous(memory_format=kept)


def error(x, weight, bias, **options):
    """Relative to the largest entry of the float64 reference."""
    wide = None if bias is None else bias.double()
    want = depthwise_conv(x.double(), weight.double(), wide, **options, impl="reference")
    got = depthwise_conv(x, weight, bias, **options, impl="triton")
    assert got.dtype == x.dtype and got.shape == want.shape
    assert got.is_contiguous(memory_format=torch.channels_last) == (x.stride(1) == 1)
    return ((got - want).abs().max() / want.abs().max()).item()


@pytest.mark.parametrize(
    ("shape", "dtype", "channels_last", "options"),
    [
        ((2, 70, 9, 5), torch.float32, True, {"act": "silu"}),  # past a tile in channels and rows
        ((1, 8, 3, 19), torch.float16, True, {"stride": 2, "act": "relu"}),
        ((1, 3, 8, 66), torch.bfloat16, False, {"act": "gelu"}),  # past a tile in columns
        ((2, 3, 15, 4), torch.float32, False, {"stride": 2}),
        ((1, 2, 1, 1), torch.float32, True, {}),
    ],
    ids=str,
)
def test_triton_agrees_with_reference(shape, dtype, channels_last, options):
    x = maps(*shape, dtype=dtype, channels_last=channels_last)
    C = shape[1]
    found = error(x, draw(C, 1, 3, 3, dtype=dtype), draw(C, dtype=dtype), **options)
    assert found < TOLERANCE[dtype]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, behind the interpreter
def test_slices_and_large_maps():
    x = maps(1, 12, 5, 6)[:, 2:9, 1:, :5] * 1e30
    assert error(x, draw(7, 1, 3, 3), None) < TOLERANCE[torch.float32]
    half = maps(1, 4, 5, 6, dtype=torch.float16) * 20000
    y = depthwise_conv(half, draw(4, 1, 3, 3).half(), impl="triton")
    want = depthwise_conv(half, draw(4, 1, 3, 3).half(), impl="reference")
    assert want.isinf().any() and torch.equal(y.isinf(), want.isinf())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, behind the interpreter
@pytest.mark.parametrize("act", ["none", "relu", "silu", "gelu"])
def test_nan_reaches_its_neighbours_and_no_other_pixel(act):
    x = maps(1, 3, 5, 6)
    x[0, 1, 2, 3], x[0, 2, 0, 0] = float("nan"), float("inf")
    given = (x, draw(3, 1, 3, 3), draw(3))
    y = depthwise_conv(*given, act=act, impl="triton")
    want = depthwise_conv(*given, act=act, impl="reference")
    torch.testing.assert_close(y, want, equal_nan=True)


def test_auto_is_torchs_unless_measured_and_never_with_a_gradient(monkeypatch):
    x, weight = maps(1, 3, 4, 4), draw(3, 1, 3, 3)
    monkeypatch.setattr(dispatch, "implementation_in_use", lambda *_, **__: "triton")
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    with pytest.raises(KernelUnavailable, match="the tensor is on cpu"):
        depthwise_conv(x, weight, impl="triton")
    plain = depthwise_conv(x, weight, impl="cpu")
    weight.requires_grad_()
    assert torch.equal(depthwise_conv(x, weight), plain)
    with pytest.raises(KernelUnavailable, match="has no backward"):
        depthwise_conv(x, weight, impl="triton")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"stride": 3}, "stride must be 1 or 2"), ({"act": "tanh"}, "act must be one of")],
)
def test_what_it_cannot_do_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        depthwise_conv(maps(1, 2, 3, 3), draw(2, 1, 3, 3), **options)
    with pytest.raises(ValueError, match=r"weight must be \(2, 1, 3, 3\)"):
        depthwise_conv(maps(1, 2, 3, 3), draw(3, 1, 3, 3))
