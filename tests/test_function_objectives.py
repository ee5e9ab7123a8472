"""Objectives that are functions of a script: found by workers, wanted and limited like others."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

import evnas
from evnas.arch.catalog import entry
from evnas.phases.function import FunctionPhase, add_objective
from evnas.phases.work import Work
from evnas.search.evaluate import Evaluator, silent
from evnas.store import Store
from evnas.tables import PHASES

SCRIPT = """
import torch
import evnas


def widest(arch: evnas.ArchSpec) -> float:
    return max(stage.dim for stage in arch.stages)


def convolutions(model: torch.nn.Module) -> float:
    return sum(isinstance(m, torch.nn.Conv2d) for m in model.modules())


if __name__ == "__main__":
    study = evnas.search(
        name="own",
        space={"stages[0].dim": [64, 128], "stages[2].dim": [256, 320], "stages[0].depth": [1, 2]},
        objectives={widest: "max", convolutions: "min"},
        constraints=["widest >= 300"],
        strategy="grid",
        budget=8,
    )
    print(len(study.frame), "trials")
"""


def test_a_search_by_two_functions(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "mine.py"],
        cwd=tmp_path,
        env=os.environ | {"PATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "8 trials\n"
    with Store.read(tmp_path / "results" / "own" / "study.db") as store:
        records = [record for _, record in store.records()]
    found = {r.label: r for r in records if r.phase == "widest"}
    assert {r.values["widest"] for r in found.values()} == {256.0, 320.0}
    assert all((r.status == "complete") == (r.values["widest"] == 320) for r in found.values())
    deeper = {r.label: r.values["convolutions"] for r in records if r.phase == "convolutions"}
    kept = {label for label, r in found.items() if r.status == "complete"}
    assert set(deeper) == kept and len(set(deeper.values())) == 2


def nothing(arch: evnas.ArchSpec) -> float:
    return float("nan")


def test_a_function_that_finds_no_number_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PHASES._added, "nothing", FunctionPhase(nothing))
    arch = entry("m1").arch
    work = Work(label="0", digest=arch.digest, arch=arch.to_dict(), phase="nothing")
    record = Evaluator().run(work, silent).record
    assert record.status == "failed"
    assert record.error == "nothing must return a finite number, got nan"


def loss(arch: evnas.ArchSpec) -> float:
    return 0.0


def test_what_workers_cannot_have_is_refused() -> None:
    with pytest.raises(evnas.EvnasError, match="must be defined by `def`"):
        add_objective(lambda arch: 0.0)
    with pytest.raises(evnas.EvnasError, match="loss is a quantity that evnas finds"):
        add_objective(loss)
    with pytest.raises(evnas.EvnasError, match="a quantity's name or a function, got 3"):
        evnas.search(space={}, objectives=cast(Any, {3: "min"}), budget=1)
