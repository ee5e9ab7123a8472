"""Training-free scores in a search: as an objective, and as a screen before anything trains."""

import math
import time
from pathlib import Path
from typing import Any

import pytest
from tiny_search import records, tiny_search

from evnas.phases.work import Event, Work
from evnas.search.evaluate import Evaluator
from evnas.search.runner import run_sweep
from evnas.sweep.parts import EngineSpec
from evnas.sweep.sweep import sweep_of
from evnas.tables import SCORES


class Here:
    """The evaluator in this process, its data kept."""

    slots = 1

    def __init__(self) -> None:
        self.evaluator = Evaluator()
        self.works: list[Work] = []

    def submit(self, work: Work) -> None:
        self.works.append(work)

    def wait(self, timeout_s: float) -> list[Event]:
        return [self.evaluator.run(self.works.pop(), lambda fraction, text: None)]

    def close(self) -> None:
        pass


def run(results: Path, changes: dict[str, Any]) -> None:
    def engine_for(spec: EngineSpec) -> Here:
        return Here()

    sweep = sweep_of(tiny_search() | {"budget": {"trials": 4}, "strategy": "random"} | changes)
    run_sweep(sweep, results=results, fresh=False, began=time.monotonic(), make_engine=engine_for)


def test_a_score_as_objective_trains_nothing(tmp_path: Path) -> None:
    run(tmp_path, {"objectives": {"params_m": "min", "grad_norm": "max", "jacob_cov": "max"}})
    found = records(tmp_path)
    assert [r.phase for r in found] == ["count", "score"] * 4
    assert {r.status for r in found} == {"complete"}
    scores = [r.values for r in found if r.phase == "score"]
    assert all(values.keys() == {"grad_norm", "jacob_cov"} for values in scores)
    assert len({values["grad_norm"] for values in scores}) == 4
    front = tmp_path / "tiny" / "front" / "front.json"
    assert "grad_norm" in front.read_text()
    run(tmp_path / "again", {"objectives": {"params_m": "min", "grad_norm": "max"}})
    repeated = [r.values["grad_norm"] for r in records(tmp_path / "again") if r.phase == "score"]
    assert repeated == [values["grad_norm"] for values in scores]  # decided by the seed


def test_a_score_as_constraint_screens_before_training(tmp_path: Path) -> None:
    run(tmp_path, {"objectives": {"params_m": "min", "grad_norm": "max"}})
    scores = sorted(r.values["grad_norm"] for r in records(tmp_path) if r.phase == "score")
    least = (scores[1] + scores[2]) / 2
    run(tmp_path / "screened", {"constraints": [f"grad_norm >= {least}"]})
    by_label: dict[str, list[str]] = {}
    for record in records(tmp_path / "screened"):
        by_label.setdefault(record.label, []).append(f"{record.phase} {record.status}")
    ends = sorted(by_label.values())
    assert ends[:2] == [["count complete", "score complete", "proxy complete"]] * 2
    assert ends[2:] == [["count complete", "score infeasible"]] * 2


def test_a_score_that_is_not_finite_is_a_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SCORES._loaded, "naswot", lambda *_: -math.inf)
    run(tmp_path, {"objectives": {"params_m": "min", "naswot": "max"}})
    ends = [(r.status, r.error) for r in records(tmp_path) if r.phase == "score"]
    assert ends == [("failed", "naswot of this model is -inf")] * 4


def test_without_a_proxy_the_whole_model_is_scored(tmp_path: Path) -> None:
    run(tmp_path, {"objectives": {"params_m": "min", "reach": "max"}, "proxy": "none"})
    scores = [r for r in records(tmp_path) if r.phase == "score"]
    assert [r.status for r in scores] == ["complete"] * 4
    assert all(r.values["reach"] > 0 for r in scores)
