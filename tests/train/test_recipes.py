"""Recipes against what the papers print, and recipe files of one's own."""

from typing import Any

import pytest

from evnas.arch.catalog import catalog
from evnas.arch.paths import edit
from evnas.errors import SpecError
from evnas.train.recipe import Recipe
from evnas.train.recipes import (
    differences,
    names,
    recipe_for,
    recipe_of,
    with_changes,
)

COMMON = {"optimizer": "adamw", "betas": (0.9, 0.999), "weight_decay": 0.05}
EFFICIENTVIM = {  # supplement, Table A, column Base
    "epochs": 300,
    "batch_size": 2048,
    **COMMON,
    "warmup_epochs": 20,
    "cooldown_epochs": 10,
    "lr": 2e-3,
    "lr_floor": 2e-5,
    "clip": 0.02,
    "auto_augment": "rand-m9-mstd0.5-inc1",
    "mixup": 0.8,
    "cutmix": 1.0,
    "mix_switch_probability": 0.5,
    "erasing": 0.25,
    "label_smoothing": 0.1,
    "ema_decay": 0.9995,
    "distillation": "none",
}
FINE_TUNING = {  # the same table, column FT; Section B for the sizes
    **EFFICIENTVIM,
    "epochs": 30,
    "batch_size": 1024,
    "weight_decay": 1e-8,
    "warmup_epochs": 0,
    "cooldown_epochs": 0,
    "lr": 1e-3,
    "lr_floor": 1e-5,
}
VSSD = {  # appendix, Table 4, what all sizes share
    "resolution": 224,
    "epochs": 300,
    **COMMON,
    "eps": 1e-8,
    "warmup_epochs": 20,
    "auto_augment": "rand-m9-mstd0.5-inc1",
    "cutmix": 1.0,
    "mixup": 0.8,
    "mix_switch_probability": 0.5,
    "erasing": 0.25,
    "label_smoothing": 0.1,
    "ema_decay": 0.9999,
}
VMAMBA = {  # appendix E, Experiment Setting
    "epochs": 300,
    "warmup_epochs": 20,
    "batch_size": 1024,
    **COMMON,
    "lr": 1e-3,
    "label_smoothing": 0.1,
    "ema_decay": 0.9999,
}
EFFICIENTVMAMBA = {  # Section 5.1
    "epochs": 300,
    "batch_size": 1024,
    "optimizer": "adamw",
    "lr": 1e-3,
    "warmup_epochs": 20,
    "auto_augment": "rand-m9-mstd0.5",
    "erasing": 0.25,
    "mixup": 0.2,
    "ema_decay": 0.9999,
}
PRINTED: dict[str, dict[str, Any]] = {
    "efficientvim": EFFICIENTVIM,
    "efficientvim:450": EFFICIENTVIM | {"epochs": 450},
    "efficientvim:distillation": EFFICIENTVIM | {"distillation": "hard", "teacher": "regnety_160"},
    "efficientvim:384": FINE_TUNING | {"resolution": 384},
    "efficientvim:512": FINE_TUNING | {"resolution": 512},
    "vssd:tiny": VSSD | {"batch_size": 1024, "lr": 1e-3, "drop_path": 0.2},
    "vssd:small": VSSD | {"batch_size": 1024, "lr": 1e-3, "drop_path": 0.4},
    "vssd:base": VSSD | {"batch_size": 2048, "lr": 1.2e-3, "drop_path": 0.6},
    "vmamba:tiny": VMAMBA | {"drop_path": 0.2},
    "vmamba:small": VMAMBA | {"drop_path": 0.3},
    "vmamba:base": VMAMBA | {"drop_path": 0.6},
    "vmamba:base_s1l20": VMAMBA | {"drop_path": 0.5},
    "efficientvmamba": EFFICIENTVMAMBA,
}
TAKEN = {
    "efficientvim_m1": "efficientvim",
    "efficientvim_m4_dist": "efficientvim:distillation",
    "vssd_micro": "vssd:tiny",
    "vssd_small": "vssd:small",
    "vssd_base": "vssd:base",
    "vanilla_vmamba_small": "vmamba:small",
    "vmamba_tiny_s1l8": "vmamba:tiny",
    "vmamba_base_s2l15": "vmamba:base",
    "vmamba_base_s1l20": "vmamba:base_s1l20",
    "efficient_vmamba_base": "efficientvmamba",
}


@pytest.mark.parametrize("name", PRINTED)
def test_every_printed_value(name):
    found = recipe_of(name).recipe.model_dump()
    assert {field: found[field] for field in PRINTED[name]} == PRINTED[name]


@pytest.mark.parametrize("name", names())
def test_every_value_that_is_set_has_a_source(name):
    named = recipe_of(name)
    defaults = {k: f.default for k, f in Recipe.model_fields.items()}
    set_fields = {k for k, v in named.recipe.model_dump().items() if v != defaults[k]}
    assert set_fields - set(named.sources) == set()
    printed = {f for f, text in named.sources.items() if text.startswith(("supplement, Table",
               "appendix", "Section 5.1"))}  # fmt: skip
    table = PRINTED.get(name, {})
    assert not table or printed - set(table) == set()


@pytest.mark.parametrize("arch", TAKEN)
def test_an_architecture_takes_its_own_papers_recipe(arch):
    known = catalog()[arch]
    assert recipe_for(known.arch, arch).name == TAKEN[arch]
    assert recipe_for(known.arch).name == TAKEN[arch]
    assert recipe_of(known.family, arch_name=arch).recipe == recipe_of(TAKEN[arch]).recipe


def test_every_architecture_of_the_catalogue_has_a_recipe():
    assert all(recipe_for(e.arch, name).recipe.epochs == 300 for name, e in catalog().items())


def test_an_unknown_architecture_takes_that_of_most_of_its_blocks():
    wider = edit(catalog()["vssd_tiny"].arch, {"stages[0].dim": 72})
    assert recipe_for(wider).name == "vssd"
    mixed = edit(
        catalog()["vmamba_tiny_s1l8"].arch,
        {"stages[0].block": "vssd"},
    )
    assert recipe_for(mixed).name == "vmamba"
    taught = edit(catalog()["efficientvim_m1_dist"].arch, {"stages[0].dim": 136})
    assert recipe_for(taught).name == "efficientvim:distillation"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("efficentvim", "no recipe is named 'efficentvim'; did you mean 'efficientvim'?"),
        ("vssd:bse", "recipe vssd has no variant 'bse'; did you mean 'base'?"),
        ("efficientvmamba:x", "has no variant 'x'; there are none"),
    ],
)
def test_a_wrong_name_gets_the_nearest(name, reason):
    with pytest.raises(SpecError) as caught:
        recipe_of(name)
    assert reason in str(caught.value)


def test_a_file_changes_a_base_and_keeps_its_sources(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("base: vssd:base\nepochs: 100\nlr: 1e-3\n")
    named = recipe_of(str(path))
    assert differences(recipe_of("vssd:base").recipe, named.recipe) == {
        "epochs": (300, 100),
        "lr": (1.2e-3, 1e-3),
    }
    assert "epochs" not in named.sources
    assert named.sources["drop_path"] == recipe_of("vssd:base").sources["drop_path"]
    alone = tmp_path / "alone.yml"
    alone.write_text("epochs: 3\nbatch_size: 64\nlr: 0.1\noptimizer: sgd\n")
    assert recipe_of(str(alone)).recipe == Recipe(epochs=3, batch_size=64, lr=0.1, optimizer="sgd")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("base: vssd\nlabel_smothing: 0.2\n", ":2: label_smothing: unknown key; did you mean "
         "'label_smoothing'?"),
        ("base: vsd\n", ":1: base: no recipe is named 'vsd'; did you mean 'vssd'?"),
        ("base: vssd\nepochs: many\n", ":2: epochs: must be an integer, got 'many'"),
        ("base: vssd\nepochs: 20\n", ":1: warmup_epochs: must be below epochs (20), got 20"),
        ("epochs: 3\nlr: 1\n", ":1: batch_size: is missing"),
        ("base: vssd\nclip_mode: nrm\n", ":2: clip_mode: must be 'norm', 'value' or 'agc', got "
         "'nrm'; did you mean 'norm'?"),
        ("base: vssd\nmesa: 1\nema_decay: 0\n", ":2: mesa: must be 0 without a moving average"),
        ("base: vssd\ndistillation: soft\n", ":1: teacher: must be a name of timm's models"),
        ("base: vssd\nsources: {lrr: x}\n", ":2: sources.lrr: unknown key; did you mean 'lr'?"),
        ("base: vssd\ncrop_scale: [0.5, 0.1]\n", ":2: crop_scale: must rise from over 0"),
        ("base: vssd\nmixup: -1\n", ":2: mixup: must be at least 0.0, got -1"),
        ("basis: vssd\n", "did you mean 'base'?"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_file_is_named_with_its_line(tmp_path, text, reason):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        recipe_of(str(path))
    assert str(caught.value).startswith(str(path))
    assert reason in str(caught.value)


def test_changes_from_the_command_line():
    base = recipe_of("efficientvim")
    changed = with_changes(
        base, ["recipe.lr=1e-3", "recipe.clip_mode=agc", "recipe.resolution=null"], {"epochs": 40}
    )
    assert differences(base.recipe, changed.recipe) == {
        "epochs": (300, 40),
        "lr": (2e-3, 1e-3),
        "clip_mode": ("norm", "agc"),
    }
    assert {"lr", "epochs"} & changed.sources.keys() == set()
    for text, reason in (
        ("lr=1", "--set must be recipe.FIELD=VALUE, got 'lr=1'"),
        ("recipe.lrr=1", "--set recipe.lrr: unknown key; did you mean 'lr'?"),
        ("recipe.lr=fast", "recipe.lr: must be a number, got 'fast'"),
        ("recipe.epochs=5", "recipe.warmup_epochs: must be below epochs (5), got 20"),
    ):
        with pytest.raises(SpecError) as caught:
            with_changes(base, [text])
        assert reason in str(caught.value)
