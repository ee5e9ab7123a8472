"""timm's contract: what its own `efficientvim_m1` does, ours do, of every family."""

import copy
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from deploying import difference
from reference_data import weights
from timm.models._features_fx import get_notrace_functions, get_notrace_modules
from timm.optim._optim_factory import create_optimizer_v2
from timm.optim._param_groups import param_groups_layer_decay
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

import evnas
from evnas.arch.catalog import catalog

OURS = ["efficientvim_m1", "efficientvim_m1_dist", "vssd_micro", "efficient_vmamba_tiny"]
THEIRS = {"efficientvim_m1": "efficientvim_m1", "efficientvim_m1_dist": "efficientvim_m1_dist"}
evnas.register_timm()


def ours(name: str, **settings: Any) -> Any:
    return timm.create_model(f"evnas_{name}", **settings)


def shapes(found: Any) -> Any:
    return [shapes(f) for f in found] if isinstance(found, list | tuple) else tuple(found.shape)


@pytest.mark.parametrize("name", THEIRS)
def test_shapes_and_settings_are_those_of_timm_s_own(name: str) -> None:
    x = torch.randn(2, 3, 96, 64)
    each: tuple[dict[str, Any], ...] = (
        {},
        {"num_classes": 7},
        {"num_classes": 0},
        {"num_classes": 0, "global_pool": ""},
        {"drop_rate": 0.2, "drop_path_rate": 0.1},
    )
    for settings in each:
        one: Any = ours(name, **settings).eval()
        other: Any = timm.create_model(name, **settings).eval()
        for attribute in ("num_classes", "num_features", "head_hidden_size", "global_pool"):
            assert getattr(one, attribute) == getattr(other, attribute), attribute
        assert [i["num_chs"] for i in one.feature_info] == [
            i["num_chs"] for i in other.feature_info
        ]
        for key in ("input_size", "mean", "std", "crop_pct", "interpolation"):
            assert one.pretrained_cfg[key] == other.pretrained_cfg[key]
        with torch.no_grad():
            assert shapes(one(x)) == shapes(other(x))
            a, b = one.forward_features(x), other.forward_features(x)
            assert shapes(a) == shapes(b)
            for early in (True, False):
                got, want = (
                    m.forward_intermediates(x, indices=[0, -2], stop_early=early)
                    for m in (one, other)
                )
                assert shapes(got[1]) == shapes(want[1])
            assert shapes(one.forward_head(a, pre_logits=True)) == shapes(
                other.forward_head(b, pre_logits=True)
            )
        assert (
            one.group_matcher(coarse=True)["blocks"] == other.group_matcher(coarse=True)["blocks"]
        )


def test_logits_with_the_release_s_weights_are_timm_s() -> None:
    """Two implementations of one model, and one file for both."""
    from timm.models.efficientvim import checkpoint_filter_fn

    state = weights("efficientvim_m1")
    theirs: Any = timm.create_model("efficientvim_m1").eval()
    theirs.load_state_dict(checkpoint_filter_fn(state, theirs))
    one: Any = ours("efficientvim_m1").eval()
    x = torch.randn(2, 3, 64, 64)
    one.load_state_dict(state)
    with torch.no_grad():
        assert difference(one(x), theirs(x)) < 1e-4
        for a, b in zip(one.forward_features(x), theirs.forward_features(x), strict=True):
            assert difference(a, b) < 1e-4
        for a, b in zip(
            one.forward_intermediates(x, intermediates_only=True),
            theirs.forward_intermediates(x, intermediates_only=True),
            strict=True,
        ):
            assert difference(a, b) < 1e-4
        assert difference(evnas.deploy(one)(x), theirs(x)) < 1e-4


@pytest.mark.parametrize("name", OURS)
def test_head_and_features_make_the_forward(name: str) -> None:
    model, x = ours(name, num_classes=5).eval(), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        want = model(x)
        features = model.forward_features(x)
        assert torch.allclose(model.forward_head(features), want, atol=1e-6)
        pooled = model.forward_head(features, pre_logits=True)
        assert pooled.shape == (2, model.head_hidden_size)
        copied = copy.deepcopy(model)
        copied.reset_classifier(0)
        assert torch.equal(copied(x), pooled)
        copied.reset_classifier(0, "")
        assert shapes(copied(x)) == shapes(features)
        copied.reset_classifier(9, "avg")
        assert copied(x).shape == (2, 9) and copied.num_classes == 9
        got, maps = model.forward_intermediates(x)
        assert shapes(got) == shapes(features)
        assert torch.equal(maps[-1], model.forward_intermediates(x, 1, intermediates_only=True)[0])


@pytest.mark.parametrize("name", OURS)
def test_it_trains_as_timm_trains(name: str) -> None:
    model = ours(name, num_classes=5, drop_rate=0.5, drop_path_rate=0.5).train()
    x = torch.randn(4, 3, 64, 64)
    first = model(x)
    assert isinstance(first, Tensor) and first.shape == (4, 5)
    assert not torch.equal(first, model(x))  # dropout and stochastic depth
    if "dist" in name:
        model.set_distilled_training(True)
        assert len(model(x)) == 2
        model.set_distilled_training(False)
    optimizer = create_optimizer_v2(model, "adamw", lr=1e-3, weight_decay=0.05, layer_decay=0.5)
    scales = {group["lr_scale"] for group in optimizer.param_groups}
    assert len(scales) > 4
    groups = param_groups_layer_decay(model, layer_decay=0.5)
    stem = {id(p) for p in model.stem.parameters()}
    first_scale = {g["lr_scale"] for g in groups for p in g["params"] if id(p) in stem}
    assert first_scale == {min(scales)}


@pytest.mark.parametrize("name", ["efficientvim_m1", "vssd_micro"])
def test_recomputed_gradients_are_the_gradients(name: str) -> None:
    model, x = ours(name, num_classes=3).train(), torch.randn(2, 3, 64, 64)
    again = copy.deepcopy(model)
    again.set_grad_checkpointing()
    for one in (model, again):
        one(x).square().sum().backward()
    pairs = zip(model.parameters(), again.parameters(), strict=True)
    assert all(p.grad is None or torch.allclose(p.grad, q.grad, atol=1e-5) for p, q in pairs)


@pytest.mark.parametrize("indices", [(0,), (1,), (0, -1), (-2,), None])
@pytest.mark.parametrize("name", ["efficientvim_m1", "vssd_micro", "efficient_vmamba_tiny"])
def test_features_only(name: str, indices: tuple[int, ...] | None) -> None:
    settings: dict[str, Any] = {} if indices is None else {"out_indices": indices}
    model: Any = ours(name, features_only=True, **settings).eval()
    whole = range(len(catalog()[name].arch.stages))
    wanted = whole if indices is None else sorted(whole[i] for i in indices)
    with torch.no_grad():
        maps = model(torch.randn(1, 3, 64, 64))
    info, arch = model.feature_info, catalog()[name].arch
    assert [m.shape[1] for m in maps] == info.channels() == [arch.stages[i].dim for i in wanted]
    assert info.reduction() == [arch.reduction[i] for i in wanted]
    if name in THEIRS:
        other: Any = timm.create_model(name, features_only=True, **settings)
        for i in range(len(other.feature_info.info)):
            assert info.channels(i) == other.feature_info.channels(i)
        assert info.get_dicts(["num_chs"]) == other.feature_info.get_dicts(["num_chs"])


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("name", OURS)
def test_images_of_other_channels(name: str, channels: int) -> None:
    model = ours(name, in_chans=channels).eval()
    assert model(torch.randn(1, channels, 64, 64)).shape == (1, 1000)
    first = dict(model.named_modules())[model.pretrained_cfg["first_conv"]]
    assert isinstance(first, nn.Conv2d) and first.in_channels == channels
    for path in model.pretrained_cfg["classifier"]:
        assert isinstance(model.get_submodule(path), nn.Linear)


@pytest.mark.parametrize("name", ["efficientvim_m1", "vssd_micro"])
def test_released_files_by_timm_s_own_words(name: str, tmp_path: Path) -> None:
    path, state = tmp_path / "w.pth", weights(name)
    torch.save({"model": state}, path)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        want = evnas.load_official(name, path)(x)
        assert torch.equal(ours(name, checkpoint_path=str(path)).eval()(x), want)
        overlay = {"file": str(path)}
        found = ours(name, pretrained=True, pretrained_cfg_overlay=overlay).eval()
        assert torch.equal(found(x), want)
        tuned = ours(
            name, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=4, in_chans=1
        )
    assert tuned.get_classifier() is not None and tuned(torch.randn(2, 1, 64, 64)).shape == (2, 4)
    key = "stages.0.blocks.0.mixer.D"
    assert torch.equal(tuned.state_dict()[key], found.state_dict()[key])


@pytest.mark.parametrize("name", ["efficientvim_m1", "vssd_micro", "efficient_vmamba_tiny"])
def test_torch_fx_sees_the_layers_and_gives_the_same(name: str) -> None:
    model = ours(name).eval()
    given = {"leaf_modules": get_notrace_modules(), "autowrap_functions": get_notrace_functions()}
    _, nodes = get_graph_node_names(model, tracer_kwargs=given, suppress_diff_warning=True)
    *_, last = (node for node in nodes if "stages.0.downsample" in node)
    wanted = [last, nodes[-1]]
    traced = create_feature_extractor(
        model, return_nodes=wanted, tracer_kwargs=given, suppress_diff_warning=True
    )
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        found = traced(x)
        assert torch.equal(found[nodes[-1]], model(x))
    side = 64 // model.feature_info[1]["reduction"]
    assert found[last].shape == (1, model.feature_info[1]["num_chs"], side, side)


@pytest.mark.parametrize("name", ["vssd_micro", "efficient_vmamba_tiny"])
def test_the_configuration_knows_the_last_map(name: str) -> None:
    model = ours(name).eval()
    x = torch.zeros(1, *model.default_cfg["input_size"])
    with torch.inference_mode():
        assert model.forward_features(x).shape[2:] == model.default_cfg["pool_size"]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="global_pool must be 'avg'"):
        ours("vssd_micro", global_pool="max")
    with pytest.raises(ValueError, match="global_pool must be 'avg'"):
        ours("vssd_micro", global_pool="")
    with pytest.raises(ValueError, match="indices must name some of 4 stages"):
        ours("vssd_micro", features_only=True, out_indices=(0, 4))
    with pytest.raises(TypeError, match="depths"):
        ours("vssd_micro", depths=3)
