"""Values that no architecture of a space can have, and choices within branches of a choice."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from evnas.arch.catalog import entry
from evnas.cli import app
from evnas.errors import SpecError
from evnas.space import dead
from evnas.space.dead import dead_values
from evnas.space.size import size_of
from evnas.space.space import SearchSpace
from evnas.space.spec import SpaceSpec

M1 = entry("efficientvim_m1").arch
MIXER = {"choice": {"hsm_ssd": {"states": [9, 25]}, "sa": {"heads": [2, 4]}}}
HIDDEN = "head.fusion: hidden needs a mixer with hidden states (hsm_ssd, nc_ssd) in every stage; "


def space_of(axes: dict[str, Any], **more: Any) -> SearchSpace:
    return SearchSpace.from_spec(SpaceSpec.model_validate({"axes": axes, **more}), M1)


SPACES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, str]]] = {
    "a branch, named once": (
        {"stages[0].mixer": MIXER, "stages[0].depth": [1, 2, 3]},
        {},
        {"stages[0].mixer = sa": f"{HIDDEN}stages[0] has sa"},
    ),
    "alive where the head may change": (
        {"stages[0].mixer": MIXER, "head.fusion": ["hidden", "none"]},
        {},
        {},
    ),
    "a value that a condition forbids": (
        {"stages[0].depth": [1, 2, 9], "stages[1].depth": [1, 2, 3]},
        {"require": ["stages[0].depth <= stages[1].depth"]},
        {"stages[0].depth = 9": "breaks stages[0].depth <= stages[1].depth"},
    ),
    "heads that no dim divides by": (
        {"stages[0].mixer": {"choice": {"sa": {"heads": [2, 3]}}}, "stages[0].dim": [64, 128]},
        {"set": {"head.fusion": "none"}},
        {"stages[0].mixer:sa.heads = 3": "stages[0]"},
    ),
    "each of two stages": (
        {"stages[0].mixer": MIXER, "stages[1].mixer": MIXER, "stages[2].depth": [1, 2]},
        {},
        {f"stages[{i}].mixer = sa": f"{HIDDEN}stages[{i}] has sa" for i in (0, 1)},
    ),
}


@pytest.mark.parametrize("walked", [True, False])
@pytest.mark.parametrize("case", SPACES)
def test_values_that_cannot_occur_are_named_with_the_reason(
    case: str, walked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    axes, more, reasons = SPACES[case]
    monkeypatch.setattr(dead, "WALK_MOST", 10_000 if walked else 0)
    found = dead_values(space_of(axes, **more))
    assert {f"{d.axis} = {d.value}" for d in found} == set(reasons)
    for each in found:
        assert each.certain is walked
        assert reasons[f"{each.axis} = {each.value}"] in str(each)


def test_a_value_of_few_points_is_not_taken_for_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead, "WALK_MOST", 0)
    dims = {"int": {"low": 64, "high": 512, "step": 16}}
    space = space_of(
        {"stages[*].dim": {"each": dims}},
        require=["stages[1].dim >= stages[0].dim", "stages[2].dim >= stages[1].dim"],
    )
    assert dead_values(space) == []  # the first stage has 512 where all have: 1 of 24,389 points


@pytest.mark.parametrize("command", ["check", "space"])
def test_the_commands_say_it(command: str, tmp_path: Path) -> None:
    sweep = {
        "name": "dead",
        "base": "efficientvim_m1",
        "space": {"axes": SPACES["a branch, named once"][0]},
        "strategy": "grid",
        "objectives": {"params_m": "min", "macs_g": "min"},
        "budget": {"trials": 100},
        "targets": [],
    }
    (tmp_path / "dead.yaml").write_text(yaml.safe_dump(sweep))
    done = CliRunner().invoke(app, [command, str(tmp_path / "dead.yaml")])
    assert done.exit_code == 0
    assert "no architecture of the space has stages[0].mixer = sa: head.fusion" in done.output


NESTED = {
    "stages[1]": {
        "choice": {
            "efficientvim": {"block": "efficientvim", "mixer": MIXER},
            "vss": {"block": "vss", "mixer": MIXER},
        }
    }
}


def test_choices_in_two_branches_of_a_choice_exclude_each_other() -> None:
    space = space_of(NESTED, set={"head.fusion": "none"})
    assert size_of(space).mid == 8
    for point, arch in space.enumerate():
        assert space.encode(arch) == point
        outer = point["stages[1]"]
        inner = point[f"stages[1]:{outer}.mixer"]
        stage = arch.to_dict()["stages"][1]
        assert (stage["block"], stage["mixer"]["kind"]) == (outer, inner)
        knob = {"hsm_ssd": "states", "sa": "heads"}[str(inner)]
        assert stage["mixer"][knob] == point[f"stages[1]:{outer}.mixer:{inner}.{knob}"]


def test_choices_nest_as_deep_as_one_likes() -> None:
    deeper = {
        "choice": {
            "plain": {"depth": [1, 2]},
            "wide": {"depth": 1, "mixer": {"choice": {"hsm_ssd": {"states": [4, 16]}, "sa": {}}}},
        }
    }
    axes = {"stages[0]": deeper, "stages[1]": deeper, "stages[2]": deeper}
    assert size_of(space_of(axes, set={"head.fusion": "none"})).mid == 5**3


def test_a_place_that_two_axes_set_at_once_is_refused() -> None:
    branches = {"choice": {"a": {"depth": [3, 4]}, "b": {}}}
    with pytest.raises(SpecError, match=r"stages\[0\]\.depth is set by stages\[0\]\S* too"):
        space_of({"stages[0].depth": [1, 2], "stages[0]": branches})
    mixers = {"choice": {"a": {"mixer": MIXER}, "b": {}}}
    with pytest.raises(SpecError, match="put it inside the branches that vary it"):
        space_of({"stages[0].mixer": MIXER, "stages[0]": mixers})
