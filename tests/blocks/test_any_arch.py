"""Laws that hold for every architecture of the space."""

import copy
import random
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, settings
from strategies import archs, mutated

from evnas.arch.catalog import catalog
from evnas.arch.spec import ArchSpec
from evnas.blocks.backbone import build
from evnas.errors import SpecError

SLOW = settings(deadline=None, max_examples=40)


@SLOW
@given(archs())
def test_it_builds_and_runs_forward_and_backward(arch: ArchSpec) -> None:
    model = build(arch, seed=0)
    out = model(torch.randn(2, 3, 37, 28))
    pair = out if arch.head.distillation else (out,)
    assert len(pair) == 1 + arch.head.distillation
    assert all(logits.shape == (2, arch.num_classes) for logits in pair)
    sum(logits.square().sum() for logits in pair).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    assert model.eval()(torch.randn(1, 3, 37, 28)).shape == (1, arch.num_classes)


@SLOW
@given(archs())
def test_it_is_the_same_after_a_round_trip(arch: ArchSpec) -> None:
    from_yaml = ArchSpec.from_dict(yaml.safe_load(yaml.safe_dump(arch.to_dict())))
    assert from_yaml == arch and from_yaml.digest == arch.digest
    with torch.device("meta"):
        first, second = build(arch), build(from_yaml)
    shapes = [{k: v.shape for k, v in m.state_dict().items()} for m in (first, second)]
    assert shapes[0] == shapes[1]


@SLOW
@given(archs())
def test_features_are_the_stage_maps(arch: ArchSpec) -> None:
    features: Any = build(arch, features_only=True, seed=0).eval()
    x = torch.randn(1, 3, 64, 48)
    maps = features(x)
    assert [m.shape[1] for m in maps] == features.feature_info.channels()
    for m, reduction in zip(maps, features.feature_info.reduction(), strict=True):
        assert tuple(m.shape[2:]) == (-(-64 // reduction), -(-48 // reduction))
    model: Any = build(arch, seed=0).eval()
    whole, _ = model.forward_features(x)
    assert all(torch.equal(a, b) for a, b in zip(maps, whole, strict=True))


@pytest.mark.parametrize("name", ["efficientvim_m1_dist", "vssd_micro", "efficient_vmamba_tiny"])
def test_a_saved_model_gives_the_same_logits(name: str, tmp_path: Path) -> None:
    arch = catalog()[name].arch.scaled(0.25)
    model, other = build(arch, seed=0).eval(), build(arch, seed=1).eval()
    x = torch.randn(2, 3, 64, 64)
    assert not torch.equal(model(x), other(x))
    torch.save(model.state_dict(), tmp_path / "model.pt")
    other.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    assert torch.equal(model(x), other(x))


def test_mutated_specs_are_refused_in_a_sentence_or_can_be_built() -> None:
    rng = random.Random(0)
    bases = [entry.arch.scaled(0.25).to_dict() for entry in catalog().values()]
    refused = built = 0
    for _ in range(2000):
        raw = mutated(copy.deepcopy(rng.choice(bases)), rng)
        try:
            arch = ArchSpec.from_dict(raw)
        except SpecError as refusal:
            assert "\n" not in str(refusal) and len(str(refusal)) < 400
            refused += 1
            continue
        built += 1
        if built % 10 == 0:  # a tenth of them, since building takes longest
            with torch.device("meta"):
                build(arch)
    assert refused > 1000 and built > 100


def test_a_seed_gives_the_same_weights_and_leaves_the_generator_alone() -> None:
    arch = catalog()["efficientvim_m1"].arch.scaled(0.25)
    before = torch.get_rng_state()
    first, second = build(arch, seed=3).state_dict(), build(arch, seed=3).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[k], second[k]) for k in first)
    third = build(arch, seed=4).state_dict()
    assert any(not torch.equal(first[k], third[k]) for k in first)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build(arch)
    assert not torch.equal(before, torch.get_rng_state())
