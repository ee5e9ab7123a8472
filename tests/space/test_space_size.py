"""Sizes: the count that takes a space apart is that of an exhaustive walk, or says nothing."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evnas.arch.catalog import entry
from evnas.arch.spec import ArchSpec
from evnas.space.counting import SpaceCount, count_exactly
from evnas.space.size import count_points, size_of
from evnas.space.space import SearchSpace
from evnas.space.spec import SpaceSpec
from evnas.sweep.search_spec import SearchSpec
from evnas.sweep.sweep import load_sweep

SWEEPS = Path(__file__).parents[2] / "sweeps"

DIMS = [{"each": [16, 24]}, {"increasing": [16, 24, 40]}, {"decreasing": [16, 24]},
        {"shared": [24, 32]}]  # fmt: skip
MIXER = {
    "choice": {
        "hsm_ssd": {"heads": [1, 3]},
        "ss2d": {"conv": [True, False], "conv_bias": [True, False]},
        "sa": {"heads": [2, 5]},
    }
}
AXES: dict[str, list[Any]] = {
    "stages.count": [[1, 2], [2]],
    "stages[*].dim": DIMS,
    "stages[0].depth": [[1, 2, 3]],
    "stages[*].depth": [{"each": [1, 2]}, {"increasing": [1, 2, 3]}],
    "stages[*].mixer": [{"each": MIXER}, {"shared": MIXER}],
    "stages[0].mixer": [MIXER],
    "stages[*].block": [{"each": ["efficientvim", "inres"]}, {"shared": ["vss", "efficientvim"]}],
    "stages[*].mlp_ratio": [{"shared": [0.0, 2.0]}, {"each": [0.0, 4.0]}],
    "norm": [["partial_ln", "ln", "full_bn"]],
    "head.fusion": [["hidden", "none"]],
    "stem": [{"choice": {"efficientvim": {"stride": [4, 8]}, "vmamba_v2": {"stride": [4, 8]}}}],
}
REQUIRE = [
    "stages[-1].dim >= stages[0].dim",
    "sum(stages[*].depth) <= 3",
    "norm == 'ln' or stages[0].depth == 1",
    "stages[0].mixer.heads == 1",
    "stem.stride == 4",
    "len(stages) == 2",
    "max(stages[::2].dim) > 16",
]
TWO_STAGES = {"stages.count": [2]}


def space_of(
    axes: dict[str, Any], require: list[str], base: str = "efficientvim_m1"
) -> SearchSpace:
    spec = SpaceSpec.model_validate({"axes": axes, "require": require})
    return SearchSpace.from_spec(spec, entry("efficientvim_m1").arch)


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    names = draw(st.sets(st.sampled_from(sorted(AXES)), min_size=1, max_size=4))
    for every, first in (("stages[*].depth", "stages[0].depth"),
                         ("stages[*].mixer", "stages[0].mixer")):  # fmt: skip
        if every in names:
            names.discard(first)
    axes = TWO_STAGES | {name: draw(st.sampled_from(AXES[name])) for name in sorted(names)}
    return space_of(axes, draw(st.lists(st.sampled_from(REQUIRE), max_size=2, unique=True)))


def walked(space: SearchSpace) -> SpaceCount:
    found = [space.check(point) for point in space.points()]
    valid = [arch for arch in found if isinstance(arch, ArchSpec)]
    return SpaceCount(len({arch.digest for arch in valid}), len(valid))


@settings(max_examples=40, deadline=None)
@given(spaces())
def test_counts_apart_are_those_of_a_walk(space: SearchSpace) -> None:
    if count_points(space) <= 3000 and (count := count_exactly(space)) is not None:
        assert count == walked(space)


@pytest.mark.parametrize(
    ("axes", "require"),
    [
        ({"stages[*].dim": {"increasing": [16, 24, 40]}, "norm": ["ln", "full_bn"]}, []),
        ({"stages[*].mixer": {"each": MIXER}, "head.fusion": ["hidden", "none"]}, []),
        ({"stages[*].block": {"each": ["vss", "inres"]}, "norm": ["partial_ln", "ln"],
          "stages[0].mlp_ratio": [0.0, 2.0]}, ["stages[0].mlp_ratio == 0"]),
        ({"stages.count": [1, 2, 3], "stages[*].dim": {"shared": [16, 24]},
          "stages[*].depth": {"each": [1, 2]}}, ["sum(stages[*].depth) <= 4"]),
        ({"stages[*].dim": {"increasing": [16, 24, 40]}, "head.fusion": ["hidden", "none"],
          "stages[*].depth": {"decreasing": [1, 2, 3]},
          "stages[*].block": {"each": ["efficientvim", "inres"]}},
         ["sum(stages[*].depth) <= 5"]),
        ({"stages.count": [2, 3], "stages[*].dim": {"increasing": [16, 24]},
          "stages[0:2].depth": {"increasing": [1, 2]}}, ["stages[-1].dim >= 24"]),
    ],
    ids=["ordered", "hidden states", "canonical forms", "counts of stages", "ordered and tied",
         "a list of two of three"],
)  # fmt: skip
def test_spaces_that_come_apart(axes: dict[str, Any], require: list[str]) -> None:
    space = space_of(axes, require)
    count = count_exactly(space)
    assert count is not None and count == walked(space)
    size = size_of(space, walk=0)
    assert size.exact and size.mid == count.distinct
    assert size.valid_share == count.points / size.points


def test_a_large_space_is_counted() -> None:
    space = space_of(
        {
            "stages[*].dim": {"each": {"int": {"low": 64, "high": 512, "step": 16}}},
            "stages[*].depth": {"each": {"int": {"low": 1, "high": 30}}},
            "head.fusion": ["hidden", "none"],
        },
        ["stages[1].dim >= stages[0].dim"],
    )
    assert size_of(space).mid == (29 * 30 // 2) * 29 * 30**3 * 2


def test_ordered_lists_cost_no_combinations() -> None:
    """44 widths and 8 depths a stage in three stages: 46 million groups, were both combined."""
    space = space_of(
        {
            "stages[*].dim": {"increasing": {"int": {"low": 64, "high": 408, "step": 8}}},
            "stages[*].depth": {"each": {"int": {"low": 1, "high": 8}}},
        },
        ["sum(stages[*].depth) <= 10"],
    )
    assert size_of(space).mid == math.comb(44 + 2, 3) * math.comb(10, 3)


def test_the_ready_searches_are_counted() -> None:
    sweep = load_sweep(SWEEPS / "search_gpu.yaml")
    assert isinstance(sweep.spec, SearchSpec)
    space = SearchSpace.from_spec(sweep.spec.space, sweep.base)
    size, estimate = size_of(space), size_of(space, apart=False, draws=1000)
    assert size.exact and not estimate.exact
    assert estimate.low < size.mid == 117_316_985_119_488 < estimate.high


@pytest.mark.parametrize(
    ("axes", "require"),
    [
        ({"stages[0].dim": [16, 24]}, ["len(stages) == 3"]),
        ({"stages[*].mlp_ratio": {"increasing": [0.0, 2.0]},
          "stages[*].block": {"each": ["vss", "vanilla_vss"]}}, []),
        ({"stages[*].mlp_ratio": {"shared": [1.0, 2.0]},
          "stages[*].block": {"each": ["vss", "vanilla_vss"]}}, []),
    ],
    ids=["a condition on all of the stages", "an ordered value that vanishes",
         "a shared value that vanishes"],
)  # fmt: skip
def test_what_does_not_come_apart_is_left(axes: dict[str, Any], require: list[str]) -> None:
    assert count_exactly(space_of(axes, require)) is None
