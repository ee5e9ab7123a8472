"""A campaign of the training study: what its lines say, and that a stop changes none of them."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmark_modules import benchmark


@pytest.fixture(scope="module")
def train() -> Iterator[Any]:
    with benchmark("train") as module:
        yield module


@pytest.fixture
def small(train: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The campaign with two trainings of four small steps each."""
    proxy_of = train.proxy_of
    monkeypatch.setattr(train, "BATCH", 6)
    monkeypatch.setattr(train, "HELD_OUT", 40)
    few = {"batch_size": 15, "points_per_epoch": 1, "curve_images": 10}
    monkeypatch.setattr(train, "proxy_of", lambda *of: proxy_of(*of).model_copy(update=few))
    cells = [
        train.Training(name="efficientvim_m1", presentations=60, seed=seed, macs=1.0)
        for seed in (0, 1)
    ]
    monkeypatch.setattr(train, "trainings", lambda: cells)
    return train


def run(train: Any, out: Path, *, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train.py", "--out", str(out), "--most", str(most)])
        train.main()


def without_times(found: Any) -> Any:
    """A line without what a clock and a calendar say."""
    timed = ("seconds", "cpu_seconds", "train_seconds", "train_throughput_img_s", "date")
    if isinstance(found, dict):
        return {key: without_times(of) for key, of in found.items() if key not in timed}
    return [without_times(of) for of in found] if isinstance(found, list) else found


def test_a_campaign_that_was_stopped_gives_the_same_lines(small: Any, tmp_path: Path) -> None:
    stopped, whole = tmp_path / "stopped/curves.jsonl", tmp_path / "whole/curves.jsonl"
    run(small, stopped, most=1)
    (first,) = small.lines_in(stopped)
    stopped.with_suffix(".part").write_text('{"name": "efficientvim_m1", "da')  # a stop in it
    run(small, stopped, most=1)
    run(small, whole, most=2)
    lines = small.lines_in(stopped)
    assert lines[0] == first
    assert without_times(lines) == without_times(small.lines_in(whole))
    assert [line["seed"] for line in lines] == [0, 1]
    assert lines[0]["values"]["loss"] != lines[1]["values"]["loss"]  # each is of its own seed
    before = stopped.read_bytes()
    run(small, stopped, most=2)  # nothing is missing
    assert stopped.read_bytes() == before
    assert [file.name for file in stopped.parent.iterdir()] == [stopped.name]


def test_a_line_names_program_and_processor(small: Any, tmp_path: Path) -> None:
    out = tmp_path / "curves.jsonl"
    run(small, out, most=1)
    line = json.loads(out.read_text())
    facts = importlib.import_module("evnas.measure.timing.conditions").cpu_facts()
    assert line["machine"] == facts["model"] and line["revision"] == small.revision_of(small.TREE)
    assert line["status"] == "complete" and line["presentations"] == 60
    assert line["cpu_seconds"] >= 0 and line["date"] and line["digest"] and line["curve"]


def git(tree: Path, *words: str) -> str:
    who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    done = subprocess.run(["git", *who, *words], cwd=tree, capture_output=True, check=True)
    return done.stdout.decode().strip()


def test_a_revision_names_the_commit_and_whether_the_code_was_changed(
    train: Any, tmp_path: Path
) -> None:
    of = train.revision_of.__wrapped__  # a campaign asks once
    assert of(tmp_path) == ""
    (tmp_path / "evnas").mkdir()
    code = tmp_path / "evnas/code.py"
    code.write_text("one = 1\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "one")
    commit = of(tmp_path)
    assert commit and git(tmp_path, "rev-parse", "HEAD").startswith(commit)
    (tmp_path / "curves.jsonl").write_text("{}\n")  # what a campaign writes is no code
    assert of(tmp_path) == commit
    code.write_text("one = 2\n")
    assert of(tmp_path) == commit + "+"
