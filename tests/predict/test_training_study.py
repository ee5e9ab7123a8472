"""The rule that picks which printed architectures are trained for longer, and its trainings."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evnas.predict.printed import printed_architectures

STUDY = Path(__file__).parents[2] / "benchmarks/training_study"


@pytest.fixture(scope="module")
def rows() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(STUDY))
        yield importlib.import_module("rows")


def test_a_paper_gives_its_ends_and_its_nearest_pair(rows: Any) -> None:
    counts = {
        "P": {"least": 1e9, "b": 2e9, "c": 3e9, "d": 3.1e9, "most": 5e9, "beyond": 9e9},
        "Q": {"x": 1e9, "y": 2e9, "z": 4e9},
    }
    # then all that is left of P, since there are fewer than 16
    assert rows.chosen(counts) == ("least", "c", "d", "most", "b", "x", "y", "z")


def test_of_those_left_the_farthest_is_taken(rows: Any) -> None:
    many = {f"n{i:02}": 1e9 * 1.02**i for i in range(20)} | {"alone": 3e9, "z": 7e9}
    taken = rows.chosen({"P": many})
    assert len(taken) == rows.COUNT
    assert taken[0] == "n00" and taken[3:5] == ("z", "alone")


def test_every_paper_has_three_and_a_pair_of_equal_flops(rows: Any) -> None:
    counts = rows.counts_by_paper()
    taken = rows.chosen(counts)
    assert len(taken) == len(set(taken)) == 16
    for of in counts.values():
        own = sorted(of[name] for name in taken if name in of)
        assert len(own) >= 3
    pairs = [
        (a, b)
        for of in counts.values()
        for a in taken
        for b in taken
        if a < b and a in of and b in of and abs(of[a] / of[b] - 1) < 0.05
    ]
    assert len(pairs) >= 3


def test_what_is_trained(rows: Any) -> None:
    train = importlib.import_module("train")
    cells = train.trainings()
    assert len(cells) == len({cell.key for cell in cells}) == 54 + 2 * 16
    for cell in cells[:3]:
        assert train.proxy_of(arch_of(cell.name), 3_000).presentations == 3_000


def arch_of(name: str) -> Any:
    return next(p.candidate.arch for p in printed_architectures() if p.name == name)
