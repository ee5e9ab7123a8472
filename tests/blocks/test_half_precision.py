"""Large activations: sums of scans and states stay float32 until the norm, in every family."""

import copy
from typing import Any

import pytest
import torch
from deploying import difference, inference_form
from torch import Tensor, nn

from evnas import kernels
from evnas.arch.catalog import catalog
from evnas.arch.spec import Norm
from evnas.blocks.backbone import build
from evnas.blocks.deploy import deploy
from evnas.blocks.heads import FusionHead
from evnas.blocks.norms import BatchNorm2d, norms
from evnas.mixers.es2d.module import Es2d
from evnas.mixers.hsm_ssd.module import HsmSsd
from evnas.mixers.nc_ssd.module import NcSsd
from evnas.mixers.selective.module import SelectiveMixer
from evnas.mixers.ss2d.module import Ss2d
from evnas.mixers.ss2d.spec import Scan

DTYPES = {torch.float32: 1e-3, torch.float16: 4e-2, torch.bfloat16: 8e-2}
LARGEST_HALF = torch.finfo(torch.float16).max


def large(model: nn.Module) -> nn.Module:
    """Sums before its mixers' norms beyond what float16 holds; the maps as they were."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, SelectiveMixer):
                assert module.dwconv is not None
                module.dwconv.weight.mul_(100)
                module.ssm.x_proj.div_(100)  # so that steps are what they were
                module.ssm.D.mul_(3e4)
            elif isinstance(module, NcSsd):
                module.dwconv.weight[: module.inner_split[0]].mul_(100)
                module.D.mul_(3e4)
    return model


def remembered_sums(model: nn.Module, x: Tensor) -> list[float]:
    """The largest input of each mixer's norm."""
    sums: list[float] = []
    handles = []
    for module in model.modules():
        if isinstance(module, SelectiveMixer | NcSsd):
            hook = module.norm.register_forward_pre_hook
            handles.append(hook(lambda m, args: sums.append(float(args[0].abs().max()))))
    model(x)
    for handle in handles:
        handle.remove()
    return sums


FAMILIES = [
    "vssd_micro",
    "vanilla_vmamba_tiny",
    "vmamba_tiny_s1l8",
    "efficient_vmamba_tiny",
]


@pytest.mark.parametrize("impl", ["auto", "reference", "cpu"])
@pytest.mark.parametrize("name", FAMILIES)
def test_large_activations_of_every_family(name: str, impl: Any) -> None:
    arch = catalog()[name].arch.scaled(0.125)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model = large(build(arch, impl=impl, seed=0))
        want = model.eval().double()(x.double())
        assert max(remembered_sums(model, x.double())) > 2 * LARGEST_HALF
        for dtype in DTYPES:
            tolerance = 1e-3 if dtype == torch.float32 else 0.3  # infinity and NaN fail it
            same = copy.deepcopy(model).to(dtype)
            assert difference(same(x.to(dtype)).double(), want) < tolerance, dtype
            if dtype != torch.float32:
                with torch.autocast("cpu", dtype):
                    got = copy.deepcopy(model).float()(x)
                assert difference(got.double(), want) < tolerance, dtype
            for layout in ("channels_last", "contiguous"):
                deployed = deploy(model.float(), layout=layout, dtype=dtype)
                assert difference(deployed(x).double(), want) < tolerance, (dtype, layout)
            model.double()


SELECTIVE: dict[str, Any] = {
    "d_state": 2, "ssm_ratio": 2.0, "dt_rank": "auto", "conv": True, "conv_bias": True,
    "act": "silu", "init": "mamba",
}  # fmt: skip


def mixers(kind: Norm, gate: bool, impl: Any) -> dict[str, nn.Module]:
    table = norms(kind, impl=impl)
    scans: tuple[Scan, ...] = ("unidi", "bidi", "cascade", "cross")
    common: dict[str, Any] = {"gate": gate, "norms": table, "impl": impl}
    return {
        **{scan: Ss2d(8, **SELECTIVE, **common, scan=scan) for scan in scans},
        "es2d": Es2d(8, **SELECTIVE, **common, step=2),
        "nc_ssd": NcSsd(8, states=4, heads=2, expand=2.0, norms=table, impl=impl),
    }


@pytest.mark.parametrize("impl", ["auto", "reference", "cpu"])
@pytest.mark.parametrize("gate", [True, False])
@pytest.mark.parametrize("kind", ["ln", "full_bn"])
def test_sums_of_every_mixer_reach_the_norm_in_float32(kind: Any, gate: bool, impl: Any) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 8, 7, 6)
    for name, mixer in mixers(kind, gate, impl).items():
        for norm in mixer.modules():
            if isinstance(norm, BatchNorm2d):
                norm.momentum = None  # one step is a whole training
        with torch.no_grad():
            large(mixer)(x)
            want = mixer.eval().double()(x.double())
            sums = remembered_sums(mixer, x.double())
            assert max(sums) > LARGEST_HALF, name
            for dtype, tolerance in DTYPES.items():
                got = copy.deepcopy(mixer).to(dtype)(x.to(dtype)) if kind == "ln" else None
                if got is None:  # float16 has no room for these running variances themselves
                    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                        got = copy.deepcopy(mixer).float()(x)
                got, wanted = (y[0] if isinstance(y, tuple) else y for y in (got, want))
                assert got.dtype == dtype
                assert difference(got.double(), wanted) < tolerance, (name, dtype)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("impl", ["auto", "reference", "cpu"])
def test_hidden_states_of_hsm_ssd_reach_the_head_in_float32(
    impl: Any, channels_last: bool
) -> None:
    torch.manual_seed(0)
    x, table = torch.randn(2, 8, 7, 6), norms("partial_ln", impl=impl)
    mixer = HsmSsd(8, states=4, heads=2, score="per_state", expand=2.0, norms=table, impl=impl)
    head = FusionHead([8], [8], 16, norms=table)
    with torch.no_grad():
        mixer.O.mul_(1e3)
        mixer.D.mul_(3e4)
        mixer.dwconv.weight[4:8].mul_(1e-2)  # the output matrix
        y, h = mixer.double()(x.double())
        want = head.double()([y], [h])
        assert h.abs().max() > LARGEST_HALF > 5 * y.abs().max()
        for dtype, tolerance in DTYPES.items():
            same = inference_form(mixer, channels_last=channels_last).to(dtype)
            got, states = same(x.to(dtype))
            assert got.dtype == dtype and states.dtype == torch.float32
            assert difference(got.double(), y) < tolerance
            logits = inference_form(head, channels_last=channels_last).to(dtype)([got], [states])
            assert logits.dtype == dtype and difference(logits.double(), want) < tolerance


def test_a_batch_norm_of_half_weights_learns_from_float32_sums() -> None:
    norm, wide = BatchNorm2d(4).half().train(), BatchNorm2d(4).train()
    x = torch.randn(8, 4, 3, 3) * 100 + 3
    assert torch.allclose(norm(x), wide(x), atol=1e-2)
    assert norm.running_mean is not None and norm.running_var is not None
    assert wide.running_mean is not None and wide.running_var is not None
    assert torch.allclose(norm.running_mean.float(), wide.running_mean, rtol=1e-2, atol=1e-2)
    assert torch.allclose(norm.running_var.float(), wide.running_var, rtol=1e-2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("impl", ["reference", "cpu", "numba"])
def test_inputs_of_41_are_no_overflow(impl: Any, dtype: torch.dtype) -> None:
    """The sum of four routes over a row of equal steps is known: each y is the running sum."""
    L, u = 40, 41.0
    one = torch.ones(1, 1, L, dtype=dtype)
    y = kernels.selective_scan(
        one * u, one, -1e-9 * torch.ones(1, 1), one[:, None] * u, one[:, None] * u, impl=impl
    )
    assert torch.allclose(y[0, 0], u**3 * torch.arange(1.0, L + 1), rtol=1e-3)
    assert y[0, 0, -1] > LARGEST_HALF


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("impl", ["reference", "cpu"])
def test_a_state_that_grows_with_the_tokens(impl: Any, dtype: torch.dtype) -> None:
    L = 5000
    one, head = torch.ones(1, 1, L, dtype=dtype), torch.zeros(1)
    y, state = kernels.nc_ssd(4 * one, one, head, 8 * one, one, head, heads=1, impl=impl)
    assert state.dtype == y.dtype == torch.float32
    assert torch.allclose(state, torch.tensor(32.0 * L)) and torch.allclose(y, state)
