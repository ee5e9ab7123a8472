"""HSM-SSD in four launches: the products with Q and O in Triton, and slices taken as they lie."""

from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.library import opcheck
from torch.utils.flop_counter import FlopCounterMode

from evnas import kernels
from evnas.blocks.norms import norms
from evnas.errors import KernelUnavailable
from evnas.mixers.hsm_ssd.deploy import RowHsmSsd
from evnas.mixers.hsm_ssd.module import HsmSsd

TOLERANCE = {torch.float32: 2e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
Bt, CHANNELS, STATES, TOKENS = 3, 70, 25, 5  # 75 states and 70 channels: past one tile of each


def draw(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def inputs(dtype, heads, inner):
    """As a mixer hands them over: dt, B and C are slices of one map."""
    scores = heads if heads > 1 else STATES
    t = draw(Bt, 2 * STATES + scores, TOKENS).to(dtype)
    B, C, dt = torch.split(t, [STATES, STATES, scores], dim=1)
    weights = {"Q": draw(2 * inner, CHANNELS), "O": draw(CHANNELS, inner), "D": draw(1)}
    u = draw(Bt, CHANNELS, TOKENS).to(dtype)
    return {"u": u, "dt": dt, "B": B, "C": C, "A": None} | {
        name: (w / CHANNELS**0.5).to(dtype) for name, w in weights.items()
    }


def in_float64(given, heads):
    wide: dict[str, Any] = {name: None if t is None else t.double() for name, t in given.items()}
    return kernels.hsm_ssd(**wide, heads=heads, impl="reference")


def errors(given, heads):
    """Of y and h, relative to the largest entry that the reference has in float64."""
    want = in_float64(given, heads)
    got = kernels.hsm_ssd(**given, heads=heads, impl="triton_fused")
    assert got[0].dtype == given["u"].dtype and got[1].dtype == torch.float32
    return [((g - w).abs().max() / w.abs().max()).item() for g, w in zip(got, want, strict=True)]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_agrees_with_reference(dtype):
    assert max(errors(inputs(dtype, 1, 66), 1)) < TOLERANCE[dtype]


def test_heads_share_their_scores():
    assert max(errors(inputs(torch.float32, 2, 16), 2)) < TOLERANCE[torch.float32]


@pytest.mark.parametrize("name", ["hsm_ssd", "hsm_ssd-shared"])
def test_gradients_agree_with_reference(build_call, name):
    call = build_call(name, strided=True).to(torch.float32)
    want = call.to(torch.float64).gradients("reference")
    for key, got in call.gradients("triton_fused").items():
        scale = want[key].abs().max().clamp(min=1.0)
        assert ((got - want[key]).abs().max() / scale).item() < 2e-5, key


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, behind the interpreter
def test_states_too_large_for_half_precision_do_not_overflow():
    given = inputs(torch.float16, 1, 66)
    given["u"], given["B"] = given["u"] * 2000, given["B"] * 2000
    given["C"] = given["C"] / 4000
    given["O"] = given["O"] / 4000
    _, h = in_float64(given, 1)
    assert h.abs().max() > 65504
    assert max(errors(given, 1)[1:]) < TOLERANCE[torch.float16]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, behind the interpreter
def test_nan_stays_in_its_image():
    given = inputs(torch.float32, 1, 16)
    given["u"][1, 3, 2] = float("nan")
    y, h = kernels.hsm_ssd(**given, impl="triton_fused")
    assert y.isnan().flatten(1).all(1).tolist() == [False, True, False]
    assert h.isnan().flatten(1).any(1).tolist() == [False, True, False]


def test_rows_of_channels_stay_rows_of_channels():
    u = draw(2, 5, 12).mT  # (Bt, channels, tokens) of channels that lie next to each other
    t = draw(2, 5, 3 * 4).mT
    dt, B, C = t.split(4, dim=1)
    given = {"u": u, "dt": dt, "B": B, "C": C, "A": None}
    given |= {"Q": draw(24, 12), "O": draw(12, 12), "D": draw(1)}  # in the operator's order
    assert max(errors(given, 1)) < TOLERANCE[torch.float32]
    y, _ = kernels.hsm_ssd(**given, impl="triton_fused")
    with FakeTensorMode() as fake:
        shapes = [None if one is None else fake.from_tensor(one) for one in given.values()]
        promised, *_ = torch.ops.evnas.hsm_ssd(*shapes, 1, "triton_fused")
    assert y.stride() == promised.stride() == u.stride()


@pytest.mark.parametrize("heads", [1, 2])
def test_a_deployed_mixer_takes_the_kernels_under_their_name(heads):
    torch.manual_seed(0)
    mixer = HsmSsd(
        6, states=4, heads=heads, score="per_state", expand=1.0, norms=norms("partial_ln")
    )
    rows = RowHsmSsd(mixer).eval()
    x = draw(2, 6, 3, 3).contiguous(memory_format=torch.channels_last)
    total, share = draw(2, 3, 3, 6), draw(6)
    with torch.inference_mode():
        plain, added = rows(x), rows.added_to(total.clone(), x.permute(0, 2, 3, 1), share)
        rows.impl = "triton_fused"
        fused, fused_added = rows(x), rows.added_to(total.clone(), x.permute(0, 2, 3, 1), share)
    for got, want in zip((*fused, *fused_added), (*plain, *added), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


def added(given, total, share, heads=1):
    """By the kernels, and what it should be in float64; `given` as of `inputs`."""
    operands = [given[name] for name in ("u", "dt", "B", "C", "Q", "O", "D")]
    y, h = in_float64(given, heads)
    got = kernels.hsm_ssd_added_to(total, share, *operands, heads=heads)
    return got, (total.double() + share.double()[:, None] * y, h)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("heads", [1, 2])
def test_the_read_out_adds_to_a_map(dtype, heads):
    given = inputs(dtype, heads, 66)
    rows = draw(Bt, TOKENS, CHANNELS).to(dtype)
    for total in (rows.mT, rows.mT.contiguous()):
        (got, h), (want, want_h) = added(given, total, draw(CHANNELS), heads)
        assert got.dtype == dtype and got.stride() == total.stride()
        assert ((got - want).abs().max() / want.abs().max()).item() < TOLERANCE[dtype]
        assert ((h - want_h).abs().max() / want_h.abs().max()).item() < TOLERANCE[dtype]


def test_a_sum_is_rounded_once():
    given = inputs(torch.float16, 1, 66)
    total, share = draw(Bt, CHANNELS, TOKENS).half() * 64, draw(CHANNELS).half()
    (got, _), (want, _) = added(given, total, share)
    y, _ = kernels.hsm_ssd(**given, impl="triton_fused")
    twice = torch.addcmul(total, y, share[:, None])
    assert (got - want).abs().sum() < (twice - want).abs().sum()


def test_a_sum_that_cannot_be_is_refused():
    given = inputs(torch.float32, 1, 16)
    operands = [given[name] for name in ("u", "dt", "B", "C", "Q", "O", "D")]
    total, share = draw(Bt, CHANNELS, TOKENS), draw(CHANNELS)
    with pytest.raises(ValueError, match=r"total must be \(3, 70, 5\) of torch.float32 and share"):
        kernels.hsm_ssd_added_to(total.half(), share, *operands)
    with pytest.raises(ValueError, match=r"and share \(70,\), got .* and \(70, 1\)"):
        kernels.hsm_ssd_added_to(total, share[:, None], *operands)
    with pytest.raises(KernelUnavailable, match="for inference"):
        kernels.hsm_ssd_added_to(total.requires_grad_(), share, *operands)


def test_the_sum_is_whole_to_compilers_and_counters():
    given = inputs(torch.float32, 1, 16)
    operands = [given[name] for name in ("u", "dt", "B", "C", "Q", "O", "D")]
    op = torch.ops.evnas.hsm_ssd_added
    total, share = draw(Bt, TOKENS, CHANNELS).mT, draw(CHANNELS)
    opcheck(op, (*operands, total, share, 1), test_utils=("test_schema", "test_faketensor"))
    with FlopCounterMode(display=False) as counter:
        op(*operands, total, share, 1)
        one = counter.get_total_flops()
        kernels.hsm_ssd(**given, impl="triton_fused")
    assert counter.get_total_flops() == 2 * one > 0


def test_a_training_goes_by_the_mixer_that_has_a_backward():
    torch.manual_seed(0)
    mixer = HsmSsd(6, states=4, heads=1, score="per_state", expand=1.0, norms=norms("partial_ln"))
    rows = RowHsmSsd(mixer).eval()
    x, total, share = draw(2, 3, 3, 6).requires_grad_(), draw(2, 3, 3, 6), draw(6)
    want, _ = rows.added_to(total.clone(), x, share)
    rows.impl = "triton_fused"
    got, _ = rows.added_to(total, x, share)
    g = draw(*got.shape)
    torch.testing.assert_close(
        torch.autograd.grad(got, x, g), torch.autograd.grad(want, x, g), rtol=1e-4, atol=1e-5
    )
