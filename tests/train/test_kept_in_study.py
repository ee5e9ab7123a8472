"""A training of a study's trial keeps a copy of its curve there, for the study's page."""

import json
from pathlib import Path
from typing import Any

import pytest
from made_front import made_study
from tiny_training import tiny_config
from typer.testing import CliRunner

from evnas.cli import app
from evnas.commands import finishing
from evnas.report.frame.study_reader import StudyReader
from evnas.report.page.about import describe_study
from evnas.report.panels.table import compute_panel
from evnas.train import training
from evnas.train.training import train

SHORT = {"epochs": 2, "warmup_epochs": 0, "cooldown_epochs": 0}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return made_study(tmp_path / "x")


def panel_of(study: Path) -> Any:
    reader = StudyReader(study)
    reader.read_all()
    assert describe_study(reader)["trainings"] == len(list((study / "trainings").iterdir()))
    found = compute_panel("trainings", reader)
    reader.close()
    return found


def test_the_studys_page_has_its_curve(images: Path, study: Path, tmp_path: Path) -> None:
    config = tiny_config(images, tmp_path / "run", recipe=SHORT, study=study, recipe_name="tiny",
                         origin={"trial": "3"}, until_epoch=1)  # fmt: skip
    assert train(config).status == "stopped"
    (found,) = panel_of(study)["trainings"]
    assert (found["status"], found["epochs"], found["of_epochs"]) == ("stopped", 1, 2)
    result = train(tiny_config(images, tmp_path / "run", recipe=SHORT, study=study,
                               recipe_name="tiny", origin={"trial": "3"}))  # fmt: skip
    (found,) = panel_of(study)["trainings"]  # in place of the earlier one
    assert (found["trial"], found["status"], found["epochs"]) == ("3", "complete", 2)
    assert [dict(point) for point in found["curve"]] == [dict(p) for p in result.curve]
    train(tiny_config(images, tmp_path / "other", recipe=SHORT, study=study, seed=1,
                      origin={"trial": "3"}))  # fmt: skip
    assert sorted(one["seed"] for one in panel_of(study)["trainings"]) == [0, 1]


def test_a_study_that_cannot_be_written_ends_no_training(images: Path, tmp_path: Path) -> None:
    said: list[str] = []
    gone = tmp_path / "gone"
    config = tiny_config(images, tmp_path / "run", recipe=SHORT, study=gone)
    assert train(config, tell=said.append).status == "complete"
    (line,) = [line for line in said if "keeps no copy" in line]
    assert line.startswith(f"{gone} keeps no copy of the curve for its page (")


def with_an_epoch(epoch: Any) -> str:
    """What a training notes, as far as it is looked at, of a single epoch."""
    texts = dict.fromkeys(("trial", "digest", "data", "recipe_name", "status", "output"), "x")
    numbers = dict.fromkeys(("seed", "resolution", "epochs", "of_epochs", "written"), 1)
    return json.dumps({**texts, **numbers, "curve": [{"epoch": epoch}]})


@pytest.mark.parametrize(
    "text",
    [
        *("{", "[]", json.dumps({"trial": "3"}), "[" * 100_000),
        *map(with_an_epoch, ("one", float("nan"), 10**400)),
    ],
    ids=range(7),
)
def test_a_damaged_file_is_named_and_the_others_are_shown(
    images: Path, study: Path, tmp_path: Path, text: str
) -> None:
    (study / "trainings").mkdir()
    assert panel_of(study) is None
    (study / "trainings" / "bad.json").write_text(text)
    found = panel_of(study)
    assert found["trainings"] == []
    (said,) = found["unreadable"]
    assert "bad.json must hold a training's curve" in said and "\n" not in said


class Asked(Exception):
    """What would have been trained."""


def test_commands_hand_the_study_on(
    images: Path, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def note(config: Any, tell: Any) -> Any:
        asked.append(getattr(config, "training", config))
        raise Asked

    monkeypatch.setattr(training, "train", note)
    monkeypatch.setattr(finishing, "finish", note)
    more = ["--pick", "label:3", "--data", str(images), "--device", "cpu"]
    for words in (
        ["train", "--from", str(study), "-o", str(tmp_path / "run")],
        ["finish", str(study)],
    ):
        with pytest.raises(Asked):
            CliRunner().invoke(app, [*words, *more], catch_exceptions=False)
    assert [config.study for config in asked] == [study, study]
    assert {config.origin["trial"] for config in asked} == {"3"}
