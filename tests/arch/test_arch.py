"""ArchSpec: canonical at birth, named by content, refused with the path and the reason."""

import copy
from typing import Literal

import pytest

from evnas.arch.catalog import catalog, entry
from evnas.arch.mixer_field import _known
from evnas.arch.paths import edit
from evnas.arch.spec import ArchSpec
from evnas.errors import SpecError
from evnas.mixers import MixerSpec

M2 = entry("efficientvim_m2").arch
VMAMBA = entry("vmamba_tiny_s1l8").arch

PINNED = {
    # a change here orphans every stored result
    "efficientvim_m2": "0dff2f798425",
    "vssd_tiny": "b2a6e04d6bbc",
    "vanilla_vmamba_tiny": "e2c9cfffa63c",
    "vmamba_tiny_s1l8": "4466f1d13941",
    "efficient_vmamba_tiny": "5e85a5dd1f38",
}


@pytest.mark.parametrize("name", PINNED)
def test_digest_is_pinned(name):
    assert catalog()[name].arch.digest == PINNED[name]


@pytest.mark.parametrize("name", catalog())
def test_round_trip_keeps_spec_and_digest(name):
    arch = catalog()[name].arch
    again = ArchSpec.from_dict(arch.to_dict())
    assert again == arch
    assert again.digest == arch.digest


def test_published_architectures_are_all_different():
    assert len({e.arch.digest for e in catalog().values()}) == len(catalog())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"stages[*].mixer.dt_rank": "auto"}, {"stages[*].mixer.dt_rank": [6, 12, 24, 48]}),
        (
            {"stages[*].mixer.conv": False},
            {"stages[*].mixer.conv": False, "stages[*].mixer.conv_bias": True},
        ),
        ({"stages[*].mlp_ratio": 0}, {"stages[*].block": "vanilla_vss"}),
        ({"norm": "ln"}, {"norm": "partial_ln"}),
        (
            {"stages[2:].block": "inres"},
            {"stages[2:].mixer": {"kind": "sa"}, "stages[2:].block": "inres"},
        ),
        ({}, {"stages[0].depth": 2.0}),
    ],
    ids=["dt_rank", "conv_bias", "vanilla", "norm", "inres", "number"],
)
def test_two_spellings_are_one_architecture(one, other):
    assert edit(VMAMBA, one).digest == edit(VMAMBA, other).digest


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("stages[0].dim", 136),
        ("stages[0].depth", 3),
        ("stages[1].mixer.states", 24),
        ("stages[1].mixer.score", "shared"),
        ("stages[1].mixer.heads", 2),
        ("stages[1].mixer.expand", 2.0),
        ("stages[2].mlp_ratio", 3.0),
        ("head.fusion", "features"),
        ("head.distillation", True),
        ("norm", "full_bn"),
        ("stem.stride", 8),
        ("downsample", "vssd"),
        ("num_classes", 10),
    ],
)
def test_every_axis_changes_the_digest(path, value):
    assert edit(M2, {path: value}).digest != M2.digest


REFUSED = [
    ("stages[0].depth", 0, "stages[0].depth: must be at least 1, got 0"),
    ("stages[0].dim", 12, "stages[0].dim: must be a multiple of 8, got 12"),
    ("stages[1].mixer.states", 0, "stages[1].mixer.states: must be at least 1, got 0"),
    ("stages[1].mixer.states", 2.5, "stages[1].mixer.states: must be an integer, got 2.5"),
    ("stages[1].mixer.heads", 3, "heads must divide dim, got 3 heads and dim 256"),
    ("stages[1].mixer.expand", 1.001, "expand * dim must be a whole number"),
    ("stages[1].mixer.kind", "hsm", "got 'hsm'; did you mean 'hsm_ssd'?"),
    ("stages[1].mixer", {"kind": "sa", "heds": 2}, "unknown key; did you mean 'heads'?"),
    ("stages[1].mixer", {"heads": 2}, "mixer kind must be one of"),
    ("stages[1].mixer", None, "block efficientvim needs a mixer"),
    ("stages[1].block", "vsss", "did you mean 'vss"),
    ("stages[1].mlp_ratio", 0, "block efficientvim needs an FFN"),
    ("stages", [], "stages: "),
    ("norm", "bn", "norm: must be 'partial_ln', 'full_bn' or 'ln', got 'bn'"),
    ("stem.stride", 5, "stride of stem efficientvim must be one of"),
    ("stages[2].mixer.kind", "ss2d", "hidden needs a mixer with hidden states"),
]


@pytest.mark.parametrize(("path", "value", "said"), REFUSED)
def test_refusal_names_path_and_reason(path, value, said):
    with pytest.raises(SpecError) as caught:
        edit(M2, {path: value})
    assert said in str(caught.value)


def test_a_missing_field_is_named():
    raw = M2.to_dict()
    del raw["stages"][1]["dim"]
    with pytest.raises(SpecError, match=r"^stages\[1\]\.dim: is missing$"):
        ArchSpec.from_dict(raw)


def test_validation_leaves_the_data_alone():
    raw = M2.to_dict()
    before = copy.deepcopy(raw)
    ArchSpec.from_dict(raw)
    assert raw == before


def test_a_spec_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        M2.norm = "ln"  # type: ignore[misc] # what the test is of


@pytest.mark.parametrize("name", catalog())
@pytest.mark.parametrize("width", [0.25, 0.5, 1.0])
def test_scaled_is_valid_and_keeps_the_design(name, width):
    arch = catalog()[name].arch
    small = arch.scaled(width, stem_stride=4)
    assert [s.depth for s in small.stages] == [s.depth for s in arch.stages]
    assert [s.block for s in small.stages] == [s.block for s in arch.stages]
    assert small.stem.stride == min(4, arch.stem.stride)
    if width == 1.0:
        assert small.stages == arch.stages


class _Wide(MixerSpec):
    kind: Literal["wide"] = "wide"
    width: int | float = 1


def test_a_mixer_that_was_seen_before_means_what_it_means() -> None:
    """1 and 1.0 are equal, and are spelt otherwise where a field takes both."""
    for value in (1, 1.0, 1):
        found = _known(_Wide, ("kind", "width"), "wide", value).model_dump()["width"]
        assert (found, type(found)) == (value, type(value))
