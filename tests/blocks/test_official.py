"""Loading released weights, refusing wrong ones, and giving them back."""

import random
import re
import sys
from argparse import Namespace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from reference_data import weights

import evnas
from evnas.arch.catalog import entry
from evnas.arch.paths import edit
from evnas.blocks.backbone import build
from evnas.blocks.official import load_official, load_state, read_checkpoint, to_official
from evnas.errors import DataError, SpecError

ONE_A_FAMILY = ["efficientvim_m1_dist", "vssd_micro", "vmamba_tiny_s1l8", "efficient_vmamba_tiny"]


@pytest.mark.parametrize("name", [*ONE_A_FAMILY, "vanilla_vmamba_tiny"])
def test_there_and_back_is_exact(name: str) -> None:
    state = weights(name)
    model = load_official(name, state)
    assert not model.training
    back = to_official(model)
    assert list(back) == list(state)
    for key, value in state.items():
        assert back[key].shape == value.shape and back[key].dtype == value.dtype
        assert torch.equal(back[key], value), key


def test_an_alias_names_a_model_too() -> None:
    assert load_official("m1", weights("efficientvim_m1"))


@pytest.mark.parametrize("nest", ["model", "state_dict", "model_ema", "state_dict_ema"])
def test_a_nested_checkpoint_file_is_read(nest: str, tmp_path: Path) -> None:
    state = weights("efficientvim_m1")
    torch.save({nest: state, "epoch": 300}, tmp_path / "m1.pth")
    model = load_official("efficientvim_m1", tmp_path / "m1.pth")
    assert torch.equal(to_official(model)["weights"], state["weights"])


@pytest.mark.parametrize("nest", ["", "model", "model_ema"])
def test_keys_of_a_model_that_was_wrapped_are_taken(nest: str) -> None:
    state = weights("efficientvim_m1")
    wrapped = {f"module.{k}": v for k, v in state.items()}
    model = load_official("efficientvim_m1", {nest: wrapped} if nest else wrapped)
    assert torch.equal(to_official(model)["weights"], state["weights"])


def test_one_key_without_the_wrapper_is_a_fault() -> None:
    state = {f"module.{k}": v for k, v in weights("efficientvim_m1").items()}
    state["weights"] = state.pop("module.weights")
    with pytest.raises(DataError, match=r"unexpected module\."):
        load_official("efficientvim_m1", state)


class CfgNode(dict[str, Any]):
    """Stands in for yacs', which VMamba's and VSSD's training code saves its settings in."""

    __module__ = "yacs.config"


def test_settings_beside_the_weights_are_read_past(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    yacs = ModuleType("yacs.config")
    yacs.CfgNode = CfgNode  # type: ignore[attr-defined] # a module made here
    monkeypatch.setitem(sys.modules, "yacs", ModuleType("yacs"))
    monkeypatch.setitem(sys.modules, "yacs.config", yacs)
    state = weights("vmamba_tiny_s1l8")
    settings = {"config": CfgNode(MODEL=CfgNode(NAME="x")), "args": Namespace(lr=1e-3)}
    torch.save({"model": state, "epoch": 300, **settings}, tmp_path / "t.pth")
    monkeypatch.setitem(sys.modules, "yacs", None)  # from here on it cannot be imported
    monkeypatch.delitem(sys.modules, "yacs.config")
    model = load_official("vmamba_tiny_s1l8", tmp_path / "t.pth")
    assert torch.equal(to_official(model)["classifier.head.bias"], state["classifier.head.bias"])


def test_averaged_weights_come_before_raw_ones(tmp_path: Path) -> None:
    state = weights("efficientvim_m1")
    raw = {k: torch.zeros_like(v) for k, v in state.items()}
    torch.save({"model": raw, "model_ema": state}, tmp_path / "m1.pth")
    model = load_official("efficientvim_m1", str(tmp_path / "m1.pth"))
    assert torch.equal(to_official(model)["weights"], state["weights"])


def test_projections_are_taken_as_matrices_or_as_convolutions() -> None:
    state = weights("vmamba_tiny_s1l8")
    four_d = {k: v[..., None, None] if k.endswith("fc1.weight") else v for k, v in state.items()}
    assert load_official("vmamba_tiny_s1l8", four_d)


def test_the_first_missing_unexpected_and_misshapen_keys_are_named() -> None:
    state = weights("efficientvim_m1")
    del state["weights"], state["norm.0.weight"]
    state["head.weight"] = torch.zeros(3)
    state["stages.0.blocks.0.alpha"] = torch.zeros(4, 127)
    with pytest.raises(DataError) as refused:
        load_official("efficientvim_m1", state)
    message = str(refused.value)
    assert "the state dict is not efficientvim_m1: " in message
    assert "missing weights and 1 more" in message
    assert "unexpected head.weight" in message
    assert "misshapen stages.0.blocks.0.alpha ((4, 127), must be (4, 128))" in message


def test_another_models_weights_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"unexpected weights_dist and 8 more; it fits efficientvim_m1_dist$"
    ):
        load_official("efficientvim_m1", weights("efficientvim_m1_dist"))


def test_a_value_that_is_no_tensor_is_refused() -> None:
    state = weights("efficientvim_m1") | {"weights": "heavy"}
    with pytest.raises(DataError, match=r"misshapen weights \(str, must be \(4,\)\)"):
        load_official("efficientvim_m1", state)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "there is no file"),
        (b"", "must be a checkpoint"),
        (b"PK\x03\x04junk", "must be a checkpoint"),
        (b"\x80\x02junk", "must be a checkpoint"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused(
    content: bytes | None, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=reason) as refused:
        load_official("efficientvim_m1", path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_no_damage_to_a_file_gives_a_traceback(zipped: bool, tmp_path: Path) -> None:
    path, rng = tmp_path / "weights.pth", random.Random(0)
    state = {"model": {"a": torch.ones(3), "b": torch.zeros(2, 2)}, "epoch": 3}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    whole, refused = path.read_bytes(), 0
    for _ in range(150):
        damaged = bytearray(whole[: rng.randrange(1, len(whole) + 1)])
        for _ in range(rng.randrange(4)):
            damaged[rng.randrange(min(len(damaged), 200))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            read_checkpoint(path)
        except DataError as e:
            assert "\n" not in str(e) and str(path) in str(e)
            refused += 1
    assert refused > 100


class Payload:
    """What a checkpoint must not be able to run."""

    def __reduce__(self) -> tuple[object, ...]:
        return (exec, ("raise SystemExit",))


def test_code_in_a_checkpoint_does_not_run(tmp_path: Path) -> None:
    torch.save({"model": {}, "args": Payload()}, tmp_path / "weights.pth")
    with pytest.raises(DataError, match="tensors and plain data alone") as refused:
        load_official("efficientvim_m1", tmp_path / "weights.pth")
    assert "got: an object of exec; save the state dict alone" in str(refused.value)
    assert "weights_only" not in str(refused.value)  # no advice to run the code after all


@pytest.mark.parametrize("text", ["name: x\n", "export A=1\n", "\x80no pickle"])
def test_any_other_file_is_told_without_torch_s_advice(tmp_path: Path, text: str) -> None:
    (tmp_path / "weights.pth").write_text(text)
    with pytest.raises(DataError, match=r"got: a file that torch\.save did not write") as refused:
        load_official("efficientvim_m1", tmp_path / "weights.pth")
    assert "weights_only" not in str(refused.value)


def test_a_file_that_holds_no_mapping_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(1)], tmp_path / "weights.pth")
    with pytest.raises(DataError, match="must hold a state dict, got list"):
        load_official("efficientvim_m1", tmp_path / "weights.pth")


def test_names_without_a_release_are_refused() -> None:
    with pytest.raises(SpecError, match="never released"):
        load_official("vssd_tiny_appendix", {})
    with pytest.raises(SpecError, match=re.escape("did you mean 'efficientvim_m2'?")):
        load_official("eficientvim_m2", {})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"stages[0].block": "vss"}, "one family alone"),
        ({"downsample": "vssd"}, "got stem efficientvim and downsampling vssd"),
        ({"stages[0].mixer": {"kind": "ss2d"}, "head.fusion": "none"}, "has no name for"),
    ],
)
def test_a_design_of_no_release_has_no_official_names(
    changes: dict[str, object], reason: str
) -> None:
    model = build(edit(entry("efficientvim_m1").arch, changes))
    with pytest.raises(SpecError, match=reason):
        to_official(model)


def test_only_models_of_ours_have_official_names() -> None:
    with pytest.raises(SpecError, match="got Linear"):
        to_official(torch.nn.Linear(1, 1))


def test_our_own_names_are_taken_and_checked_too() -> None:
    model, other = (build(entry("efficientvim_m1").arch, seed=seed) for seed in (0, 1))
    load_state(other, {"model": model.state_dict(), "epoch": 3})
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in other.state_dict().items())
    spoilt = model.state_dict() | {"head.weights": torch.zeros(5)}
    with pytest.raises(DataError, match=r"misshapen head.weights \(\(5,\), must be \(4,\)\)"):
        load_state(other, spoilt)


def test_a_fine_tuned_model_keeps_its_own_class_count() -> None:
    arch = edit(entry("efficientvim_m1").arch, {"num_classes": 10})
    model = build(arch, seed=0)
    state = to_official(model)
    assert state["heads.3.weight"].shape == (10, 320)
    evnas.load_state(build(arch), state)
