"""`--row`: some rows of a table worked on, and the others left for later."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_search import tiny_search
from typer.testing import CliRunner

from evnas.cli import app
from evnas.errors import SpecError
from evnas.search.forecast import forecast
from evnas.search.prepare import prepared
from evnas.sweep.sweep import sweep_of

TABLE = {
    "name": "some",
    "base": "efficientvim_m1",
    "rows": {
        "A": {},
        "B, wide": {"stages[0].dim": 160},
        "C": {"stages[0].depth": 3},
        "again C": {"stages[0].depth": 3},
        "D": {"absent": "nobody has its sizes"},
    },
    "targets": [],
}


def labels_of(rows: Sequence[str]) -> list[str]:
    return [row.label for row in prepared(sweep_of(TABLE)).only(rows).rows]  # type: ignore[union-attr]  # of a table


def test_the_reference_and_equal_rows_come_along() -> None:
    assert labels_of(["B, wide"]) == ["A", "B, wide"]
    assert labels_of(["A"]) == ["A"]
    assert labels_of(["again C"]) == ["A", "C"]


@pytest.mark.parametrize(
    ("table", "label", "said"),
    [
        (TABLE, "X", "one of A, B, wide, C, again C, D, got 'X'"),
        (TABLE, "D", "the row is absent (nobody has its sizes)"),
        (tiny_search(), "A", "a search has no rows"),
    ],
)
@pytest.mark.parametrize("command", ["sweep", "plan"])
def test_a_row_that_cannot_be_is_a_sentence_about_the_command_line(
    tmp_path: Path, command: str, table: dict[str, Any], label: str, said: str
) -> None:
    (tmp_path / "t.yaml").write_text(yaml.safe_dump(table, sort_keys=False), "utf-8")
    done = CliRunner().invoke(
        app, [command, str(tmp_path / "t.yaml"), "--row", label, "--results", str(tmp_path / "r")]
    )
    assert isinstance(done.exception, SpecError) and str(done.exception).startswith("--row")
    assert said in str(done.exception) and not (tmp_path / "r").exists()


def test_a_plan_of_some_rows_counts_these(tmp_path: Path) -> None:
    found = forecast(sweep_of(TABLE), results=tmp_path, rows=["C"])
    assert {step.label for step in found.steps} == {"A", "C"}


def test_what_was_left_out_is_done_later(tmp_path: Path) -> None:
    (tmp_path / "some.yaml").write_text(yaml.safe_dump(TABLE, sort_keys=False), "utf-8")

    def statuses(*more: str) -> dict[str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "evnas", "sweep", "some.yaml", "--json", *more],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        lines = json.loads(done.stdout)["table"]["lines"]
        return {line["label"]: line["cells"]["params_m"]["status"] for line in lines}

    assert statuses("--row", "B, wide")["C"] == "not run"
    assert set(statuses().values()) - {"absent"} == {""}
