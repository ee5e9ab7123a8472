"""The script for a GPU's first minutes, on steps that need none: what hangs, breaks, goes on."""

import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FACTS = {"missing": {}, "device": "a made-up GPU", "versions": {"torch": "1"}, "gpus": []}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("gpu_script", BENCHMARKS / "gpu.py")
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gpu_script", found)  # its dataclasses ask for it
    spec.loader.exec_module(found)
    return found


@pytest.fixture
def gpu(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(script, "machine_facts", lambda at: FACTS)
    monkeypatch.setattr(script, "LEAST_S", 0.0)
    monkeypatch.setattr(script, "STOPPING_S", 0.5)
    return script


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", f"import os, pathlib, signal, sys, time\n{code}")


class Calls:
    """Calls of the script with steps of one's own, in one folder."""

    def __init__(self, gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, out: Path) -> None:
        self.gpu, self.monkeypatch, self.out = gpu, monkeypatch, out

    def __call__(self, cases: dict[str, Any], *options: str, limit_s: float = 20.0) -> int:
        found = [
            self.gpu.Case(name, command, is_sheet) for name, (command, is_sheet) in cases.items()
        ]
        step = self.gpu.Step("step", found, limit_s)
        self.monkeypatch.setattr(self.gpu, "steps", lambda at: [step])
        self.monkeypatch.setattr(sys, "argv", ["gpu.py", "--out", str(self.out), *options])
        code: int = self.gpu.main()
        return code

    def outcome(self, case: str) -> dict[str, Any]:
        kept = json.loads((self.out / "gpu_steps.json").read_text())
        found: dict[str, Any] = kept["cases"][f"step / {case}"]
        return found


@pytest.fixture
def calls(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Calls:
    monkeypatch.setenv("PYTHONPATH", "")
    return Calls(gpu, monkeypatch, tmp_path / "out")


def counts(path: Path, then: str = "") -> Sequence[str]:
    """Writes a mark each time it runs; `n` are the marks."""
    mark = f"p = pathlib.Path({str(path)!r})\np.open('a').write('.')\nn = p.stat().st_size"
    return python(f"{mark}\n{then}")


def test_a_second_call_takes_what_is_left_alone(calls: Calls, tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    cases = {
        "good": (counts(good), False),
        "bad": (counts(bad, "print('no such kernel'); sys.exit(n == 1)"), False),
        "after": (python(""), False),
    }
    assert calls(cases) == 1
    assert calls.outcome("bad")["how"] == "failed with exit code 1"
    assert calls.outcome("bad")["tail"] == ["no such kernel"]
    assert calls.outcome("after")["how"] == "done"
    assert calls.outcome("good")["device"] == "a made-up GPU"
    assert calls.outcome("good")["versions"] == {"torch": "1"}
    assert calls(cases) == 0
    assert (good.read_text(), bad.read_text()) == (".", "..")


def test_a_copy_of_what_came_back_goes_on(calls: Calls, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    assert calls({"case": (counts(mark), False)}) == 0
    earlier, calls.out = calls.out, tmp_path / "fresh"
    assert calls({"case": (counts(mark), False)}, "--begun", str(earlier)) == 0
    assert mark.read_text() == "."


def test_a_hang_ends_with_its_step_and_takes_its_children_along(
    calls: Calls, tmp_path: Path
) -> None:
    child = tmp_path / "child"
    hangs = python(
        "if os.fork():\n    time.sleep(60)\n"
        f"pathlib.Path({str(child)!r}).write_text(str(os.getpid()))\ntime.sleep(60)"
    )
    assert calls({"hangs": (hangs, True)}, limit_s=1.0) == 1
    assert calls.outcome("hangs")["how"] == "cut off"
    assert not Path("/proc", child.read_text(), "exe").exists()


@pytest.mark.parametrize("ends", ["sys.exit(5)", "os.kill(os.getpid(), signal.SIGSEGV)"])
def test_a_sheet_goes_on_behind_the_line_that_broke_its_process(
    calls: Calls, tmp_path: Path, ends: str
) -> None:
    mark = tmp_path / "mark"
    command = counts(mark, f"if n < 3:\n    {ends}\nassert sys.argv[1] == '--seconds'")
    assert calls({"sheet": (command, True)}) == 0
    assert (calls.outcome("sheet")["starts"], mark.read_text()) == (3, "...")


def test_what_always_breaks_is_not_started_for_ever(calls: Calls, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    assert calls({"sheet": (counts(mark, "sys.exit(5)"), True)}) == 1
    assert mark.read_text() == "....."
    assert calls({"sheet": (counts(mark, "sys.exit(4)"), True)}) == 1
    assert calls.outcome("sheet")["how"] == "some lines are absent"


def test_no_case_begins_after_the_time(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(calls.gpu, "LEAST_S", 15)
    mark = tmp_path / "mark"
    assert calls({"case": (counts(mark), False)}, "--seconds", "3") == 1
    assert calls.outcome("case")["how"] == "for the next call"
    assert not mark.exists()


def test_a_study_travels_as_one_file(gpu: ModuleType, tmp_path: Path) -> None:
    at = gpu.Place(tmp_path, tmp_path / "here", Path("table_c.yaml"))
    (at.results / at.study / "deep").mkdir(parents=True)
    (at.results / at.study / "deep" / "study.db").write_text("rows")
    gpu._pack(at)
    there = gpu.Place(tmp_path, tmp_path / "there", at.sweep)
    gpu._unpack(there)
    assert (there.results / at.study / "deep" / "study.db").read_text() == "rows"
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["table_c_gpu.tar.gz"]


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({}, "gpu_facts.py must run here"),
        (FACTS | {"missing": {"timm": "ImportError: x", "yaml": "y"}}, "import timm, got"),
        (FACTS | {"device": ""}, "torch must see a CUDA device"),
    ],
)
def test_what_is_missing_is_said_before_any_time_is_spent(
    calls: Calls,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    facts: dict[str, Any],
    told: str,
) -> None:
    monkeypatch.setattr(calls.gpu, "machine_facts", lambda at: facts)
    assert calls({"case": (python(""), False)}) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(("rehearsal", "limit_s"), [(False, 120), (True, 600)])
def test_facts_that_take_too_long_are_said_to(
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    rehearsal: bool,
    limit_s: int,
) -> None:
    monkeypatch.setattr(script, "run", lambda command, seconds: (None, [str(seconds)]))
    at = script.Place(tmp_path, tmp_path, Path("table_c.yaml"), rehearsal=rehearsal)
    assert script.machine_facts(at) == {}
    assert capsys.readouterr().err == f"benchmarks/gpu_facts.py did not end within {limit_s} s\n"


def test_the_steps_come_in_their_order_with_their_times(gpu: ModuleType, tmp_path: Path) -> None:
    at = gpu.Place(tmp_path, tmp_path, Path("table_c.yaml"), "now")
    found = gpu.steps(at)
    first = [step.name for step in found if step.limit_s < float("inf")]
    assert first[:6] == ["tests", "M2", "hsm_ssd", "ss2d_scan", "VMamba-T", "Table C"]
    assert first[-1] == "max-autotune"
    minutes = sum(step.limit_s for step in found if step.name in first)
    assert minutes <= 660
    for step in found:
        for case in step.cases:
            assert Path(case.command[1]).exists() or case.command[1] == "-m"
            if case.is_sheet:
                assert {"--resume", "--call", "--line-limit-s"} <= set(case.command)
