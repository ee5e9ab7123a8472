"""What other people's code meets: stage maps, timm's factory, exporters and compilers."""

import re
from typing import Any, cast

import pytest
import timm
import torch
from timm.data.config import resolve_model_data_config

import evnas
from evnas.arch.catalog import catalog, entry
from evnas.arch.paths import edit
from evnas.blocks.backbone import Backbone, build, drop_path_rates
from evnas.blocks.layers import DropPath

ONE_A_FAMILY = [
    "efficientvim_m1",
    "vssd_micro",
    "vanilla_vmamba_tiny",
    "vmamba_tiny_s1l8",
    "efficient_vmamba_tiny",
]


def small(name: str) -> Backbone:
    """A catalogue entry at a small width, one block a stage, in eval mode."""
    arch = edit(entry(name).arch.scaled(0.125), {"stages[*].depth": 1, "num_classes": 7})
    model = build(arch, seed=0)
    assert isinstance(model, Backbone)
    return model.eval()


def test_feature_info_is_that_of_timm() -> None:
    arch = entry("vssd_tiny").arch
    with torch.device("meta"):
        ours: Any = build(arch, features_only=True)
        info = ours.feature_info
        theirs: Any = timm.create_model("resnet50", features_only=True, out_indices=(1, 2, 3, 4))
    assert info.channels() == [64, 128, 256, 512]
    assert info.reduction() == theirs.feature_info.reduction() == [4, 8, 16, 32]
    assert info.module_name() == ["stages.0", "stages.1", "stages.2", "stages.3"]
    assert (info.channels(-1), info.reduction(1)) == (512, 8)
    assert {"num_chs", "reduction", "module", "index"} == set(info.get_dicts()[0])
    assert {"num_chs", "reduction", "module"} <= set(theirs.feature_info.get_dicts()[0])


@pytest.mark.parametrize("wanted", [(0,), (1, 2), (-1,), (3, 0)])
def test_chosen_stages_alone_are_built_and_returned(wanted: tuple[int, ...]) -> None:
    arch = entry("vmamba_tiny_s1l8").arch.scaled(0.125)
    model: Any = build(arch, features_only=True, out_indices=wanted)
    indices = sorted(i % 4 for i in wanted)
    assert len(model.stages) == max(indices) + 1
    maps = model(torch.randn(1, 3, 64, 64))
    assert [m.shape[1] for m in maps] == [arch.stages[i].dim for i in indices]
    assert [info["index"] for info in model.feature_info.get_dicts()] == indices


@pytest.mark.parametrize("wrong", [(), (4,), (-5,)])
def test_a_stage_that_is_not_there_is_refused(wrong: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=re.escape(f"some of 4 stages, got {list(wrong)}")):
        build(entry("vssd_micro").arch, features_only=True, out_indices=wrong)


def test_weights_of_a_classifier_load_into_a_feature_backbone() -> None:
    model = small("efficient_vmamba_tiny")
    features = build(model.arch, features_only=True)
    state = {k: v for k, v in model.state_dict().items() if not k.startswith("head.")}
    features.load_state_dict(state)
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(features.eval()(x)[-1], model.forward_features(x)[0][-1])


def test_the_whole_catalogue_is_registered_with_timm() -> None:
    names = evnas.register_timm()
    assert evnas.register_timm() == names  # and a second time does no harm
    assert names == [f"evnas_{name}" for name in catalog()]
    assert set(timm.list_models("evnas_*")) == set(names)
    with torch.device("meta"):
        for name in names:
            model = timm.create_model(name)
            assert isinstance(model, Backbone) and model.arch == catalog()[name[6:]].arch


def test_timm_builds_with_its_own_words() -> None:
    evnas.register_timm()
    with torch.device("meta"):
        tuned = timm.create_model("evnas_efficientvim_m4", num_classes=10, drop_path_rate=0.1)
        maps: Any = timm.create_model("evnas_vssd_tiny", features_only=True, out_indices=(1, 3))
    assert (
        tuned.num_classes == 10 and tuned(torch.empty(1, 3, 64, 64, device="meta")).shape[1] == 10
    )
    assert resolve_model_data_config(tuned)["input_size"] == (3, 256, 256)
    assert maps.feature_info.channels() == [128, 512] and maps.feature_info.channels(1) == 128
    with pytest.raises(ValueError, match=r"evnas\.load_official"):
        timm.create_model("evnas_vssd_tiny", pretrained=True)
    with pytest.raises(TypeError, match="depths"):
        timm.create_model("evnas_vssd_tiny", depths=3)


@pytest.mark.parametrize("name", ["efficientvim_m1", "vanilla_vmamba_tiny"])
def test_it_exports_with_a_batch_of_any_size(name: str) -> None:
    model, x = small(name), torch.randn(2, 3, 64, 64)
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(model, (x,), dynamic_shapes=({0: batch},))
    other = torch.randn(5, 3, 64, 64)
    torch.testing.assert_close(program.module()(other), model(other))


def test_the_vanilla_model_compiles_whole() -> None:
    torch.compiler.reset()
    model, x = small("vanilla_vmamba_tiny"), torch.randn(2, 3, 64, 64)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), model(x))


def test_drop_path_rises_linearly_and_acts_in_training_only() -> None:
    arch = entry("vmamba_tiny_s1l8").arch
    rates = [rate for stage in drop_path_rates(arch.stages, 0.2) for rate in stage]
    assert len(rates) == 14 and rates[0] == 0 and rates[-1] == pytest.approx(0.2)
    model = build(arch.scaled(0.125), drop_path=0.2, seed=0)
    found = [m.rate for m in model.modules() if isinstance(m, DropPath)]
    assert found == pytest.approx(rates)
    with pytest.raises(ValueError, match="got 1"):
        build(arch, drop_path=1)


def test_drop_path_keeps_the_mean() -> None:
    torch.manual_seed(0)
    layer, x = DropPath(0.25), torch.ones(4000, 2, 1, 1)
    y = layer(x)
    assert y.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert torch.equal(y[:, 0], y[:, 1])  # a sample is dropped whole
    assert y.mean().item() == pytest.approx(1, abs=0.03)
    assert layer.eval()(x) is x


@pytest.mark.parametrize("name", ONE_A_FAMILY)
def test_the_implementation_is_a_build_argument(name: str) -> None:
    arch, x = small(name).arch, torch.randn(2, 3, 40, 56)
    runs = [build(arch, seed=0, impl=impl).eval()(x) for impl in ("auto", "cpu", "reference")]
    torch.testing.assert_close(runs[1], runs[0])
    torch.testing.assert_close(runs[2], runs[0])
    with pytest.raises(ValueError, match="impl must be one of"):
        build(arch, impl=cast(Any, "fast")).eval()(x)


def test_scans_a_and_d_are_named_for_no_weight_decay() -> None:
    model = small("vmamba_tiny_s1l8")
    names = model.no_weight_decay()
    assert len(names) == 8 and "stages.0.blocks.0.mixer.ssm.A_log" in names
    assert names <= {name for name, _ in model.named_parameters()}
    assert not small("efficientvim_m1").no_weight_decay()


def test_parts_have_the_names_that_counters_go_by() -> None:
    names = {n for n, _ in small("vssd_micro").named_modules()}
    assert {"stem", "stages.0.blocks.0", "stages.2.downsample", "head"} <= names
    assert "stages.3.downsample" not in names
