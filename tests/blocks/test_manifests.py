"""Every released state dict, variants included, maps onto our modules key by key."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from reference_data import VARIANTS, manifest, manifests

from evnas.arch.catalog import catalog, entry
from evnas.arch.paths import edit
from evnas.arch.spec import ArchSpec
from evnas.blocks.backbone import build
from evnas.blocks.official import to_official

# one architecture under another release's spelling: its keys stand in another order
REORDERED = ("abl_vanilla_as_v05_ln2d",)


@pytest.mark.parametrize("name", manifests())
def test_every_key_maps_and_every_shape_fits(
    name: str, arch_of: Callable[[str], ArchSpec]
) -> None:
    with torch.device("meta"):
        model = build(arch_of(name))
    ours = [(key, tuple(value.shape)) for key, value in to_official(model).items()]
    wanted = manifest(name)
    if name in REORDERED:
        ours, wanted = sorted(ours), sorted(wanted)
    assert ours == wanted


def test_every_released_architecture_has_a_manifest() -> None:
    released = {e.name for e in catalog().values() if e.official}
    assert released == set(manifests()) - set(VARIANTS)


# the reference pages' tables of variants
PARAMS = {
    "efficientvim_m1": 6_679_458,
    "efficientvim_m1_dist": 7_643_462,
    "efficientvim_m2": 13_903_842,
    "efficientvim_m2_dist": 15_315_846,
    "efficientvim_m3": 16_604_174,
    "efficientvim_m3_dist": 18_176_178,
    "efficientvim_m4": 19_606_505,
    "efficientvim_m4_dist": 21_178_509,
    "vssd_micro": 13_512_964,
    "vssd_tiny": 24_270_724,
    "vssd_small": 40_075_650,
    "vssd_base": 88_823_151,
    "vanilla_vmamba_tiny": 22_893_448,
    "vanilla_vmamba_small": 44_417_416,
    "vanilla_vmamba_base": 76_254_056,
    "vmamba_tiny_s1l8": 30_249_064,
    "vmamba_tiny_s2l5": 30_705_832,
    "vmamba_small_s2l15": 50_147_752,
    "vmamba_base_s2l15": 88_557_800,
    "vmamba_small_s1l20": 49_012_840,
    "vmamba_base_s1l20": 86_614_504,
    "efficient_vmamba_tiny": 6_493_660,
    "efficient_vmamba_small": 11_273_688,
    "efficient_vmamba_small_yaml96": 24_757_456,
    "efficient_vmamba_base": 33_717_136,
}


@pytest.mark.parametrize("name", PARAMS)
def test_parameters_are_those_of_the_release(
    name: str, arch_of: Callable[[str], ArchSpec]
) -> None:
    with torch.device("meta"):
        model = build(arch_of(name))
    assert sum(p.numel() for p in model.parameters()) == PARAMS[name]


# EfficientViM's Table C (supplement), as far as it changes parameters
TABLE_C: dict[str, tuple[dict[str, Any], int]] = {
    "no fusion": ({"head.fusion": "none"}, 13_003_046),
    "fusion of features": ({"head.fusion": "features"}, 13_389_817),
    "states 9, 25, 49": ({"stages[*].mixer.states": [9, 25, 49]}, 13_996_002),
    "states 25": ({"stages[*].mixer.states": 25}, 13_934_114),
    "one score": ({"stages[*].mixer.score": "shared"}, 13_869_474),
    "four heads": ({"stages[*].mixer.heads": 4, "stages[*].mixer.score": "shared"}, 13_875_030),
    "self-attention": (
        {"head.fusion": "none", "stages[*].mixer": {"kind": "sa"}},
        13_582_840 + 2 * (128 + 256 + 512),  # counted without biases; ours, VSSD's, has one
    ),
    "vssd's mixer": (
        {
            "head.fusion": "none",
            "stages[*].mixer": {"kind": "nc_ssd", "heads": 8, "expand": 1.0},
            "stages[*].mixer.states": [49, 25, 9],
        },
        13_003_136,
    ),
    "full batch norm": ({"norm": "full_bn"}, 13_903_842),
}


@pytest.mark.parametrize("row", TABLE_C)
def test_table_c_has_its_parameters(row: str) -> None:
    changes, params = TABLE_C[row]
    with torch.device("meta"):
        model = build(edit(entry("efficientvim_m2").arch, changes))
    assert sum(p.numel() for p in model.parameters()) == params


def test_vssd_tiny_with_hsm_ssd_has_its_parameters() -> None:
    hsm = {"kind": "hsm_ssd", "states": 64, "expand": 2.0}
    with torch.device("meta"):
        model = build(edit(entry("vssd_tiny").arch, {"stages[:3].mixer": hsm}))
    assert sum(p.numel() for p in model.parameters()) == 24_366_486
