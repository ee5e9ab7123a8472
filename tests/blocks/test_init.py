"""Fresh parameters have the distributions that the papers and releases name."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from evnas.arch.catalog import entry
from evnas.arch.paths import edit
from evnas.blocks.backbone import build
from evnas.blocks.heads import Classifier
from evnas.blocks.layers import PixelLinear


def fresh(name: str) -> Any:
    """A model with one block a stage, from seed 0."""
    arch = edit(entry(name).arch, {"stages[*].depth": 1})
    return build(arch, seed=0)


@pytest.mark.parametrize("name", ["efficientvim_m1_dist", "vssd_micro", "efficient_vmamba_tiny"])
def test_linear_maps_and_norms(name: str) -> None:
    for module in fresh(name).modules():
        if isinstance(module, PixelLinear | Classifier):
            spread = 0.02 / math.sqrt(module.weight.numel())  # of the mean of so many
            assert abs(module.weight.mean().item()) < 5 * spread
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.2)
            assert module.bias is None or not module.bias.any()
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all() and not module.bias.any()


def test_efficientvim() -> None:
    model = fresh("efficientvim_m1_dist")
    block = model.stages[0].blocks[0]
    assert (block.alpha == 1e-4).all() and (block.mixer.D == 1).all()
    assert (block.mixer.A >= 1).all() and (block.mixer.A <= 16).all() and block.mixer.A.std() > 1
    bound = 128**-0.5
    for weight in (block.mixer.Q, block.mixer.O, block.mixer.proj.weight):
        assert weight.abs().max() <= bound and weight.std().item() == pytest.approx(
            bound / math.sqrt(3), rel=0.05
        )
    assert (model.head.weights == 1).all() and (model.head.weights_dist == 1).all()


def test_vssd() -> None:
    mixer = fresh("vssd_tiny").stages[2].blocks[0].mixer
    step = F.softplus(mixer.dt_bias)
    assert (step >= 1e-3 * 0.999).all() and (step <= 0.1 * 1.001).all()
    assert (mixer.A_log >= 0).all() and (mixer.A_log <= math.log(16)).all()
    assert (mixer.D == 1).all()


def test_a_scan_as_mamba_initializes_it() -> None:
    ssm = fresh("vanilla_vmamba_tiny").stages[1].blocks[0].mixer.ssm
    step = F.softplus(ssm.dt_bias)
    assert (step >= 1e-3 * 0.999).all() and (step <= 0.1 * 1.001).all()
    assert step.log().std().item() == pytest.approx(math.log(100) / math.sqrt(12), rel=0.1)
    assert torch.allclose(ssm.A_log.exp(), torch.arange(1.0, 17).expand_as(ssm.A_log))
    assert (ssm.D == 1).all()
    assert ssm.dt_weight.abs().max() <= 12**-0.5  # R = 192 / 16
    assert ssm.x_proj.abs().max() <= 384**-0.5  # D = 2 * 192


@pytest.mark.parametrize(("scheme", "spread"), [("rand", 1.0), ("zero", 0.0)])
def test_a_scan_initialized_otherwise(scheme: str, spread: float) -> None:
    arch = edit(
        entry("vanilla_vmamba_tiny").arch,
        {"stages[*].mixer.init": scheme, "stages[*].depth": 1},
    )
    model: Any = build(arch, seed=0)
    ssm = model.stages[0].blocks[0].mixer.ssm
    assert ssm.A_log.std().item() == pytest.approx(spread, abs=0.05)
    assert ssm.dt_weight.std().item() == pytest.approx(0.1, rel=0.1)
    assert ssm.dt_bias.std().item() == pytest.approx(0.1, rel=0.1)
    assert (ssm.D == 1).all()
