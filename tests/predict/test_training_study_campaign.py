"""What a line of the training study says of the program that wrote it."""

import importlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

STUDY = Path(__file__).parents[2] / "benchmarks/training_study"


@pytest.fixture(scope="module")
def train() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(STUDY))
        yield importlib.import_module("train")


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
