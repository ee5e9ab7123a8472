"""The benchmark of strategies runs with the phases, strategies and samplers that there are."""

import importlib
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from benchmark_modules import benchmark


@pytest.fixture(scope="module")
def runs() -> Iterator[ModuleType]:
    with benchmark("search_runs") as module:
        yield module


@pytest.mark.parametrize("kind", ["random", "evolution", "tpe", "nsga2", "mo_asha"])
def test_a_strategy_of_ours_is_driven_to_its_budget(runs: ModuleType, kind: str) -> None:
    trials, whole = (60, 1) if kind == "mo_asha" else (26, 26)
    space = runs.space_of(runs.SPACE)
    found = runs.search(space, kind, seed=0, trials=trials, landscape="coupled")
    assert len(found.vectors) == len(found.paid) >= whole
    assert found.curve()[-1] > 0


@pytest.mark.parametrize("kind", ["native tpe", "native tpe, grouped", "native nsga3"])
def test_a_native_peer_begins_with_the_same_members(runs: ModuleType, kind: str) -> None:
    native = importlib.import_module("native_peers").native
    space = runs.space_of(runs.SPACE)
    theirs = native(space, kind, seed=0, trials=8, landscape="usual")
    ours = runs.search(space, "random", seed=0, trials=8, landscape="usual")
    begun = len(runs.seeds_of(space))
    assert theirs.vectors[:begun] == ours.vectors[:begun]


def test_a_benchmark_goes_on_where_it_was_stopped(
    runs: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = importlib.import_module("search")
    args = Namespace(
        first_seed=5, seeds=1, trials=8, only=["random", "native nsga2"], jobs=1,
        runs=tmp_path / "runs.jsonl", ended_only=False,
    )  # fmt: skip
    jobs = list(whole.chosen_jobs(args))
    assert [(job.kind, job.landscape) for job in jobs] == [
        (kind, landscape)
        for kind in ("random", "native nsga2")
        for landscape in ("usual", "deceptive", "coupled")
    ]
    begun = whole.runs_of(jobs, args)
    first = [next(begun), next(begun)]
    args.ended_only = True  # what was kept so far, and nothing is run
    assert [run for _, run in whole.runs_of(jobs, args)] == [run for _, run in first]
    args.ended_only = False
    ran: list[str] = []

    def run(job: Any) -> tuple[Any, Any]:
        ran.append(job.key)
        return job, first[0][1]

    monkeypatch.setattr(whole, "run", run)
    assert len(list(whole.runs_of(jobs, args))) == 6
    assert ran == [job.key for job in jobs[2:]]
