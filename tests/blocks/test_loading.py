"""Weights as people have them: wrapped, of old code, of a sibling, for another task."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from deploying import difference
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_data import weights
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from evnas.arch.catalog import catalog
from evnas.arch.paths import edit
from evnas.blocks.backbone import build
from evnas.blocks.fill import for_channels
from evnas.blocks.official import load_official, load_state, read_checkpoint, to_official
from evnas.blocks.unwrap import COUNTERS, INSERTED, NESTS, unwrapped
from evnas.errors import DataError

STATE = {f"{part}.{i}.weight": torch.full((2,), i) for part in ("stem", "stages") for i in (0, 1)}
PREFIXES = ("module", "model", "backbone", "net", "ema_model", "encoder", "module.module")


def nested(state: dict[str, Any], name: str) -> dict[str, Any]:
    return {name: state, "epoch": 3, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}}


def inserted(state: dict[str, Any], name: str, at: int) -> dict[str, Any]:
    def rename(key: str) -> str:
        parts = key.split(".")
        return ".".join([*parts[:at], name, *parts[at:]])

    return {rename(key): value for key, value in state.items()}


wrappings = st.lists(
    st.one_of(
        st.tuples(st.just("nest"), st.sampled_from([*NESTS, "model_ema", "state_dict_ema"])),
        st.tuples(st.just("prefix"), st.sampled_from(PREFIXES)),
        st.tuples(st.just("insert"), st.sampled_from(sorted(INSERTED))),
        st.tuples(st.just("counter"), st.sampled_from(sorted(COUNTERS))),
    ),
    max_size=6,
)


@settings(deadline=None, max_examples=150)
@given(wrappings, st.integers(0, 2))
def test_whatever_is_wrapped_around_comes_off(wraps: list[tuple[str, str]], at: int) -> None:
    """Keys are wrapped first, as a training does before it saves, then nested."""
    state: dict[str, Any] = dict(STATE)
    for kind, name in sorted(wraps, key=lambda wrap: wrap[0] == "nest"):
        if kind == "nest":
            state = nested(state, name)
        elif kind == "prefix":
            state = {f"{name}.{key}": value for key, value in state.items()}
        elif kind == "insert":
            state = inserted(state, name, at)
        else:
            state = state | {f"stem.{name}": torch.zeros(1)}
    found = unwrapped(state)
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[key], value) for key, value in STATE.items())


def test_a_whole_model_of_its_own_is_left_as_it_is() -> None:
    for features_only in (False, True):
        model = build(catalog()["efficientvim_m1"].arch.scaled(0.125), features_only=features_only)
        assert unwrapped(model.state_dict()).keys() == model.state_dict().keys()


def test_two_models_in_one_file_are_no_guess() -> None:
    with pytest.raises(DataError, match=r"must hold one state dict.*got student, teacher"):
        unwrapped({"student": STATE, "teacher": STATE})


def test_two_keys_that_become_one_are_refused() -> None:
    with pytest.raises(DataError, match=r"two of stem\.weight"):
        unwrapped({"stem._orig_mod.weight": torch.ones(1), "stem.weight": torch.ones(1)})


def test_the_releases_own_wrappings(tmp_path: Path) -> None:
    state = weights("efficient_vmamba_tiny")
    held = {
        "state_dict": {f"module.module.{key}": value for key, value in state.items()},
        "best_top1": np.float64(76.5),
        "meters": {"loss": np.float32(1.0)},
    }
    torch.save(held, tmp_path / "v.pth")
    model = load_official("efficient_vmamba_tiny", tmp_path / "v.pth")
    assert all(torch.equal(v, state[k]) for k, v in to_official(model).items())


def test_torch_s_own_wrappers() -> None:
    arch = catalog()["efficientvim_m1"].arch.scaled(0.125)
    model = build(arch, seed=0)
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    averaged.update_parameters(model)
    compiled: Any = torch.compile(averaged)
    wrapped = nn.DataParallel(compiled)
    other = build(arch, seed=1)
    assert load_state(other, {"ema": wrapped.state_dict()}) == ()
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in other.state_dict().items())


def old_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Vanilla-VMamba's files as they are."""
    pairs = (
        ("patch_embed.0.", "patch_embed.proj."),
        ("patch_embed.2.", "patch_embed.norm."),
        (".op.", ".self_attention."),
        ("classifier.norm.", "norm."),
        ("classifier.head.", "head."),
    )
    found = {}
    for key, value in state.items():
        for new, old in pairs:
            key = key.replace(new, old)
        if ".blocks." in key:
            key = key.replace(".norm.", ".ln_1.")
        found[key] = value
    return found


@pytest.mark.parametrize("name", ["vanilla_vmamba_tiny", "efficient_vmamba_tiny"])
def test_names_of_the_first_files_are_taken(name: str) -> None:
    state = weights(name)
    old = old_names(
        {k: v for k, v in state.items() if ".se." not in k} if "evss" in name else state
    )
    if name == "efficient_vmamba_tiny":  # its blocks have norms in other places too
        old = {k.replace(".se.ln_1.", ".se.norm."): v for k, v in old.items()}
    assert old.keys() != state.keys()
    model = load_official(name, {"model": old})
    assert all(torch.equal(v, state[k]) for k, v in to_official(model).items())


def test_counters_of_steps_may_be_missing() -> None:
    state = {k: v for k, v in weights("vssd_micro").items() if "num_batches_tracked" not in k}
    assert len(state) < len(weights("vssd_micro"))
    again = to_official(load_official("vssd_micro", state))
    assert all(torch.equal(v, again[k]) for k, v in state.items())


@pytest.mark.parametrize(
    ("asked", "got"), [("efficientvim_m2", "efficientvim_m3"), ("vssd_micro", "vssd_tiny")]
)
def test_a_sibling_is_named(asked: str, got: str) -> None:
    state = build(catalog()[got].arch).state_dict()
    with pytest.raises(DataError, match=rf"; it fits .*{got}"):
        load_state(build(catalog()[asked].arch), state)


# --- fine-tuning --------------------------------------------------------------------------------


@pytest.mark.parametrize("official", [False, True])
@pytest.mark.parametrize("name", ["efficientvim_m1_dist", "vssd_micro"])
def test_other_classes_keep_their_classifier(name: str, official: bool) -> None:
    trained = build(catalog()[name].arch, seed=0)
    state = to_official(trained) if official else trained.state_dict()
    arch = edit(catalog()[name].arch, {"num_classes": 7})
    model = build(arch, seed=1)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(DataError, match=r"misshapen.*new_classifier=True"):
        load_state(model, state)
    left_out = load_state(model, state, new_classifier=True)
    heads = [k for k in before if k.startswith("head.classifier")]
    assert len(left_out) == len(heads) and set(left_out) <= state.keys()
    for key, value in model.state_dict().items():
        want = before if key in heads else trained.state_dict()
        assert torch.equal(value, want[key]), key


def test_a_feature_backbone_takes_what_it_has() -> None:
    arch = catalog()["vmamba_tiny_s1l8"].arch.scaled(0.125)
    whole: Any = build(arch, seed=0).eval()
    part = build(arch, features_only=True, out_indices=(0, 2), seed=1).eval()
    left_out = load_state(
        part, {"model": {f"backbone.{k}": v for k, v in to_official(whole).items()}}
    )
    assert "classifier.head.weight" in left_out
    x = torch.randn(1, 3, 64, 64)
    maps, _ = whole.forward_features(x)
    assert all(torch.equal(a, b) for a, b in zip(part(x), (maps[0], maps[2]), strict=True))


@pytest.mark.parametrize("channels", [1, 2, 4, 6])
@pytest.mark.parametrize("name", ["efficientvim_m1", "vssd_micro", "vmamba_tiny_s1l8"])
def test_images_of_other_channels(name: str, channels: int) -> None:
    arch = catalog()[name].arch.scaled(0.125)
    trained = build(arch, seed=0).eval()
    model = build(arch, seed=1, in_chans=channels).eval()
    load_state(model, trained.state_dict())
    grey = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        want = trained(grey.expand(-1, 3, -1, -1))
        got = model(grey.expand(-1, channels, -1, -1))
    if channels in (1, 6):  # the others weigh the three colours by turns
        assert difference(got, want) < 1e-4
    assert got.shape == want.shape


def test_weights_are_adapted_as_timm_does() -> None:
    from timm.models import adapt_input_conv

    weight = torch.randn(8, 3, 3, 3)
    for channels in (1, 2, 3, 4, 5, 7):
        assert torch.allclose(for_channels(weight, channels), adapt_input_conv(channels, weight))


def test_a_file_that_holds_code_is_still_refused(tmp_path: Path) -> None:
    torch.save({"model": STATE, "args": Path("x")}, tmp_path / "x.pth")
    with pytest.raises(DataError, match="pathlib"):
        read_checkpoint(tmp_path / "x.pth")
