"""Every mixer in every block, on any map: finite, shaped, and what float64 says it is."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from evnas.arch.spec import BLOCKS, ArchSpec
from evnas.blocks.backbone import build, build_block
from evnas.blocks.deploy import deploy
from evnas.commands.exporting import write_export
from evnas.measure.counting.flops import count, count_module
from evnas.mixers import MIXERS
from evnas.runtime import Layout

DIM = 16
MAPS = [(7, 5), (14, 14), (1, 1)]
BATCHES = [1, 3]
VARIANTS: dict[str, dict[str, Any]] = {
    "hsm_ssd": {"kind": "hsm_ssd", "states": 9},
    "hsm_ssd heads": {"kind": "hsm_ssd", "states": 5, "heads": 2, "score": "shared", "expand": 2},
    "nc_ssd": {"kind": "nc_ssd", "states": 6, "heads": 4},
    "sa": {"kind": "sa", "heads": 2},
    "ss2d cross": {"kind": "ss2d"},
    "ss2d unidi": {"kind": "ss2d", "scan": "unidi", "gate": True, "conv": False},
    "ss2d bidi": {"kind": "ss2d", "scan": "bidi", "d_state": 3, "act": "gelu"},
    "ss2d cascade": {"kind": "ss2d", "scan": "cascade", "d_state": 2},
    "es2d": {"kind": "es2d", "d_state": 4},
    "es2d step 3": {"kind": "es2d", "d_state": 1, "step": 3, "gate": False},
    "es2d step 1": {"kind": "es2d", "d_state": 2, "step": 1},
}
VARIANTS |= {
    kind: {"kind": kind} for kind in MIXERS if all(v["kind"] != kind for v in VARIANTS.values())
}
WITH_MIXER = [b for b in BLOCKS if BLOCKS.get(b).mixer]
CASES = [*((b, m) for b in WITH_MIXER for m in VARIANTS), ("inres", None)]
# of the norm of each: values, gradients. bfloat16 has 8 bits of mantissa, and where it flips the
# sign of one of the few values that a ReLU sees on a 1x1 map, a gradient of one in a hundred goes
TOLERANCE = {torch.float32: (1e-5, 2e-5), torch.bfloat16: (2e-2, 0.2)}


@pytest.mark.parametrize("kind", MIXERS)
def test_it_is_what_its_registration_says(kind: str) -> None:
    mixer = MIXERS.get(kind)
    module = block_of("vss", next(n for n, v in VARIANTS.items() if v["kind"] == kind)).mixer
    assert MIXERS.of_module(type(module)) is mixer
    assert (module.hidden_width is not None) == mixer.hidden_states
    assert mixer.fields()["kind"] == mixer.kind == kind


def block_of(block: str, mixer: str | None, *, norm: str = "partial_ln") -> Any:
    """One seeded block in evaluation mode, so that batch norms do not divide by near-zeros."""
    stage = {"depth": 1, "dim": DIM, "block": block, "mixer": VARIANTS[mixer] if mixer else None}
    arch = ArchSpec.from_dict(
        {"stem": {}, "stages": [stage], "downsample": "efficientvim", "norm": norm}
    )
    torch.manual_seed(0)
    return build_block(arch, 0).eval()


def run(block: Any, x: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
    """Output, hidden states if any, and gradients of input and parameters, in float64."""
    x = x.to(torch.float64 if dtype == torch.float64 else torch.float32)
    x = x.detach().clone().requires_grad_()
    block = copy.deepcopy(block).to(x.dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        y, h = block(x)
    assert y.shape == x.shape
    # the weight keeps a norm's gradient from vanishing in the sum
    weight = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).view(y.shape)
    loss = (y.double() * weight).sum()
    if h is not None:
        assert h.ndim == 3 and h.shape[0] == x.shape[0]
        assert h.shape[1] == block.mixer.hidden_width
        loss = loss + h.double().square().sum()
    loss.backward()
    weights = [p.grad.flatten() for p in block.parameters() if p.grad is not None]
    found = {"y": y, "gradient of x": x.grad, "gradient of weights": torch.cat(weights)}
    if h is not None:
        found["h"] = h
    return {name: t.detach().double() for name, t in found.items()}


@pytest.mark.parametrize(("block", "mixer"), CASES, ids=str)
def test_it_agrees_with_its_float64_run(block: str, mixer: str | None) -> None:
    module = block_of(block, mixer)
    for batch in BATCHES:
        for height, width in MAPS:
            x = torch.randn(batch, DIM, height, width, dtype=torch.float64)
            exact = run(module, x, torch.float64)
            for dtype, (value, gradient) in TOLERANCE.items():
                found = run(module, x, dtype)
                for name, want in exact.items():
                    got = found[name]
                    assert got.isfinite().all()
                    error = (got - want).norm() / want.norm().clamp(min=1e-2)
                    bound = gradient if name.startswith("gradient") else value
                    assert error <= bound, f"{name}, {dtype}, {batch}x{height}x{width}"


@pytest.mark.parametrize("norm", ["partial_ln", "full_bn", "ln"])
@pytest.mark.parametrize(("block", "mixer"), CASES, ids=str)
def test_it_trains_on_any_map_with_any_norm(block: str, mixer: str | None, norm: str) -> None:
    module = block_of(block, mixer, norm=norm).train()
    for batch, size in ((1, (1, 1)), (1, (7, 5)), (3, (1, 1))):
        y, _ = module(torch.randn(batch, DIM, *size))
        y.square().sum().backward()
        assert y.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


def arch_of(block: str, mixer: str | None) -> ArchSpec:
    """Two stages of one such block each."""
    stage = {"depth": 1, "dim": DIM, "block": block, "mixer": VARIANTS[mixer] if mixer else None}
    return ArchSpec.from_dict(
        {
            "stem": {"kind": "vssd", "stride": 4},
            "stages": [stage, stage],
            "downsample": "vssd",
            "norm": "partial_ln",
            "num_classes": 5,
        }
    )


@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
@pytest.mark.parametrize(("block", "mixer"), CASES, ids=str)
def test_its_deployed_form_agrees_in_float64(
    block: str, mixer: str | None, layout: Layout
) -> None:
    model = build(arch_of(block, mixer), seed=0).double().eval()
    with torch.no_grad():
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            if value.is_floating_point() and not name.endswith("A"):
                value.add_(torch.rand_like(value) / 5)
        for shape in ((1, 3, 36, 20), (2, 3, 4, 4)):
            x = torch.randn(shape, dtype=torch.float64)
            torch.testing.assert_close(
                deploy(model, layout=layout)(x), model(x), rtol=1e-9, atol=1e-9
            )


@pytest.mark.parametrize("mixer", VARIANTS)
def test_it_is_counted_and_exported(mixer: str, tmp_path: Path) -> None:
    arch = arch_of("vss", mixer)
    model = build(arch, seed=0)
    counted = count(arch, 64)
    assert counted.params == sum(p.numel() for p in model.parameters())
    assert counted.macs == count_module(model, 64).macs
    assert all(price > 0 for price in counted.macs.values())
    for form in ("plain", "deployed"):
        for ending in ("pt2", "onnx"):
            out = tmp_path / f"{form}.{ending}"
            write_export(arch, out, weights=None, resolution=32, batch_size=1, form=form)
            assert out.stat().st_size > 0
