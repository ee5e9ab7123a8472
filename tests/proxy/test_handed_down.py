"""Weights handed down: every thing to its own place, whatever the two shapes are."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from evnas.arch.catalog import entry
from evnas.arch.spec import ArchSpec
from evnas.blocks.backbone import build
from evnas.errors import DataError
from evnas.proxy.handed_down import Lineage, Weights, hand_down, sections_of

MIXERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "hsm_ssd": ({"states": 4, "heads": 2}, {"states": 9, "heads": 1}),
    "nc_ssd": ({"states": 4, "heads": 2}, {"states": 9, "heads": 4}),
    "sa": ({"heads": 2}, {"heads": 4}),
    "ss2d": ({"d_state": 1, "gate": True}, {"d_state": 4, "gate": False}),
    "es2d": ({"d_state": 1}, {"d_state": 2, "dt_rank": 3}),
}


def arch(mixer: dict[str, Any], *, dim: int, depth: int) -> ArchSpec:
    stage = {"block": "vssd", "dim": dim, "depth": depth, "mixer": mixer, "mlp_ratio": 2.0}
    raw = entry("efficientvim_m1").arch.to_dict()
    return ArchSpec.from_dict(
        raw | {"stages": [stage], "num_classes": 4, "head": {"fusion": "none"}}
    )


def backbone(spec: ArchSpec, seed: int) -> nn.Module:
    return build(spec, seed=seed)


def family(kind: str) -> tuple[nn.Module, nn.Module]:
    small, large = MIXERS[kind]
    return (
        backbone(arch({"kind": kind, **small}, dim=16, depth=1), 0),
        backbone(arch({"kind": kind, **large}, dim=32, depth=2), 1),
    )


@pytest.mark.parametrize("kind", MIXERS)
def test_sections_cover_their_axis(kind: str) -> None:
    for model in family(kind):
        found = sections_of(model)
        assert found
        for name, (axis, sizes) in found.items():
            assert sum(sizes.values()) == model.state_dict()[name].shape[axis], name


@pytest.mark.parametrize("kind", MIXERS)
def test_one_of_the_same_shape_is_a_copy(kind: str) -> None:
    parent, _ = family(kind)
    child = backbone(arch({"kind": kind, **MIXERS[kind][0]}, dim=16, depth=1), 7)
    assert hand_down(parent, child) == 1
    for name, value in parent.state_dict().items():
        assert torch.equal(child.state_dict()[name], value), name


@pytest.mark.parametrize("kind", MIXERS)
@pytest.mark.parametrize("grows", [True, False])
def test_each_section_goes_to_its_own_place(kind: str, grows: bool) -> None:
    parent, child = family(kind) if grows else family(kind)[::-1]
    fresh = {name: value.clone() for name, value in child.state_dict().items()}
    share = hand_down(parent, child)
    assert 0 < share < 1 or (not grows and share == pytest.approx(1, abs=0.5))
    theirs, mine = sections_of(parent), sections_of(child)
    for name, (axis, sizes) in mine.items():
        if name not in theirs:
            continue
        for part, size in sizes.items():
            here = piece(child.state_dict()[name], axis, sizes, part)
            if part not in theirs[name][1]:
                before = piece(fresh[name], axis, sizes, part)
                assert torch.equal(here, before), (name, part)
                continue
            there = piece(parent.state_dict()[name], axis, theirs[name][1], part)
            both = tuple(slice(0, min(s)) for s in zip(here.shape, there.shape, strict=True))
            assert torch.equal(here[both], there[both]), (name, part)
            assert both[axis].stop == min(size, theirs[name][1][part])


def piece(value: Tensor, axis: int, sizes: Any, part: str) -> Tensor:
    names = list(sizes)
    start = sum(sizes[name] for name in names[: names.index(part)])
    return value.narrow(axis, start, sizes[part])


def test_what_the_parent_has_not_stays_fresh() -> None:
    parent, child = family("hsm_ssd")
    fresh = {name: value.clone() for name, value in child.state_dict().items()}
    hand_down(parent, child)
    extra = [name for name in fresh if name not in parent.state_dict()]
    assert any("blocks.1" in name for name in extra)
    for name in extra:
        assert torch.equal(child.state_dict()[name], fresh[name])
    wide = child.state_dict()["stages.0.blocks.0.mixer.O"]
    assert torch.equal(wide[16:], fresh["stages.0.blocks.0.mixer.O"][16:])


def test_another_mixer_takes_none_of_its_parameters() -> None:
    parent, _ = family("hsm_ssd")
    child = backbone(arch({"kind": "nc_ssd", "states": 4, "heads": 2}, dim=16, depth=1), 1)
    fresh = {name: value.clone() for name, value in child.state_dict().items()}
    assert 0 < hand_down(parent, child) < 1
    for name in ("in_proj.weight", "A_log", "dt_bias"):
        whole = f"stages.0.blocks.0.mixer.{name}"
        assert torch.equal(child.state_dict()[whole], fresh[whole])


def test_a_child_learns_on_and_leaves_its_parent_alone() -> None:
    parent, child = family("hsm_ssd")
    before = {name: value.clone() for name, value in parent.state_dict().items()}
    hand_down(parent, child)
    loss = child(torch.randn(2, 3, 64, 64)).square().mean()
    loss.backward()
    with torch.no_grad():
        for parameter in child.parameters():
            assert parameter.grad is not None
            parameter.sub_(parameter.grad)
    for name, value in parent.state_dict().items():
        assert torch.equal(value, before[name])


def test_weights_come_back_from_their_file(tmp_path: Path) -> None:
    parent, _ = family("sa")
    lineage = Lineage().then("base", 100).then("abc", 50)
    assert lineage == Lineage(digests=("base", "abc"), presentations=150)
    spec = arch({"kind": "sa", "heads": 2}, dim=16, depth=1)
    kept = Weights(arch=spec.to_dict(), state=parent.state_dict(), lineage=lineage)
    kept.save(tmp_path / "w.pt")
    again = Weights.load(tmp_path / "w.pt", whose="parent abc")
    assert again.lineage == lineage and ArchSpec.from_dict(again.arch) == spec
    assert all(torch.equal(again.state[n], v) for n, v in parent.state_dict().items())
    assert [file.name for file in tmp_path.iterdir()] == ["w.pt"]


def test_weights_that_are_gone_are_named(tmp_path: Path) -> None:
    (tmp_path / "bad.pt").write_bytes(b"no")
    for name in ("none.pt", "bad.pt"):
        with pytest.raises(DataError, match=f"{name} must hold the weights of parent abc"):
            Weights.load(tmp_path / name, whose="parent abc")
