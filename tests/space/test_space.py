"""Laws of search spaces: what is proposed is valid, nothing leaks, sizes are counts."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evnas.arch.catalog import catalog, entry
from evnas.arch.spec import ArchSpec
from evnas.errors import SpecError
from evnas.space.mutation import crossover, mutate, repair, repair_near
from evnas.space.size import count_points, draw_evenly, size_of
from evnas.space.space import SearchSpace
from evnas.space.spec import SpaceSpec

MIXERS = {
    "choice": {
        "hsm_ssd": {"states": [9, 16, 25, 49], "expand": [0.5, 1.0]},
        "nc_ssd": {"states": [16, 49], "heads": [1, 3, 4, 8], "expand": 1.0},
        "ss2d": {"d_state": [1, 2, 4], "scan": ["unidi", "cross"], "mix": ["plain"]},
        "sa": {"heads": [2, 4, 8]},
    }
}
WIDE = {
    "fragments": {"plain": {"conv": [True, False], "conv_bias": [True, False]}},
    "axes": {
        "stages.count": [2, 3],
        "stages[*].dim": {"increasing": {"int": {"low": 64, "high": 320, "step": 32}}},
        "stages[*].depth": {"each": [1, 2, 3, 4]},
        "stages[*].mixer": {"each": MIXERS},
        "head.fusion": ["hidden", "none"],
        "stages[*].mlp_ratio": {"shared": [2.0, 3.0, 4.0]},
        "norm": ["partial_ln", "full_bn"],
    },
    "require": ["stages[1].dim <= 2 * stages[0].dim", "sum(stages[*].depth) <= 10"],
}
SMALL = {
    "axes": {
        "stages[0].dim": {"int": {"low": 16, "high": 48, "step": 8}},
        "stages[0].block": ["efficientvim", "inres"],
        "stages[0].mixer": {
            "choice": {"hsm_ssd": {"states": [4, 9]}, "sa": {"heads": [1, 3]}, "ss2d": {}}
        },
        "stages[1:].dim": {"increasing": [32, 40, 48]},
    },
    "require": ["stages[1].dim >= stages[0].dim"],
}
SEEDS = st.integers(0, 2**32)


def space_of(spec: dict[str, Any], base: str = "efficientvim_m1") -> SearchSpace:
    return SearchSpace.from_spec(SpaceSpec.model_validate(spec), entry(base).arch)


WIDE_SPACE, SMALL_SPACE = space_of(WIDE), space_of(SMALL)


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_every_variation_is_valid_and_inside(seed: int) -> None:
    rng = random.Random(seed)
    (a, _), (b, _) = WIDE_SPACE.sample(rng), WIDE_SPACE.sample(rng)
    broken = {key: value for key, value in a.items() if rng.random() < 0.7}
    for point, arch in (
        mutate(WIDE_SPACE, a, rng),
        crossover(WIDE_SPACE, a, b, rng),
        repair(WIDE_SPACE, broken | {"stages[0].dim": 321}, rng),
    ):
        assert WIDE_SPACE.decode(point) == arch  # refuses leaks, foreign values, broken conditions
        assert [axis.key for axis in WIDE_SPACE.active(point)] == list(point)


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_encode_gives_one_point_per_architecture(seed: int) -> None:
    point, arch = WIDE_SPACE.sample(random.Random(seed))
    canonical = WIDE_SPACE.encode(arch)
    assert isinstance(canonical, dict)
    assert WIDE_SPACE.decode(canonical) == arch == WIDE_SPACE.decode(point)
    assert WIDE_SPACE.encode(WIDE_SPACE.decode(canonical)) == canonical


def test_knobs_of_other_branches_are_refused() -> None:
    point, _ = SMALL_SPACE.sample(random.Random(1))
    other = "ss2d" if point["stages[0].mixer"] != "ss2d" else "sa"
    leaked = point | {"stages[0].mixer": other, "stages[0].mixer:hsm_ssd.states": 4}
    with pytest.raises(SpecError, match="must set exactly"):
        SMALL_SPACE.decode(leaked)


def test_size_is_the_count_of_an_exhaustive_walk() -> None:
    points = list(SMALL_SPACE.points())
    distinct = set()
    for point in points:
        found = SMALL_SPACE.check(point)
        if isinstance(found, ArchSpec):
            distinct.add(found.digest)
    size = size_of(SMALL_SPACE)
    assert count_points(SMALL_SPACE) == len(points) == size.points
    assert len({tuple(p.items()) for p in points}) == len(points)
    assert size.exact and size.mid == len(distinct) < len(points)
    assert len(list(SMALL_SPACE.enumerate())) == len(distinct)


def test_estimated_size_brackets_the_exact_one() -> None:
    exact = size_of(SMALL_SPACE)
    guess = size_of(SMALL_SPACE, walk=0, apart=False)
    assert not guess.exact
    assert guess.low <= exact.mid <= guess.high
    assert guess.valid_share == pytest.approx(exact.valid_share, abs=0.05)


def test_even_draws_reach_points_evenly() -> None:
    space = space_of({"axes": {"stages[*].dim": {"decreasing": [8, 16, 24]}}})
    rng, seen = random.Random(0), dict[tuple[Any, ...], int]()
    for _ in range(5000):
        key = tuple(draw_evenly(space, rng).values())
        assert list(key) == sorted(key, reverse=True)
        seen[key] = seen.get(key, 0) + 1
    assert len(seen) == count_points(space) == 10
    assert max(seen.values()) < 1.4 * min(seen.values())


def test_published_architectures_lie_where_they_do() -> None:
    assert isinstance(WIDE_SPACE.encode(entry("m1").arch), dict)
    assert WIDE_SPACE.encode(entry("m2").arch) == "stages[2].dim is 512, not among 64 to 320 by 32"
    assert "distillation" in str(WIDE_SPACE.encode(entry("m1_dist").arch))
    for name, item in catalog().items():
        own = space_of(
            {"axes": {"stages[*].depth": {"each": {"int": {"low": 1, "high": 30}}}}}, name
        )
        assert isinstance(own.encode(item.arch), dict), name


BAD = [
    ({"axes": {"stages[0].dim": {"int": {"low": 64, "high": 32}}}}, "dim: int must have"),
    ({"axes": {"stages[0].wide": [1]}}, "there is no 'wide'"),
    ({"axes": {"stages[*].dim": [64]}}, "names several places"),
    ({"axes": {"stages[*].dim": {"increasing": ["a", "b"]}}}, "ascending numbers"),
    ({"axes": {"stages[0].dim": [64], "stages[*].dim": {"each": [8]}}}, "is set by"),
    (
        {"axes": {"stages[0].mixer": {"choice": {"sa": {}, "ss2d": {}}},
                  "stages[0].mixer.d_state": [1, 2]}},
        "d_state",
    ),
    ({"axes": {}}, "at least one axis"),
    ({"mix": ["nobody"], "axes": {}}, "no fragment is named 'nobody'"),
    ({"axes": {"norm": ["ln"]}, "require": ["stages[0].dims > 1"]}, "did you mean 'dim'"),
    ({"axes": {"norm": ["ln"]}, "require": ["stages[0].dim >"]}, "must be a condition"),
    ({"axes": {"norm": ["ln"]}, "require": ["__import__('os')"]}, "must compare something"),
    ({"axes": {"norm": ["ln"]}, "set": {"head.fuse": 1}}, "space.set.head.fuse"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "reason"), BAD, ids=[reason for _, reason in BAD])
def test_bad_spaces_are_refused_with_a_reason(spec: dict[str, Any], reason: str) -> None:
    with pytest.raises(SpecError, match="space") as caught:
        space_of(spec)
    assert reason in str(caught.value)


def test_contradictory_conditions_are_said() -> None:
    space = space_of(
        {
            "axes": {"stages[0].dim": [64, 128]},
            "require": ["stages[0].dim > 64", "stages[0].dim < 128"],
        }
    )
    with pytest.raises(SpecError, match=r"holds no architecture.*breaks stages"):
        space.sample(random.Random(0))
    assert size_of(space).mid == 0


def test_blocks_without_mixers_are_branches_too() -> None:
    space = space_of(
        {
            "axes": {
                "stages[*]": {
                    "each": {
                        "choice": {
                            "evss": {"block": "evss", "mixer.kind": "es2d", "mlp_ratio": 0.0,
                                     "mixer.ssm_ratio": [1.0, 2.0]},
                            "inres": {"block": "inres", "mlp_ratio": [2.0, 4.0]},
                        }
                    }
                }
            }
        },
        "efficient_vmamba_tiny",
    )  # fmt: skip
    assert size_of(space).mid == 4**4
    inside = space.encode(entry("efficient_vmamba_tiny").arch)
    assert isinstance(inside, dict)
    assert [inside[f"stages[{i}]"] for i in range(4)] == ["evss", "evss", "inres", "inres"]
    inside["stages[3]"] = "evss"
    assert isinstance(space.check(repair(space, inside, random.Random(0))[0]), ArchSpec)


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_a_near_repair_is_valid_and_leaves_what_is(seed: int) -> None:
    rng = random.Random(seed)
    point = WIDE_SPACE.draw(rng)
    near, arch = repair_near(WIDE_SPACE, point, rng)
    assert WIDE_SPACE.decode(near) == arch
    if isinstance(WIDE_SPACE.check(point), ArchSpec):
        assert near == point


def test_a_near_repair_moves_one_axis_where_one_is_enough() -> None:
    space = SearchSpace.from_spec(
        SpaceSpec.model_validate(
            {
                "axes": {
                    "stages[*].dim": {"each": {"int": {"low": 64, "high": 512, "step": 16}}},
                    "stages[*].mixer": {"each": MIXERS},
                    "head.fusion": ["hidden", "none"],
                },
                "fragments": WIDE["fragments"],
                "require": ["stages[1].dim >= stages[0].dim", "stages[2].dim >= stages[1].dim"],
            }
        ),
        entry("m1").arch,
    )
    rng = random.Random(1)
    point: dict[str, Any] = {
        **{f"stages[{i}].dim": dim for i, dim in enumerate((128, 112, 320))},
        **{f"stages[{i}].mixer": "sa" for i in range(3)},
        **{f"stages[{i}].mixer:sa.heads": 4 for i in range(3)},
        "head.fusion": "none",
    }
    near, _ = repair_near(space, point, rng)
    moved = {key: value for key, value in near.items() if point.get(key) != value}
    assert moved in ({"stages[0].dim": 112}, {"stages[1].dim": 128})
    fused = {**point, "stages[1].dim": 128, "head.fusion": "hidden"}
    near, _ = repair_near(space, fused, rng)
    assert {k for k, v in near.items() if fused.get(k) != v} == {"head.fusion"}
