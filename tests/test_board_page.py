"""The guide's page on commands, with its second process in place of the board."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from evnas.store import Store

PAGE = Path(__file__).parents[1] / "docs" / "guide" / "board.md"


def test_the_page_measures_on_a_second_process(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    text = PAGE.read_text()
    (script,) = re.findall(r"```python\n(.*?)```", text, re.S)
    (sweep,) = re.findall(r"```yaml\n(.*?)```", text, re.S)
    (tmp_path / "board.py").write_text(script)
    said = yaml.safe_load(sweep)
    (target,) = said["targets"]
    target["command"] = target["command"].replace("python", sys.executable, 1)
    target["budget_s"] = 0.5  # a round is enough here
    (tmp_path / "on_a_board.yaml").write_text(yaml.safe_dump(said, sort_keys=False))
    done = subprocess.run(
        [sys.executable, "-m", "evnas", "sweep", "on_a_board.yaml"],
        cwd=tmp_path,
        env=os.environ | {"PATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    with Store.read(tmp_path / "results" / "on_a_board" / "study.db") as store:
        speeds = [record for _, record in store.records() if record.phase == "speed"]
    assert [r.status for r in speeds] == ["complete"] * 2, speeds
    for record in speeds:
        assert record.target == "board-command-64-b2-float32-deployed"
        conditions = record.details["conditions"]
        assert (conditions["processor"], conditions["batch_said"]) == ("a second process", 2)
        assert record.on is not None and record.on.device == "board"
    assert "throughput_ratio" in speeds[1].measurements
