"""`evnas init`: what it writes is right, is planned, and runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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
    rng = np.random.default_rng(0)
    for label, level in (("dark", 60), ("bright", 200)):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for i in range(12):
            pixels = rng.normal(level, 20, (32, 32, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{i}.png")
    return tmp_path / "photos"


@pytest.mark.parametrize("kind", ["sweep", "search"])
@pytest.mark.parametrize("images", ["none", "fashion-mnist-12k", "photos"])
def test_what_is_written_is_read(photos, kind, images):
    done = evnas("init", "a.yaml", "--kind", kind, "--images", images, "--json", cwd=photos.parent)
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


@pytest.mark.parametrize(
    ("arguments", "want"),
    [
        (("there.yaml",), "is there already and stays as it is"),
        (("no/a.yaml",), "must lie in a folder that is there"),
        (("a.txt",), "ends in .yaml"),
        (("a.yaml", "--images", "fashion-mnist-12"), "did you mean 'fashion-mnist-12k'?"),
        (("-a b.yaml",), "its name must be letters, digits"),
    ],
)
def test_what_it_refuses(tmp_path, arguments, want):
    (tmp_path / "there.yaml").write_text("name: x\n")
    done = (
        evnas("init", "--", *arguments[:1], cwd=tmp_path)
        if len(arguments) == 1
        else evnas("init", *arguments, cwd=tmp_path)
    )
    assert done.returncode == 2 and want in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["there.yaml"]


def test_a_sweep_on_own_images_is_planned_and_runs(photos):
    folder = photos.parent
    written = evnas("init", "a.yaml", "--kind", "sweep", "--images", "photos", cwd=folder)
    assert written.returncode == 0, written.stderr
    small = [
        *("--set", "proxy.images_per_epoch=16", "--set", "proxy.width=0.25"),
        *("--set", "targets[0].resolution=32", "--set", "targets[0].budget_s=0.2"),
        *("--set", "proxy.epochs=1", "--set", "predict=null", "--set", "seeds=[0]"),
    ]
    planned = evnas("plan", "a.yaml", *small, cwd=folder)
    assert planned.returncode == 0, planned.stderr
    assert "4 trials" in planned.stdout
    ran = evnas("sweep", "a.yaml", *small, cwd=folder)
    assert ran.returncode == 0, ran.stderr
    assert (folder / "results" / "a" / "report.html").exists()
    rows = [line for line in ran.stdout.splitlines() if line.startswith("attention last")]
    assert rows and "failed" not in rows[0]


def test_a_search_without_images_runs(tmp_path):
    written = evnas("init", "s.yaml", "--kind", "search", "--images", "none", cwd=tmp_path)
    assert written.returncode == 0, written.stderr
    small = ("--set", "budget.trials=2", "--set", "predict={seeds: 1}")
    fast = ("--set", "targets[0].resolution=32", "--set", "targets[0].budget_s=0.2")
    torch = ("--set", "targets[0].runtime=torch")
    ran = evnas("sweep", "s.yaml", *small, *fast, *torch, "--json", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["front"]
