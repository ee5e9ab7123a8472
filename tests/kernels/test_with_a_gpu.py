"""What only a GPU can show of the kernels: few, since one is at hand for minutes."""

from functools import partial
from typing import Any

import pytest
import torch

from evnas import kernels
from evnas.kernels import dense_conv, pixel_linear

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]
CASES = (
    *("selective_scan-long", "ss2d_scan-cross", "ss2d_scan-cross-tile", "ss2d_scan-atrous-2"),
    *("hsm_ssd", "hsm_ssd-shared", "nc_ssd", "channel_layer_norm"),
)
TOLERANCE = {torch.float32: 2e-5, torch.float16: 2e-3}


def draw(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def worst(got, want):
    """The largest error of any tensor, relative to its largest entry or 1."""
    assert got.keys() == want.keys()
    errors = [
        ((got[n].double() - w).abs().max() / w.abs().max().clamp(min=1)).item()
        for n, w in want.items()
    ]
    return max(errors)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_kernels_agree_with_the_reference(build_call, name, dtype):
    call = build_call(name, strided=dtype == torch.float16).to(dtype)
    want = call.to(torch.float64).gradients("reference")
    assert worst(call.gradients("triton"), want) <= TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_a_whole_stage_of_vmamba_agrees(build_scan, dtype):
    call = build_scan("cross", 1, 1, 96, 1, 56, 56).to(dtype)
    (want,) = call.to(torch.float64).outputs("cpu")
    (got,) = call.outputs("triton")
    assert ((got.double() - want).abs().max() / want.abs().max()).item() <= TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=str)
def test_products_agree_with_their_epilogues(layout, dtype):
    def draw(*shape):
        drawn = torch.randn(shape, device="cuda").to(dtype)
        return drawn.contiguous(memory_format=layout) if len(shape) == 4 else drawn

    x, added, bias = draw(9, 70, 14, 14), draw(9, 200, 14, 14), draw(200)
    x[8, 3, 2, 1] = float("nan")
    calls = (
        (partial(pixel_linear, act="gelu"), (x, draw(200, 70), bias, added)),
        (partial(dense_conv, padding=(1, 1), act="relu"), (x, draw(200, 70, 3, 3), bias)),
    )
    for call, given in calls:
        want = call(*(t.double() for t in given), impl="reference")
        with torch.backends.cudnn.flags(allow_tf32=False):
            got = call(*given, impl="triton").double()
        assert torch.equal(got.isnan(), want.isnan())
        got, want = got.nan_to_num(), want.nan_to_num()
        assert ((got - want).abs().max() / want.abs().max()).item() <= TOLERANCE[dtype]


def test_a_whole_stage_of_vmamba_agrees_with_its_steps_as_factors(build_scan):
    inputs = dict(build_scan("cross", 1, 1, 96, 1, 56, 56).to(torch.float16).inputs)
    Bt, K, Dm, H, W = inputs.pop("delta").shape
    u = inputs.pop("u")
    low, weight = draw(Bt, K, 6, H, W).to(u), (draw(K, Dm, 6) / 6**0.5).to(u)
    got = kernels.ss2d_scan_low_rank(u, low, weight, **inputs, scan="cross", impl="triton_fused")
    wide = {name: t.double() for name, t in inputs.items()}
    want = kernels.ss2d_scan_low_rank(
        u.double(), low.double(), weight.double(), **wide, scan="cross", impl="cpu"
    )
    assert ((got.double() - want).abs().max() / want.abs().max()).item() <= 2e-3


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize(("norm", "act", "out"), [(True, "gelu", 384), (False, "none", 96)])
def test_a_linear_map_of_pixels_agrees(norm, act, out, layout):
    half: Any = {"device": "cuda", "dtype": torch.float16}
    x = draw(2, 96, 56, 56).to(**half).contiguous(memory_format=layout)
    weight, bias = (draw(out, 96) / 96**0.5).to(**half), draw(out).to(**half)
    total = None if norm else draw(2, out, 56, 56).to(**half)
    got = kernels.pixel_linear(x, weight, bias, total, norm=norm, act=act, impl="triton")
    want = kernels.pixel_linear(x, weight, bias, total, norm=norm, act=act, impl="reference")
    assert ((got - want).abs().max() / want.abs().max()).item() <= 2e-3


@pytest.mark.parametrize("model", ["efficientvim_m2", "vmamba_tiny_s1l8"])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_deployed_models_agree_and_can_be_captured(model, layout):
    from evnas.arch.catalog import entry
    from evnas.blocks.backbone import build
    from evnas.blocks.deploy import deploy
    from evnas.measure.runtimes.cuda_graph import cuda_graph
    from evnas.measure.target import Target

    torch.use_deterministic_algorithms(False)  # as models run
    arch = entry(model).arch
    images = torch.randn(16, 3, 224, 224, device="cuda")  # 16: kernels as for larger batches
    with torch.inference_mode():
        want = build(arch, seed=0, impl="cpu").eval().to("cuda")(images)  # in plain torch
    plain = build(arch, seed=0).eval().to("cuda")
    ours = deploy(plain, dtype=torch.float16, layout=layout)
    with torch.inference_mode():
        eager = ours(images.half())
    scale = want.abs().max()
    assert ((eager.float() - want).abs().max() / scale).item() < 3e-2
    target = Target(
        device="cuda:0", runtime="cuda_graph", batch_size=16, precision="float16", form="deployed"
    )
    replayed = cuda_graph(ours, images.half(), target)()
    assert isinstance(replayed, torch.Tensor) and torch.equal(replayed, eager)
