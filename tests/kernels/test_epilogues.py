"""A convolution with bias and activation in one pass behind it, Triton against torch in float64;
and where deployed models take that, the linear map of pixels and the depthwise convolution."""

import copy
from typing import Any

import pytest
import torch
from deploying import difference, settled
from torch import nn
from torch.library import opcheck
from torch.utils.flop_counter import FlopCounterMode

from evnas.arch.catalog import catalog
from evnas.blocks.backbone import build
from evnas.blocks.deploy import deploy
from evnas.blocks.deployment.fused import FusedConv, FusedLinear, takes_kernel
from evnas.errors import KernelUnavailable
from evnas.kernels import dense_conv, dispatch, pixel_linear

TOLERANCE = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}
NAN = float("nan")


def draw(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).to(dtype)


def maps(*shape, dtype=torch.float32, channels_last=True):
    kept = torch.channels_last if channels_last else torch.contiguous_format
    return draw(*shape, dtype=dtype).contiguous(memory_format=kept)


def wide(t):
    return None if t is None else t.double()


def error(operator, *tensors, **options):
    """Relative to the largest entry of the float64 reference."""
    want = operator(*map(wide, tensors), **options, impl="reference")
    got = operator(*tensors, **options, impl="triton")
    assert got.dtype == tensors[0].dtype and got.shape == want.shape
    return ((got - want).abs().max() / want.abs().max()).item()


@pytest.mark.parametrize(
    ("conv", "dtype", "options"),
    [
        ((6, 10, 3), torch.float32, {"stride": (2, 1), "padding": (1, 0), "act": "gelu"}),
        ((6, 4, 2), torch.float16, {"stride": (2, 2), "act": "relu"}),
        ((6, 6, 3), torch.bfloat16, {"padding": (1, 1), "groups": 3, "act": "silu"}),
        ((6, 50, 7), torch.float32, {"padding": (3, 3)}),  # past a program
    ],
    ids=str,
)
@pytest.mark.parametrize("channels_last", [True, False], ids=["channels_last", "contiguous"])
def test_a_convolution_agrees_with_the_reference(conv, dtype, options, channels_last):
    C, width, side = conv
    x = maps(2, C, 7, 5, dtype=dtype, channels_last=channels_last)
    weight = draw(width, C // options.get("groups", 1), side, side, dtype=dtype)
    found = error(dense_conv, x, weight, draw(width, dtype=dtype), **options)
    assert found < 2 * TOLERANCE[dtype]  # torch's convolution rounds before the bias
    assert error(dense_conv, x, weight, None, **options) < 2 * TOLERANCE[dtype]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, behind the interpreter
@pytest.mark.parametrize("act", ["none", "relu", "silu", "gelu"])
def test_nan_stays_and_so_does_what_overflows(act):
    x, weight, bias = maps(2, 4, 3, 3), draw(5, 4, 2, 1), draw(5)
    x[1, 2, 0, 1], x[0, 1, 2, 2] = NAN, float("inf")
    y = dense_conv(x, weight, bias, act=act, impl="triton")
    torch.testing.assert_close(
        y, dense_conv(x, weight, bias, act=act, impl="reference"), equal_nan=True
    )
    half = dense_conv(x.half() * 6e4, weight.half(), impl="triton")
    assert half.isinf().any()


def test_it_is_whole_to_counters_and_compilers():
    given = (maps(2, 4, 5, 7), draw(6, 2, 3, 3), draw(6), [2, 1], [1, 0], 2, "gelu")
    opcheck(torch.ops.evnas.dense_conv, given)
    with FlopCounterMode(display=False) as counter:
        y = torch.ops.evnas.dense_conv(*given)
    assert counter.get_total_flops() == 2 * y.numel() * 2 * 9


def test_what_it_cannot_do_is_refused():
    x, weight = maps(1, 2, 3, 3), draw(4, 2, 1, 1)
    unknown: Any = "tanh"
    with pytest.raises(ValueError, match="act must be one of"):
        dense_conv(x, weight, act=unknown)
    with pytest.raises(ValueError, match=r"bias must be \(4,\), got \(2,\)"):
        dense_conv(x, weight, draw(2))
    with pytest.raises(ValueError, match=r"weight must be of torch\.float16"):
        dense_conv(x.half(), weight)
    weight.requires_grad_()
    with pytest.raises(KernelUnavailable, match="has no backward"):
        dense_conv(x, weight, impl="triton")
    assert dense_conv(x, weight).requires_grad  # "auto" is torch's then


# --- in deployed models -----------------------------------------------------------------------


def taken(conv):
    return FusedConv(conv)._operator


def test_which_operator_a_convolution_is():
    def depthwise(kernel=3, C=4, out=4, **options):
        return taken(nn.Conv2d(C, out, kernel, **{"padding": 1, "groups": C, **options}))

    assert depthwise() == depthwise(stride=2) == "depthwise_conv"
    others = ({"out": 8}, {"groups": 1}, {"kernel": 5}, {"padding": 0}, {"stride": 3})
    assert {depthwise(**other) for other in others} == {"dense_conv"}
    assert depthwise(stride=(1, 2)) == "dense_conv"
    assert taken(nn.Conv2d(4, 8, 1)) == "pixel_linear"
    assert taken(nn.Conv2d(4, 8, 1, stride=2)) == "dense_conv"
    assert taken(nn.Conv2d(4, 8, 1, groups=2)) == "dense_conv"


def by_kernels(model):
    """A copy whose layers take their kernels by name."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, FusedConv | FusedLinear):
            module.impl = "triton"
    return model


@pytest.fixture
def asked(monkeypatch):
    """Operators that are launched."""
    found = []

    def noted(choose):
        def noting(op_name, impl, inputs):
            found.append((op_name, impl))
            return choose(op_name, impl, inputs)

        return noting

    for operator in (pixel_linear, dense_conv):
        for name in {"choose", "choose_for_inference"} & operator.__globals__.keys():
            monkeypatch.setitem(operator.__globals__, name, noted(operator.__globals__[name]))
    return found


@pytest.mark.parametrize("shape", [(3, 7), (2, 3, 7), (2, 5, 3, 7), (2, 3, 1)])
def test_rows_of_any_shape(shape):
    fused = FusedLinear(draw(4, shape[-1]), draw(4), "relu")
    x, total = draw(*shape), draw(*shape[:-1], 4)
    want = fused(x), fused.added_to(total.clone(), x)
    fused.impl = "triton"
    torch.testing.assert_close((fused(x), fused.added_to(total, x)), want)


@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
@pytest.mark.parametrize("name", ["efficientvim_m2", "vmamba_tiny_s1l8"])
def test_a_deployed_model_by_kernels_is_the_same_model(name, layout, asked):
    plain = deploy(settled(build(catalog()[name].arch.scaled(0.125), seed=0)), layout=layout)
    kernels = by_kernels(plain)
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        want, got = plain(x), kernels(x)
    assert difference(got, want) < 1e-5
    assert {("pixel_linear", "triton"), ("dense_conv", "triton")} <= set(asked)
    x[1, 0, 2, 4] = NAN
    with torch.inference_mode():
        assert kernels(x).isnan().all(1).tolist() == [False, True]


def test_compilers_and_exporters_see_torch_s_own(asked):
    layer = by_kernels(nn.Sequential(FusedConv(nn.Conv2d(3, 4, 1), "relu")))
    x = draw(1, 3, 4, 4)
    with torch.no_grad():
        torch.compile(layer, fullgraph=True, backend="eager")(x)
        program = torch.export.export(layer, (x,))
        layer(x)
    operators = {str(n.target) for n in program.graph.nodes if n.op == "call_function"}
    assert operators == {"aten.conv2d.default", "aten.relu_.default"}
    assert len(asked) == 1  # the last call's


@pytest.mark.parametrize(
    "layer", [FusedConv(nn.Conv2d(3, 4, 1)), FusedLinear(draw(4, 3), draw(4))]
)
def test_gradients_and_autocast_are_refused_by_name(layer, asked):
    x = draw(1, 3, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    assert layer(x.requires_grad_()).requires_grad
    layer = by_kernels(nn.Sequential(layer))
    with pytest.raises(KernelUnavailable, match=r"pixel_linear is .* without a gradient"):
        layer(x)
    refused = pytest.raises(KernelUnavailable, match="without autocast")
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), refused:
        layer(x)
    assert asked == []


def test_auto_takes_torch_s_own_on_a_gpu_until_measured(monkeypatch):
    class OnAGpu:
        is_cuda, requires_grad, dtype, device = True, False, torch.float16, torch.device("cuda")

        def numel(self):
            return 8

    x: Any = OnAGpu()

    def answer(measured):
        monkeypatch.setattr(dispatch, "fastest", lambda *_, **__: measured)
        return takes_kernel("pixel_linear", "auto", x, x)

    monkeypatch.setattr(dispatch, "why_not_triton", lambda device, dtype: None)
    monkeypatch.setattr(dispatch, "widest", lambda first, *others: first)
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)
    assert not answer(None) and answer("triton")
