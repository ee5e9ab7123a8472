"""The guide's page from a front to a file: its images, its search and every command run."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evnas.cli import app

PAGE = Path(__file__).parents[1] / "docs" / "guide" / "from_front_to_file.md"


def test_every_command_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    text = PAGE.read_text()
    for name, kind in (("make_images.py", "python"), ("tiny.yaml", "yaml")):
        (content,) = re.findall(rf"```{kind}\n(.*?)```", text, re.S)
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    printed = {}
    for line in "".join(re.findall(r"```bash\n(.*?)```", text, re.S)).splitlines():
        printed[line[:32]] = _printed_by(line)
    assert "front:1" in printed["evnas front results/tiny"]
    assert "McNemar" in printed["evnas eval trained model.onnx --"]
    (folder,) = (tmp_path / "results" / "tiny" / "finish").iterdir()
    report = json.loads((folder / "report.json").read_text())
    assert [row["step"] for row in report["accuracy"]] == ["evaluate", "deploy", "export"]
    assert report["from"]["pick"] == "front:1" and report["from"]["trial"] == folder.name


def _printed_by(line: str) -> str:
    """What a command prints; scripts, and sweeps with their workers, in a process of their own."""
    program, *rest = shlex.split(line)
    if program == "evnas" and rest[0] != "sweep":
        done = CliRunner().invoke(app, rest, catch_exceptions=False)
        assert done.exit_code == 0, f"{line}\n{done.output}"
        return done.stdout
    ran = subprocess.run(
        [sys.executable, *(["-m", "evnas"] if program == "evnas" else []), *rest],
        env=os.environ | {"PATH": "", "OMP_NUM_THREADS": "1"},  # no browser to draw pictures with
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, f"{line}\n{ran.stderr}"
    return ran.stdout
