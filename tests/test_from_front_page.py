"""The guide's page from a front to a file: its images, its search and every command run."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "guide" / "from_front_to_file.md"


def test_every_command_of_the_page_runs(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    text = PAGE.read_text()
    for name, kind in (("make_images.py", "python"), ("tiny.yaml", "yaml")):
        (content,) = re.findall(rf"```{kind}\n(.*?)```", text, re.S)
        (tmp_path / name).write_text(content)
    printed = {}
    for line in "".join(re.findall(r"```bash\n(.*?)```", text, re.S)).splitlines():
        program, *rest = shlex.split(line)
        command = [sys.executable, *(["-m", "evnas"] if program == "evnas" else []), *rest]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=os.environ | {"PATH": "", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        printed[" ".join([program, *rest[:2]])] = done.stdout
    assert "front:1" in printed["evnas front results/tiny"]
    assert "McNemar" in printed["evnas eval trained"] or "McNemar" in str(printed)
    (folder,) = (tmp_path / "results" / "tiny" / "finish").iterdir()
    report = json.loads((folder / "report.json").read_text())
    assert [row["step"] for row in report["accuracy"]] == ["evaluate", "deploy", "export"]
    assert report["from"]["pick"] == "front:1" and report["from"]["trial"] == folder.name
