"""Commands of many results that are ended before the last: none of those that came is lost."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from evnas.commands.results import Results
from evnas.errors import MeasurementError, SpecError

QUICK = "device=cpu,batch_size=1,resolution=32,budget_s=0.1"


def ended(tmp_path: Path, with_signal: signal.Signals, *more: str) -> tuple[int, str, str]:
    """`evnas bench` of two models, ended while the second target times the first of them: exit
    status, stdout and stderr."""
    begun, board = tmp_path / "begun", tmp_path / "board.yaml"
    hangs = f"sh -c 'touch {begun}; sleep 600' {{model}} {{batch}}"
    at = {"kind": "command", "name": "board", "command": hangs, "batch_size": 1, "resolution": 32}
    board.write_text(yaml.safe_dump(at))
    command = [sys.executable, "-m", "evnas.cli", "bench", "m1", "m1", "--target", QUICK]
    process = subprocess.Popen(
        [*command, "--target", str(board), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(tmp_path / "cache")},
    )
    while not begun.exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(with_signal)
    out, said = process.communicate()
    assert begun.exists(), said
    return process.returncode, out, said


def must_hold_what_was_measured(data: dict[str, Any]) -> None:
    """Both models on the first target, of four rows in all."""
    assert [row["name"] for row in data["rows"]] == ["m1", "m1 (2)"]
    assert {row["target"] for row in data["rows"]} == {"cpu-torch-32-b1-float32"}
    assert all(row["status"] == "complete" and row["measurements"] for row in data["rows"])
    assert data["missing"] == 2


def test_ctrl_c_prints_the_rows_that_are_there(tmp_path: Path) -> None:
    file = tmp_path / "speeds.json"
    code, out, said = ended(tmp_path, signal.SIGINT, "--json", "--out", str(file))
    assert code == 130 and said.endswith("stopped\n"), said
    must_hold_what_was_measured(json.loads(out))
    assert json.loads(file.read_text()) == json.loads(out)


def test_sigterm_prints_them_as_a_table(tmp_path: Path) -> None:
    code, out, said = ended(tmp_path, signal.SIGTERM)
    assert code == 130 and said.endswith("stopped by SIGTERM\n"), said
    table, missing = out.strip().split("\n\n")
    assert "images/s over m1's" in table and len(re.findall(r"^m1( \(2\))?  ", table, re.M)) == 2
    assert missing.startswith("2 missing:")


def test_sigkill_leaves_them_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "speeds.json"
    code, out, _ = ended(tmp_path, signal.SIGKILL, "--out", str(file))
    assert (code, out) == (-signal.SIGKILL, "")
    must_hold_what_was_measured(json.loads(file.read_text()))
    assert [path.name for path in tmp_path.glob(".*")] == []  # no half of a file


def test_a_fault_takes_nothing_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = Results(tmp_path / "r.json", True)
    with pytest.raises(MeasurementError, match="no room"), results.coming():
        results.take({"rows": [1]}, "a table", count=1)
        raise MeasurementError("no room")
    assert json.loads(capsys.readouterr().out) == {"rows": [1]}


def test_before_the_first_result_a_fault_prints_nothing_and_ctrl_c_that_there_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.json").write_text("of last week")
    results = Results(tmp_path / "r.json", True)
    results.take({"rows": [], "missing": 3}, "", count=0)
    with pytest.raises(MeasurementError), results.coming():
        raise MeasurementError("no such target")
    assert capsys.readouterr().out == ""
    with pytest.raises(typer.Exit) as left, results.coming():
        raise KeyboardInterrupt
    assert left.value.exit_code == 130
    assert json.loads(capsys.readouterr().out) == {"rows": [], "missing": 3}
    assert (tmp_path / "r.json").read_text() == "of last week"


def test_a_file_for_results_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    for file, sentence in {
        tmp_path / "r.csv": r"--out must name a file that ends in \.json",
        tmp_path / "no" / "r.json": "must lie in a folder",
    }.items():
        with pytest.raises(SpecError, match=sentence):
            Results(file, False)
