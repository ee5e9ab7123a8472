"""A benchmark's lines in several fresh processes, one file for all."""

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks/models.py"
CASE = {"model": "m", "batch": 16}


@pytest.fixture(scope="module")
def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("processes", SCRIPT.with_name("processes.py"))
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def sheet(ratio: float | None, memory: str = "kept") -> dict[str, Any]:
    line: dict[str, Any] = {"case": CASE, "pass": "forward", "form": "ours", "peer": "eager"}
    taken = {
        "ratio": [0.0, ratio, 9.0],
        "latency_ms": [1.0, 2.0, 3.0],
        "peer_latency_ms": [4.0, 5.0, 6.0],
    }
    line |= {"run": 0, **({"absent": "no room"} if ratio is None else taken)}
    return {"runs": [{"host_memory": memory}], "lines": [line]}


def writes(sheets: list[dict[str, Any]], code: int = 0) -> Callable[[Sequence[str]], int]:
    """Stands for the benchmark: each call leaves the next sheet where it was asked to."""

    def run(command: Sequence[str]) -> int:
        assert command[:2] == (sys.executable, str(SCRIPT))
        assert list(command[-4:-1]) == ["--processes", "0", "--out"]
        Path(command[-1], "models_cpu.json").write_text(json.dumps(sheets.pop(0)))
        return code

    return run


def test_every_ratio_is_kept_beside_their_median(module: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "new" / "m.json"
    run = writes([sheet(r) for r in (1.7, 2.6, 2.2)])
    options = ["--processes", "3", "--only", "m"]
    assert module.in_processes(SCRIPT, options, 3, path=path, end_s=time.monotonic() + 60, run=run)
    written = json.loads(path.read_text())
    (row,) = written["summary"]
    assert (row["ratios"], row["median"]) == ([1.7, 2.6, 2.2], 2.2)
    assert (row["lowest"], row["highest"], row["host_memory"]) == (1.7, 2.6, "kept")
    assert row["latency_ms"] == [2.0] * 3 and row["peer_latency_ms"] == [5.0] * 3
    assert len(written["processes"]) == 3 and written["options"] == options
    assert module.summary_text(written["summary"]) == (
        "m-b16 ours vs eager, kept: x2.20 [1.70, 2.60] of 3 processes: 1.70 2.60 2.20"
    )


def test_an_absent_line_has_no_part_in_the_median(module: ModuleType) -> None:
    (row,) = module.summary([sheet(1.5), sheet(None), sheet(2.5)])
    assert (row["ratios"], row["median"]) == ([1.5, 2.5], 2.0)


def test_no_process_is_begun_after_the_time(module: ModuleType, tmp_path: Path) -> None:
    path, clock = tmp_path / "m.json", time.monotonic()
    assert not module.in_processes(SCRIPT, [], 2, path=path, end_s=clock, run=writes([]))
    assert json.loads(path.read_text())["processes"] == []


def test_a_process_that_fails_is_not_passed_over(module: ModuleType, tmp_path: Path) -> None:
    run = writes([sheet(1.5)], code=2)
    with pytest.raises(subprocess.CalledProcessError):
        module.in_processes(
            SCRIPT, [], 2, path=tmp_path / "m.json", end_s=time.monotonic() + 60, run=run
        )
