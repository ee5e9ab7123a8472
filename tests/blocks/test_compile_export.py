"""Compilers and exporters take a model of every family whole, plain and deployed."""

import shutil
from pathlib import Path

import pytest
import torch
from labels import headed
from torch import Tensor, nn

from evnas.arch.catalog import catalog
from evnas.arch.spec import ArchSpec
from evnas.blocks.backbone import build
from evnas.blocks.deploy import deploy
from evnas.kernels import dispatch

FAMILIES = ["efficientvim_m1", "vssd_micro", "vmamba_tiny_s1l8", "efficient_vmamba_tiny"]
FORMS = ["plain", "deployed"]


@pytest.fixture(autouse=True)
def no_graphs_left() -> None:
    torch.compiler.reset()


def small(name: str) -> ArchSpec:
    """A block a stage, an eighth of the width."""
    raw = catalog()[name].arch.scaled(0.125).to_dict()
    for stage in raw["stages"]:
        stage["depth"] = 1
    return ArchSpec.from_dict(raw | {"num_classes": 7})


def made(name: str, form: str) -> nn.Module:
    model = build(small(name), seed=0).eval()
    return deploy(model) if form == "deployed" else model


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", FAMILIES)
def test_compile_without_a_graph_break(name: str, form: str, images: Tensor) -> None:
    model = made(name, form)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(images), model(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_compile_a_training_step_without_a_graph_break(
    name: str, images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Operators on both sides: batch norms of two images make these gradients so ill-conditioned
    that the rounding of another implementation, which eager `auto` may take, would show."""
    unmeasured = tmp_path / "choices.json"
    unmeasured.write_text("[]")
    monkeypatch.setattr(dispatch, "CHOICES_FILE", unmeasured)
    model = build(small(name), seed=0)
    model(images).square().sum().backward()
    want = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    compiled(images).square().sum().backward()
    for n, p in model.named_parameters():
        assert p.grad is not None
        torch.testing.assert_close(p.grad, want[n], rtol=1e-3, atol=1e-4, msg=headed(n))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", FAMILIES)
def test_export(name: str, form: str, images: Tensor) -> None:
    model = made(name, form)
    with torch.no_grad():
        exported = torch.export.export(model, (images,)).module()
        torch.testing.assert_close(exported(images), model(images), rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(shutil.which("c++") is None, reason="inductor needs a C++ compiler")
def test_inductor_gives_the_same_logits(images: Tensor) -> None:
    raw = small("efficientvim_m1").to_dict()
    model = deploy(build(ArchSpec.from_dict(raw | {"stages": raw["stages"][:1]}), seed=0))
    compiled = torch.compile(model, fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(images), model(images), rtol=1e-4, atol=1e-4)
