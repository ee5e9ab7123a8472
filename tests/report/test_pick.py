"""Trials by wish: members of a front, its ends, its knee, a label; or one sentence."""

import json
from pathlib import Path
from typing import Any

import pytest
from made_front import FRONT, TARGET, arch_of, made_study
from typer.testing import CliRunner

import evnas
from evnas.cli import app
from evnas.commands.bench_models import add_picked, models_of
from evnas.errors import SpecError
from evnas.report.query.pick import pick_trial


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_study(tmp_path_factory.mktemp("results") / "made")


@pytest.mark.parametrize(
    ("wish", "label"),
    [
        ("front:1", "3"),
        ("front:2", "0"),
        ("front:4", "2"),
        ("fastest", "3"),
        ("most-accurate", "2"),
        ("knee", "0"),
        ("label:4", "4"),
    ],
)
def test_a_wish_is_a_trial(study: Path, wish: str, label: str) -> None:
    found = pick_trial(study, wish)
    assert (found.trial, found.pick, found.digest) == (label, wish, arch_of(label).digest)
    assert found.arch == arch_of(label).to_dict()
    assert found.resolution == 64
    assert evnas.load_study(study).pick(wish) == found


def test_what_was_looked_at_is_said(study: Path) -> None:
    found = pick_trial(study, "fastest")
    assert found.by == f"latency_ms@{TARGET}"
    assert dict(found.quantities) == {f"latency_ms@{TARGET}": 1.0, "top1_percent": 50.0}
    assert found.to_dict()["trial"] == "3" and found.name == f"{study}:3"


@pytest.mark.parametrize(
    ("wish", "want"),
    [
        ("knees", r"--pick must be front:N, .*; did you mean 'knee'"),
        ("4", r"--pick must be .*, got '4'; label:4 names a trial"),
        ("front:0", "counts the members from 1, got 'front:0'"),
        ("front:two", "counts the members from 1, got 'front:two'"),
        ("front:5", "made: front:5 is not there, its front has 4 members, front:1 to 4"),
        ("label:33", "has no trial or row '33'"),
    ],
)
def test_a_wrong_wish_is_answered_with_what_is_there(study: Path, wish: str, want: str) -> None:
    with pytest.raises(SpecError, match=want):
        pick_trial(study, wish)


CONCAVE = {"0": (1.0, 50.0), "1": (5.0, 51.0), "2": (6.0, 70.0)}


@pytest.mark.parametrize("points", [{"0": (1.0, 50.0), "1": (2.0, 60.0)}, CONCAVE])
def test_a_front_that_does_not_bend_has_no_knee(tmp_path: Path, points: Any) -> None:
    folder = made_study(tmp_path / "straight", points)
    with pytest.raises(SpecError, match=r"has no knee: 0, . on its front are equally near"):
        pick_trial(folder, "knee")


STRAIGHT = {"0": (1.0, 50.0), "1": (5.0, 60.4), "2": (9.0, 70.0)}
BENT = {"0": (1.0, 50.0), "1": (5.0, 62.0), "2": (9.0, 70.0)}


def test_the_lowest_member_of_a_nearly_straight_front_is_no_knee(tmp_path: Path) -> None:
    folder = made_study(tmp_path / "nearly", STRAIGHT)
    with pytest.raises(SpecError, match=r"told: 1 lies 0\.02 of its height .* nearly straight"):
        pick_trial(folder, "knee")
    assert pick_trial(made_study(tmp_path / "bent", BENT), "knee").trial == "1"


def test_a_bend_within_the_error_is_no_knee(tmp_path: Path) -> None:
    rows: dict[str, dict[str, Any]] = {
        label: {} for label in BENT
    }  # an ablation's top-1 has the interval of its images
    folder = made_study(tmp_path / "unsure", BENT, rows=rows)
    with pytest.raises(SpecError, match=r"told: 1 lies 0\.10 .* within the error of 0\.2"):
        pick_trial(folder, "knee")


def test_a_front_of_one_is_its_own_knee(tmp_path: Path) -> None:
    assert pick_trial(made_study(tmp_path / "one", {"0": (1.0, 50.0)}), "knee").trial == "0"


def test_without_an_objective_of_the_kind_it_says_so(tmp_path: Path) -> None:
    aims = [{"metric": "top1_percent", "goal": "max"}]
    folder = made_study(tmp_path / "slow", objectives=aims)
    with pytest.raises(SpecError, match=r"fastest needs an objective that is a speed .*top1_perc"):
        pick_trial(folder, "fastest")
    assert pick_trial(folder, "most-accurate").trial == "2"


def test_an_objective_that_nobody_has_yet_leaves_no_front(tmp_path: Path) -> None:
    aims = [{"metric": "top1_percent", "goal": "max"}, {"metric": "params_m", "goal": "min"}]
    folder = made_study(tmp_path / "young", objectives=aims)
    with pytest.raises(SpecError, match=r"has no front: .* label:NAME picks a trial \(0, 1, 2"):
        pick_trial(folder, "knee")
    assert pick_trial(folder, "label:5").trial == "5"


def test_the_command_lists_the_front_and_what_picks_it(study: Path) -> None:
    done = CliRunner().invoke(app, ["front", str(study), "--json"])
    assert done.exit_code == 0, done.output
    members = json.loads(done.stdout)["members"]
    assert [m["trial"] for m in members] == list(FRONT)
    assert [m["pick"] for m in members] == ["front:1", "front:2", "front:3", "front:4"]
    assert [m["also"] for m in members] == [["fastest"], ["knee"], [], ["most-accurate"]]
    assert members[0]["objectives"][f"latency_ms@{TARGET}"]["mid"] == 1.0
    text = CliRunner().invoke(app, ["front", str(study)]).stdout
    assert "4 of 7 trials on the front" in text


def test_show_says_which_trial_it_was(study: Path) -> None:
    asked = ["show", "--from", str(study), "--pick", "knee"]
    done = CliRunner().invoke(app, [*asked, "--json"])
    assert done.exit_code == 0, done.output
    shown = json.loads(done.stdout)
    assert shown["digest"] == arch_of("0").digest and shown["resolution"] == 64
    assert (shown["from"]["trial"], shown["from"]["pick"]) == ("0", "knee")


def test_bench_takes_picks_behind_its_names_and_says_where_they_came_from(study: Path) -> None:
    models = models_of(["m1"])
    origins = add_picked(models, study, ["knee", "label:peer"])
    assert list(models) == ["m1", f"{study}:0", f"{study}:peer"]
    assert models[f"{study}:peer"] == {"timm": "resnet18"}
    assert origins[f"{study}:0"]["pick"] == "knee"
    (same,) = add_picked(models, study, ["front:2"])
    assert same == f"{study}:0 (2)"  # the same trial again stands for itself


@pytest.mark.parametrize(
    ("arguments", "want"),
    [
        (["show"], "an architecture must be named"),
        (["show", "m1", "--from", "STUDY", "--pick", "knee"], "must not both be given"),
        (["show", "--from", "STUDY"], "needs --pick: front:N"),
        (["show", "--pick", "knee"], "needs --from STUDY"),
        (["show", "--from", "STUDY", "--pick", "label:peer"], "is resnet18 of timm"),
        (["bench"], "a model must be named"),
        (["bench", "m1", "--pick", "knee"], "needs --from STUDY"),
        (["erf"], "a model must be named"),
        (["export", "-o", "x.onnx", "--from", "STUDY", "--pick", "front:9"], "front:9 is not"),
    ],
    ids=" ".join,
)
def test_what_does_not_go_together(study: Path, arguments: list[str], want: str) -> None:
    asked = [str(study) if a == "STUDY" else a for a in arguments]
    with pytest.raises(SpecError, match=want):
        CliRunner().invoke(app, asked, catch_exceptions=False)
