"""The sheet of a benchmark over several processes: what holds, what is taken again, what hangs."""

import argparse
import importlib
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TAKEN = {"ratio": [1.0, 1.0, 1.0]}
VERSIONS = {"torch": "2"}


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("sheet")


class Opened:
    """Opens the sheet again, as a further process of a call would."""

    def __init__(self, module: ModuleType, folder: Path) -> None:
        self.module, self.folder = module, folder

    def __call__(self, call: str, *options: str, versions: Any = VERSIONS) -> Any:
        words = ["--device", "cpu", "--rehearsal", "--resume", "--call", call, *options]
        args: argparse.Namespace = self.module.arguments("").parse_args(
            [*words, "--out", str(self.folder)]
        )
        book = self.module.sheet("lines", args, ["float32"])
        book.runs[-1]["versions"] = versions
        return book


@pytest.fixture
def opened(module: ModuleType, tmp_path: Path) -> Opened:
    return Opened(module, tmp_path)


def key(peer: str) -> dict[str, Any]:
    return {"case": {"op": "scan"}, "pass": "forward", "peer": peer}


def test_a_line_is_taken_once(opened: Opened) -> None:
    book = opened("first")
    assert book.wants(**key("torch"))
    book.add(key("torch") | TAKEN)
    for call in ("first", "second"):
        again = opened(call)
        assert not again.wants(**key("torch")) and again.wants(**key("mamba"))
        again.pass_over()
        assert again.exit_code() == 0
    assert len(list(opened.folder.glob("rehearsal_lines_cpu_*.json"))) == 1


def test_an_absent_line_waits_for_the_next_call(opened: Opened, module: ModuleType) -> None:
    book = opened("first")
    assert book.wants(**key("torch"))
    book.add(key("torch") | {"absent": "no such kernel"})
    assert book.exit_code() == module.PARTLY
    again = opened("first")
    assert not again.wants(**key("torch"))
    assert again.exit_code() == module.PARTLY
    later = opened("second")
    assert later.wants(**key("torch"))
    later.add(key("torch") | TAKEN)
    assert later.exit_code() == 0
    assert [line.get("absent") for line in later.lines] == [None]


def test_a_line_that_ended_its_process_is_named(opened: Opened, module: ModuleType) -> None:
    assert opened("first").wants(**key("torch"))  # and nothing more is heard of that process
    book = opened("first")
    assert book.lines[-1]["absent"] == module.ENDED_ITS_PROCESS
    assert not book.wants(**key("torch")) and book.wants(**key("mamba"))
    signal.alarm(0)


def test_what_other_versions_gave_is_taken_again(opened: Opened) -> None:
    book = opened("first")
    assert book.wants(**key("torch"))
    book.add(key("torch") | TAKEN)
    other = opened("second", versions={"torch": "3"})
    assert other.wants(**key("torch"))
    other.add(key("torch") | TAKEN)
    assert len(other.lines) == 2


def test_a_device_that_answers_no_more_ends_the_process(
    opened: Opened, module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "device_answers", lambda: False)
    book = opened("first")
    assert book.wants(**key("torch"))
    with pytest.raises(SystemExit) as ended:
        book.add(key("torch") | {"absent": "an illegal memory access"})
    assert ended.value.code == module.BROKEN
    assert opened("first").lines[-1]["absent"] == "an illegal memory access"


def test_a_line_that_hangs_ends_its_process(tmp_path: Path) -> None:
    code = f"""
import sys, time
sys.path.insert(0, {str(BENCHMARKS)!r})
import sheet
words = ["--device", "cpu", "--rehearsal", "--line-limit-s", "1", "--out", {str(tmp_path)!r}]
book = sheet.sheet("lines", sheet.arguments("").parse_args(words), [])
if book.wants(peer="torch"):
    time.sleep(60)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGALRM
