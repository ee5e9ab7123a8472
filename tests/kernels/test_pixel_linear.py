"""The linear map of pixels: Triton against torch in float64, and where deployed models take it."""

from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from evnas import deploy
from evnas.blocks.deployment.joined import JoinedBlock, JoinedLinear, JoinedMlp
from evnas.blocks.norms import norms
from evnas.blocks.vss import VssBlock
from evnas.errors import KernelUnavailable
from evnas.kernels import dispatch, pixel_linear
from evnas.mixers.ss2d.module import Ss2d

TOLERANCE = {torch.float32: 3e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


def draw(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).to(dtype)


def inputs(shape, out, dtype, *, of_sums=False, added=False, layout=torch.contiguous_format):
    B, C, H, W = shape
    x = (2 * draw(*shape) + 0.5).to(torch.float32 if of_sums else dtype)
    weight = draw(out, C) / C**0.5
    total = draw(B, out, H, W, dtype=dtype).contiguous(memory_format=layout) if added else None
    x = x.contiguous(memory_format=layout)
    return {"x": x, "weight": weight.to(dtype), "bias": draw(out).to(dtype), "total": total}


def error(given, **options):
    """Relative to the largest entry of the float64 reference."""
    wide: dict[str, Any] = {n: None if t is None else t.double() for n, t in given.items()}
    want = pixel_linear(**wide, **options, impl="reference")
    got = pixel_linear(**given, **options, impl="triton")
    assert got.dtype == given["weight"].dtype and got.shape == want.shape
    return ((got - want).abs().max() / want.abs().max()).item()


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(
    ("shape", "out", "norm", "act", "options"),
    [
        ((2, 70, 5, 7), 33, True, "none", {}),  # several blocks of channels, the last in part
        ((1, 40, 3, 23), 130, True, "gelu", {}),  # past a tile in channels and in pixels
        ((2, 17, 3, 5), 17, True, "none", {"of_sums": True, "added": True}),
        ((2, 36, 3, 3), 9, False, "relu", {"added": True, "layout": torch.channels_last}),
        ((2, 20, 3, 3), 9, True, "silu", {"layout": torch.channels_last}),
        ((1, 1, 1, 1), 1, False, "none", {}),
    ],
    ids=str,
)
def test_triton_agrees_with_reference(shape, out, norm, act, options, dtype):
    given = inputs(shape, out, dtype, **options)
    assert error(given, norm=norm, act=act) < TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_a_mean_far_from_zero_keeps_the_digits_that_it_left(dtype):
    given = inputs((1, 70, 3, 5), 8, dtype)
    given["x"] = given["x"] + 1000  # which rounds x by itself, before both sides see it
    assert error(given, norm=True) < (2e-4 if dtype == torch.float32 else 2e-3)


def test_sums_beyond_half_precision_are_normalised():
    given = inputs((1, 17, 2, 3), 5, torch.float16, of_sums=True)
    given["x"] = given["x"] * 1e6
    assert error(given, norm=True) < TOLERANCE[torch.float16]


def test_layouts_and_slices():
    given = inputs((2, 12, 4, 3), 6, torch.float32, added=True, layout=torch.channels_last)
    y = pixel_linear(**given, impl="triton")
    assert y.is_contiguous(memory_format=torch.channels_last)
    with FakeTensorMode() as fake:
        shapes = [fake.from_tensor(t) for t in given.values()]
        assert torch.ops.evnas.pixel_linear(*shapes, False, "none").stride() == y.stride()
    given["x"] = draw(2, 20, 6, 4)[:, 4:16, 1:5, :3]  # rows that do not follow one another
    assert error(given) < TOLERANCE[torch.float32]
    given["x"] = draw(2, 20, 4, 3)[:, 4:16]
    given["total"] = given["total"].contiguous()
    assert error(given) < TOLERANCE[torch.float32]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, behind the interpreter
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("what", [float("nan"), float("inf")])
def test_nan_stays_in_its_pixel(norm, what):
    given = inputs((1, 20, 3, 5), 4, torch.float32)
    given["x"][0, 3, 1, 2] = what
    y = pixel_linear(**given, norm=norm, impl="triton")
    plain = pixel_linear(**given, norm=norm, impl="reference")
    assert torch.equal(y.isfinite(), plain.isfinite())


def test_auto_is_torchs_unless_measured_and_never_with_a_gradient(monkeypatch):
    given = inputs((1, 3, 2, 2), 4, torch.float32)
    assert torch.equal(pixel_linear(**given), pixel_linear(**given, impl="cpu"))
    given["weight"].requires_grad_()
    with pytest.raises(KernelUnavailable, match="has no backward"):
        pixel_linear(**given, impl="triton")
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    with torch.no_grad(), pytest.raises(KernelUnavailable, match="the tensor is on cpu"):
        pixel_linear(**given, impl="triton")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"act": "tanh"}, "act must be one of"),
        ({"weight": draw(4, 2)}, r"weight must be \(C', 3\)"),
        ({"x": draw(1, 3, 2)}, "x must be"),
        ({"x": draw(1, 3, 2, 2).half()}, "x must be torch.float32"),
        ({"total": draw(1, 3, 2, 2)}, r"total must be \(1, 4, 2, 2\)"),
    ],
)
def test_what_it_cannot_do_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        pixel_linear(**(inputs((1, 3, 2, 2), 4, torch.float32) | change))


def test_counts():
    given = [t.to("meta") for t in inputs((2, 3, 4, 5), 6, torch.float32, added=True).values()]
    with FlopCounterMode(display=False) as counter:
        torch.ops.evnas.pixel_linear(*given, True, "gelu")
    assert counter.get_total_flops() == 2 * 2 * 20 * 3 * 6


def block(**changes):
    torch.manual_seed(0)
    options: dict[str, Any] = dict(
        d_state=1, ssm_ratio=1.0, dt_rank="auto", conv=True, conv_bias=False
    )
    options |= dict(gate=False, act="silu", init="mamba", scan="cross") | changes
    made = VssBlock(
        8, Ss2d(8, **options, norms=norms("partial_ln")), mlp_ratio=2.0, norms=norms("partial_ln")
    )
    for parameter in made.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter)  # weights and biases of norms too
    return made


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_a_deployed_block_takes_four_kernels_under_their_name(layout):
    plain = block().eval()
    x = draw(2, 8, 3, 4)
    ours = deploy(plain, layout=layout)
    assert JoinedBlock in {type(module) for module in ours.modules()}
    joined = [module for module in ours.modules() if type(module) is JoinedLinear]
    with torch.inference_mode():
        want, unfused = plain(x)[0], ours(x)[0]
        for module in joined:
            module.impl = "triton"
        with dispatch.noted() as asked:
            got = ours(x)[0]
    assert [q.impl for q in asked if q.op_name == "pixel_linear"] == ["triton"] * 4
    torch.testing.assert_close(unfused, want, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


def test_a_gate_keeps_its_norm_and_the_mlp_is_joined():
    plain = block(gate=True).eval()
    ours = deploy(plain)
    found = next(module for module in ours.modules() if type(module) is VssBlock)
    assert isinstance(found.get_submodule("mlp"), JoinedMlp)
    x = draw(2, 8, 3, 4)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x)[0], plain(x)[0], rtol=1e-4, atol=1e-5)
