"""What a wheel holds, and that it works from an empty folder, where no checkout helps."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
RUN = """
import json, sys
from pathlib import Path
import evnas
from evnas import cli
assert Path(evnas.__file__).is_relative_to(sys.argv[1]), evnas.__file__
for line in sys.argv[2:]:
    print("##", line, flush=True)
    cli.app(line.split(), standalone_mode=False)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what the wheel installs, built of a copy: no checkout changes."""
    source, into = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    for folder in ("evnas", "sweeps"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, source / folder, symlinks=True, ignore=ignored)
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(into)], cwd=source, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = into.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(into / "site")
    return into / "site"


def answers(installed: Path, folder: Path, *lines: str) -> list[str]:
    """What each command line prints, all run in one process, in an empty folder."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(installed), *lines],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    parts = done.stdout.split("## ")[1:]
    return [part.partition("\n")[2] for part in parts]


def test_the_wheel_holds_every_file_of_the_package(installed: Path) -> None:
    def files_in(folder: Path) -> set[str]:
        found = (Path(at) / f for at, _, names in os.walk(folder, followlinks=True) for f in names)
        return {str(file.relative_to(folder)) for file in found if "__pycache__" not in file.parts}

    assert files_in(installed / "evnas") == files_in(ROOT / "evnas")
    assert not any(path.is_symlink() for path in installed.rglob("*"))


def test_it_works_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    models, check, schema = answers(
        installed, tmp_path, "models --json", "check table_c --json", "schema"
    )
    assert len(json.loads(models)) > 20
    assert list(json.loads(check)["rows"]) == list("ABCDEFGHIJL")
    assert "anyOf" in json.loads(schema)
    assert list(tmp_path.iterdir()) == []


def test_all_printed_rows_are_counted_from_an_empty_folder(
    installed: Path, tmp_path: Path
) -> None:
    (verified,) = answers(installed, tmp_path, "verify --no-peers --json")
    checks = json.loads(verified)
    tables = {(check["paper"], check["table"]) for check in checks}
    assert ("EfficientViM", "C") in tables and ("VMamba", "10") in tables
    assert {c["verdict"] for c in checks if "unexplained" in c["verdict"]} == set()
