"""The study of weights handed down: a stop changes no line of it."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two children, and trainings of two small steps and more."""
    monkeypatch.syspath_prepend(str(BENCHMARKS / "training_study"))
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module = importlib.import_module("inherited_weights")
    as_the_study = importlib.import_module("train")
    monkeypatch.setattr(as_the_study, "BATCH", 3)
    monkeypatch.setattr(as_the_study, "HELD_OUT", 40)
    few = {"batch_size": 15, "points_per_epoch": 1, "curve_images": 10}
    proxy_of = module.proxy_of
    monkeypatch.setattr(module, "proxy_of", lambda *of: proxy_of(*of).model_copy(update=few))
    for name, of in (("CHILDREN", 2), ("SHORT", 30), ("SHARED", 30), ("LONG", 90)):
        monkeypatch.setattr(module, name, of)
    return module


def train(study: Any, file: Path, *, most: int) -> None:
    """Go on from the file, as the command does."""
    study.train_missing(study.opened(file), file, most)


def lines_of(file: Path) -> list[dict[str, Any]]:
    """What was trained, without the clock and the calendar."""
    lines = json.loads(file.read_text())["lines"]
    return [{k: of for k, of in line.items() if k not in ("seconds", "date")} for line in lines]


def test_a_study_that_was_stopped_gives_the_same_lines(study: Any, tmp_path: Path) -> None:
    stopped, whole = tmp_path / "stopped/children.json", tmp_path / "whole/children.json"
    train(study, stopped, most=1)
    stopped.with_suffix(".part").write_text('{"about": {"par')  # a stop in it
    train(study, stopped, most=2)  # of which the second child needs its parent again
    train(study, whole, most=3)
    found = lines_of(stopped)
    assert found == lines_of(whole)
    assert [(line["child"], line["kind"]) for line in found] == [
        (0, study.INHERITED), (1, study.INHERITED), (0, study.SCRATCH)
    ]  # fmt: skip
    assert [line["presentations"] for line in found] == [30, 30, 60]
    first, second, scratch = (line["share_handed_down"] for line in found)
    assert first > 0 and second > 0 and scratch == 0


def test_other_children_are_refused(
    study: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "children.json"
    study.write(file, study.opened(file))
    monkeypatch.setattr(study, "LONG", 120)
    with pytest.raises(ValueError, match="same children and budgets"):
        study.opened(file)
