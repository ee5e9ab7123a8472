"""`evnas init`: what it writes is right; test_guide_pages.py plans it and runs it."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import in_process
import pytest
from photos import write_photos

from evnas.sweep.search_spec import SearchSpec
from evnas.sweep.sweep import load_sweep


def evnas(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "evnas", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of twelve small images."""
    return write_photos(tmp_path / "photos")


@pytest.mark.parametrize("kind", ["sweep", "search"])
@pytest.mark.parametrize("images", ["none", "fashion-mnist-12k", "photos"])
def test_what_is_written_is_read(photos, kind, images):
    words = ("init", "a.yaml", "--kind", kind, "--images", images, "--json")
    done = in_process.evnas(*words, cwd=photos.parent)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["next"][0] == "evnas check a.yaml"
    loaded = load_sweep(photos.parent / "a.yaml")
    assert loaded.spec.name == "a"
    assert (loaded.spec.proxy is None) == (images == "none")
    if images == "photos":
        text = (photos.parent / "a.yaml").read_text()
        assert "20 training and 4 held-out images" in text and "bright, dark" in text
        assert loaded.spec.proxy is not None and loaded.spec.proxy.batch_size == 8


def test_nothing_is_asked_where_nobody_sits(tmp_path):
    done = evnas("init", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert load_sweep(tmp_path / "mine.yaml").spec.name == "mine"


def test_three_questions_are_asked_where_somebody_sits(tmp_path):
    ours, theirs = pty.openpty()
    os.write(ours, b"search\nnone\n5\n")
    done = subprocess.run(
        [sys.executable, "-m", "evnas", "init"],
        stdin=theirs,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0, done.stderr
    for question in (
        "a search (a front) [sweep]:",
        "or none [none]:",
        "Minutes it may take [10]:",
    ):
        assert question in done.stderr
    loaded = load_sweep(tmp_path / "mine.yaml")
    assert isinstance(loaded.spec, SearchSpec)
    assert loaded.spec.proxy is None and loaded.spec.budget.minutes == 5


@pytest.mark.parametrize(
    ("arguments", "want"),
    [
        (("there.yaml",), "is there already and stays as it is"),
        (("no/a.yaml",), "must lie in a folder that is there"),
        (("a.txt",), "ends in .yaml"),
        (("a.yaml", "--images", "fashion-mnist-12"), "did you mean 'fashion-mnist-12k'?"),
        (("-a b.yaml",), "its name must be letters, digits"),
        (("a.yaml", "--minutes", "inf"), "must be 1 to 525,600 minutes, got 'inf'"),
        (("a.yaml", "--minutes", "nan"), "must be 1 to 525,600 minutes, got 'nan'"),
        (("a.yaml", "--minutes", "0"), "must be 1 to 525,600 minutes, got '0'"),
    ],
)
def test_what_it_refuses(tmp_path, arguments, want):
    (tmp_path / "there.yaml").write_text("name: x\n")
    words = ("--", *arguments) if len(arguments) == 1 else arguments
    done = in_process.evnas("init", *words, cwd=tmp_path)
    assert done.returncode == 2 and want in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["there.yaml"]
