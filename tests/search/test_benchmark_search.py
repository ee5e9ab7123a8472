"""The benchmark of strategies runs with the phases, strategies and samplers that there are."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def runs() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("search_runs")


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
