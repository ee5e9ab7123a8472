"""The deployed form of whole models: the same logits, its own weights, inference only."""

import copy
from pathlib import Path

import pytest
import torch
from deploying import FAMILIES, LAYOUTS, TOLERANCE, difference, settled
from hypothesis import given, settings
from strategies import archs

import evnas
from evnas.arch.catalog import catalog
from evnas.arch.spec import ArchSpec
from evnas.blocks.backbone import build
from evnas.blocks.deploy import Deployed, deploy
from evnas.runtime import Layout


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", FAMILIES)
def test_catalogue_logits_agree(name: str, layout: Layout) -> None:
    model = settled(build(catalog()[name].arch.scaled(0.125), seed=0))
    x = torch.randn(3, 3, 64, 96)
    with torch.inference_mode():
        got, want = deploy(model, layout=layout)(x), model(x)
    assert want.std() > 1e-3
    assert difference(got, want) < TOLERANCE[torch.float32]


@settings(deadline=None, max_examples=40)
@given(archs())
def test_every_architecture_agrees_in_both_layouts(arch: ArchSpec) -> None:
    model = settled(build(arch, seed=0)).double()
    x = torch.randn(2, 3, 37, 28, dtype=torch.float64)
    with torch.no_grad():
        want = model(x)
        for layout in LAYOUTS:
            got = deploy(model, layout=layout)(x)
            assert difference(got, want) < TOLERANCE[torch.float64], layout


@settings(deadline=None, max_examples=25)
@given(archs())
def test_every_architecture_agrees_on_fused_primitives(arch: ArchSpec) -> None:
    wide = arch.model_copy(update={"num_classes": 64})  # one logit alone may cancel to nothing
    model = build(wide, seed=0).eval()  # as built: rounding is not blown up by wild weights
    x = torch.randn(2, 3, 37, 28)
    with torch.inference_mode():
        assert difference(deploy(model)(x), model(x)) < TOLERANCE[torch.float32]


def test_feature_maps_agree() -> None:
    arch = catalog()["efficientvim_m1"].arch.scaled(0.125)
    model = settled(build(arch, features_only=True, out_indices=(0, 2), seed=0))
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        got, want = evnas.deploy(model)(x), model(x)
    assert len(got) == len(want) == 2
    assert all(difference(g, w) < 1e-4 for g, w in zip(got, want, strict=True))


def test_slices_do_not_show() -> None:
    """Eleven images of 224 pixels are three slices in the stem and the first downsampling."""
    model = settled(build(catalog()["efficientvim_m1"].arch, seed=0))
    x = torch.randn(11, 3, 224, 224)
    with torch.inference_mode():
        assert difference(deploy(model)(x), model(x)) < TOLERANCE[torch.float32]


def test_the_model_is_left_as_it_was() -> None:
    model = settled(build(catalog()["efficientvim_m1"].arch.scaled(0.125), seed=0)).train()
    before = copy.deepcopy(model.state_dict())
    deployed = deploy(model)
    deployed(torch.randn(2, 3, 64, 64))
    after = model.state_dict()
    assert model.training and all(m.training for m in model.modules())
    assert before.keys() == after.keys()
    assert all(torch.equal(before[k], after[k]) for k in before)
    storages = {p.data_ptr() for p in model.parameters()}
    assert all(p.data_ptr() not in storages for p in deployed.parameters())
    assert all(p.requires_grad for p in model.parameters())


def test_a_model_in_training_mode_is_deployed_as_it_would_evaluate() -> None:
    model = settled(build(catalog()["efficientvim_m1_dist"].arch.scaled(0.125), seed=0))
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        want = model(x)
        assert difference(deploy(model.train())(x), want) < TOLERANCE[torch.float32]


def test_training_mode_is_refused() -> None:
    deployed = deploy(build(catalog()["efficientvim_m1"].arch.scaled(0.125), seed=0))
    assert not any(m.training for m in deployed.modules())
    assert not any(p.requires_grad for p in deployed.parameters())
    with pytest.raises(RuntimeError, match=r"inference only.*train the model it was made from"):
        deployed.train()
    assert deployed.eval() is deployed


def test_wrong_arguments_are_refused() -> None:
    model = build(catalog()["efficientvim_m1"].arch.scaled(0.125), seed=0)
    with pytest.raises(ValueError, match=r"layout must be 'auto'.*got 'nhwc'"):
        deploy(model, layout="nhwc")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="deployed already"):
        deploy(deploy(model))


def test_state_survives_saving(tmp_path: Path) -> None:
    arch = catalog()["efficientvim_m1"].arch.scaled(0.125)
    first, second = (deploy(settled(build(arch, seed=s))) for s in (0, 1))
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        want = first(x)
        assert difference(second(x), want) > 0.01  # and its packed weights are in use
    torch.save(first.state_dict(), tmp_path / "deployed.pt")
    second.load_state_dict(torch.load(tmp_path / "deployed.pt", weights_only=True))
    with torch.inference_mode():
        assert torch.equal(second(x), want)


def test_a_copy_stands_alone() -> None:
    deployed = deploy(settled(build(catalog()["efficientvim_m1"].arch.scaled(0.125), seed=0)))
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        want = deployed(x)
        other = copy.deepcopy(deployed)
        for parameter in deployed.parameters():
            parameter.zero_()
        assert isinstance(other, Deployed)
        assert difference(other(x), want) < TOLERANCE[torch.float32]
        assert not deployed(x).any()


def test_autocast_is_obeyed() -> None:
    deployed = deploy(settled(build(catalog()["efficientvim_m1"].arch.scaled(0.125), seed=0)))
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        want = deployed(x)
        with torch.autocast("cpu", torch.bfloat16):
            got = deployed(x)
    assert got.dtype == torch.bfloat16
    assert difference(got.float(), want) < 0.1


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", FAMILIES)
def test_weights_in_half_precision(name: str, layout: Layout) -> None:
    model = settled(build(catalog()[name].arch.scaled(0.125), seed=0))
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        got = deploy(model, layout=layout, dtype=torch.bfloat16)(x)
        assert got.dtype == torch.bfloat16
        assert difference(got.float(), model(x)) < 0.1
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_gradients_reach_the_image() -> None:
    """Saliency maps and adversarial examples need them."""
    deployed = deploy(settled(build(catalog()["efficientvim_m1"].arch.scaled(0.125), seed=0)))
    x = torch.randn(1, 3, 64, 64, requires_grad=True)
    deployed(x).sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
