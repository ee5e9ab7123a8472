"""SS2D with the product of its step sizes inside: against the reference, and who takes it."""

import importlib
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from evnas import kernels
from evnas.blocks.norms import norms
from evnas.errors import KernelUnavailable
from evnas.kernels import dispatch, flops
from evnas.mixers.ss2d.module import Ss2d

TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
LOW_RANK = importlib.import_module("evnas.kernels.ss2d_scan.low_rank")
TILES = [
    importlib.import_module(f"evnas.kernels.ss2d_scan.{name}kernel") for name in ("", "backward.")
]


@pytest.fixture
def build(build_scan):
    """A scan over sizes (Bt, Dm, N, H, W) whose steps are a product over `rank`."""

    def of_rank(rank, scan, step, *sizes):
        call = build_scan(scan, step, *sizes)
        delta = call.inputs["delta"]
        generator = torch.Generator().manual_seed(rank)
        Bt, K, Dm, H, W = delta.shape
        factors = {
            name: torch.randn(shape, generator=generator, dtype=torch.float64).to(delta.device)
            for name, shape in (("low", (Bt, K, rank, H, W)), ("dt_weight", (K, Dm, rank)))
        }
        factors["dt_weight"] /= rank**0.5
        others = {n: t for n, t in call.inputs.items() if n not in ("u", "delta")}
        inputs = {"u": call.inputs["u"], **factors, **others}
        return type(call)(kernels.ss2d_scan_low_rank, inputs, call.options)

    return of_rank


def errors(call, dtype, impl="triton_fused"):
    """Of the output and each gradient, relative to the largest entry of the float64 reference."""
    call = call.to(dtype)
    want = call.to(torch.float64).gradients("reference")
    got = call.gradients(impl)
    for name, t in call.leaves().items():
        gradient = got[f"gradient of {name}"]
        assert (gradient.dtype, gradient.shape) == (t.dtype, t.shape), name
    return {
        name: ((got[name].double() - g).abs().max() / g.abs().max().clamp(min=1e-30)).item()
        for name, g in want.items()
    }


@pytest.mark.parametrize(
    ("rank", "scan", "step", "sizes", "dtype"),
    [
        (1, "cross", 1, (1, 1, 1, 1, 1), torch.float32),
        (6, "cross", 1, (2, 3, 1, 3, 7), torch.float32),  # one state: patches, past the map
        (6, "cross", 1, (1, 3, 1, 3, 8), torch.float16),
        (17, "bidi", 1, (1, 2, 1, 3, 4), torch.bfloat16),  # a rank that is not unrolled
        (48, "unidi", 1, (1, 2, 1, 2, 3), torch.float16),
        (3, "cross", 1, (2, 3, 2, 3, 5), torch.bfloat16),  # several states: tiles
        (5, "cross", 1, (1, 2, 16, 1, 3), torch.float16),
        (2, "cols", 1, (1, 3, 2, 3, 2), torch.float32),
        (2, "atrous", 2, (1, 2, 1, 3, 3), torch.float32),  # no step but the bias at padded places
    ],
    ids=str,
)
def test_agrees_with_reference(build, rank, scan, step, sizes, dtype):
    found = errors(build(rank, scan, step, *sizes), dtype)
    assert max(found.values()) < TOLERANCE[dtype], found


def test_maps_of_several_strips_agree(build, monkeypatch):
    for module in TILES:
        monkeypatch.setattr(module, "TILE_ELEMENTS", 8)
    found = errors(build(3, "bidi", 1, 1, 1, 2, 2, 5), torch.float32)
    assert max(found.values()) < 2e-5, found


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, behind the interpreter
@pytest.mark.parametrize("scale", [100.0, 1000.0])
def test_large_maps_and_steps_agree(build, scale):
    call = build(6, "cross", 1, 1, 2, 1, 2, 8)
    for name in ("u", "low", "B", "C"):
        call.inputs[name].mul_(scale)
    found = errors(call, torch.float32)
    assert max(found.values()) < 2e-5, found


def test_a_step_beyond_half_precision_does_not_overflow(build):
    call = build(6, "cross", 1, 1, 2, 1, 2, 8)
    call.inputs["low"].fill_(3e4)
    call.inputs["dt_weight"].fill_(1.0)
    call = call.to(torch.float16)
    y = call.outputs("triton_fused")[0]
    want = call.to(torch.float64).outputs("reference")[0]
    assert want.abs().max() > 65504  # which a delta in float16 would have turned to inf
    torch.testing.assert_close(y.double(), want, rtol=2e-3, atol=0)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, behind the interpreter
def test_nan_reaches_what_it_reaches_in_plain_torch(build):
    call = build(3, "cross", 1, 2, 2, 1, 2, 3).to(torch.float32)
    call.inputs["low"][1, 2, 1, 1, 1] = float("nan")
    want, got = call.gradients("cpu"), call.gradients("triton_fused")
    for name, g in want.items():
        assert torch.equal(got[name].isfinite(), g.isfinite()), name


@pytest.mark.parametrize("impl", ["cpu", "triton"])
def test_other_implementations_are_the_product_and_the_scan(build, impl):
    call = build(3, "cross", 1, 1, 2, 2, 3, 4).to(torch.float32)
    given = dict(call.inputs)
    low, weight = given.pop("low"), given.pop("dt_weight")
    delta = torch.einsum("bkrhw,kdr->bkdhw", low, weight)
    want = kernels.ss2d_scan(**given, delta=delta, scan="cross", impl=impl)
    torch.testing.assert_close(call.outputs(impl)[0], want)


def mixer(impl):
    torch.manual_seed(0)
    made = Ss2d(
        32,
        d_state=1,
        ssm_ratio=1.0,
        dt_rank="auto",
        conv=True,
        conv_bias=False,
        gate=False,
        act="silu",
        init="mamba",
        scan="cross",
        norms=norms("partial_ln"),
        impl=impl,
    )
    return made.eval()


def test_a_mixer_takes_it_under_its_name():
    x = torch.randn(2, 32, 3, 5, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode(), dispatch.noted() as asked:
        got = mixer("triton_fused")(x)
        want = mixer("cpu")(x)
    assert [q.impl for q in asked if q.op_name.startswith("ss2d")] == ["triton_fused", "cpu"]
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("fastest", "fused"), [("triton_fused", True), ("triton", False)])
def test_auto_takes_it_where_a_measurement_says_so(fastest, fused, monkeypatch):
    asked: list[Any] = []

    def in_use(op_name, device, dtype, *, work):
        asked.append((op_name, device.type, work))
        return fastest

    monkeypatch.setattr(LOW_RANK, "implementation_in_use", in_use)
    with FakeTensorMode():
        given = tuple(torch.empty(2, 3, 4, 1, device="cuda") for _ in range(8))
        assert LOW_RANK._fused(given, "auto") is fused
    assert asked == [("ss2d_scan_low_rank", "cuda", (24, 1, False, False))]
    assert not LOW_RANK._fused(tuple(torch.empty(1, 1) for _ in range(8)), "auto")


def test_what_does_not_fit_is_refused(build):
    call = build(3, "cross", 1, 1, 2, 1, 3, 4).to(torch.float32)
    call.inputs["dt_weight"] = call.inputs["dt_weight"][..., :2]
    with pytest.raises(ValueError, match=r"low must be .*, got \(1, 4, 3, 3, 4\) and \(4, 2, 2\)"):
        call.outputs("auto")
    of_two_routes = build(3, "rows", 1, 1, 2, 1, 3, 4).inputs
    with pytest.raises(ValueError, match="delta must be"):
        kernels.ss2d_scan_low_rank(**of_two_routes, scan="cross", impl="triton_fused")
    with pytest.raises(KernelUnavailable, match="float64"):
        build(3, "cross", 1, 1, 2, 1, 3, 4).outputs("triton_fused")


def test_counts_hold_the_product(build):
    call = build(3, "cross", 1, 2, 5, 1, 3, 4).to(torch.float32)
    given = [t.to("meta").requires_grad_() for t in call.inputs.values()]
    op = torch.ops.evnas.ss2d_scan_low_rank
    with FlopCounterMode(display=False) as counter:
        op(*given, "cross", 1).sum().backward()
    counted = {str(name): n for name, n in counter.get_flop_counts()["Global"].items()}
    steps, product = 2 * 4 * 5 * 12, 2 * 4 * 5 * 12 * 3
    assert counted["evnas.ss2d_scan_low_rank"] == 2 * (4 * steps + product)
    assert counted["evnas.ss2d_scan_low_rank_backward"] == 2 * (10 * steps + 3 * product)
    assert {"ss2d_scan_low_rank", "ss2d_scan_low_rank_backward"} <= flops.MACS.keys()


def test_opcheck(build):
    torch.use_deterministic_algorithms(False)  # opcheck compares uninitialised fakes
    given = build(3, "cross", 1, 1, 2, 2, 2, 3).inputs.values()
    leaves = [t.float().requires_grad_() for t in given]
    op = torch.ops.evnas.ss2d_scan_low_rank
    quick = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(op, (*leaves, "cross", 1), test_utils=quick)
