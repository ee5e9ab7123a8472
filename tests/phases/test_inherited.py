"""A search whose children begin with their parents' weights, and that its figures stand apart."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_search import outcome, records, tiny_search

from evnas.arch.catalog import entry
from evnas.errors import SpecError
from evnas.phases.inherited import TOP1
from evnas.phases.work import Event, Work
from evnas.record import Record
from evnas.report.query.row_figures import differences_of, read_study
from evnas.search.evaluate import Evaluator, silent
from evnas.search.forecast import forecast
from evnas.search.preflight import checked
from evnas.search.propose import Proposal
from evnas.search.runner import run_sweep
from evnas.search.state.trial import Trial
from evnas.store import Store
from evnas.sweep.parts import EngineSpec
from evnas.sweep.sweep import Sweep, sweep_of


def inheriting(**more: Any) -> dict[str, Any]:
    plain = tiny_search()
    own = {
        "objectives": {"params_m": "min", TOP1: "max"},
        "budget": {"trials": 6},
        "confirm": {"seeds": 2},
        "proxy": plain["proxy"] | {"held_out_images": 40},
    }
    return plain | own | more


class Here:
    """Works in this process, and breaks off before piece number `stop_at`."""

    slots = 1

    def __init__(self, stop_at: int) -> None:
        self.left, self.done = stop_at, list[Work]()
        self._evaluator = Evaluator()

    def submit(self, work: Work) -> None:
        if len(self.done) == self.left:
            raise KeyboardInterrupt
        self.done.append(work)

    def wait(self, timeout_s: float) -> list[Event]:
        return [self._evaluator.run(self.done[-1], silent)]

    def close(self) -> None:
        """Nothing is held."""


def run(results: Path, sweep: dict[str, Any], stop_at: int = -1) -> Path:
    engine = Here(stop_at)

    def engine_for(spec: EngineSpec) -> Here:
        return engine

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run_sweep(
            sweep_of(sweep), results=results, fresh=False, began=time.monotonic(),
            make_engine=engine_for,
        )  # fmt: skip
    finally:
        torch.set_num_threads(threads)
    return results


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("whole"), inheriting())


def trainings(results: Path) -> dict[str, Record]:
    """Label -> the training on handed down weights."""
    return {r.label: r for r in records(results) if r.phase == "inherited"}


def test_children_begin_with_their_parents_weights(whole: Path) -> None:
    found = trainings(whole)
    assert len(found) == 6 and all(r.status == "complete" for r in found.values())
    bred = 0
    for record in found.values():
        label = Proposal(arch=None, origin=record.origin).parent
        parent = found[label].digest if label else "base"
        bred += bool(label)
        assert record.details["inherited_from"] == parent
        assert record.target == f"from-{parent}"
        assert 0 < record.details["share_handed_down"] <= 1
        if label:
            above = found[label].details
            assert record.details["lineage"] == [*above["lineage"], parent]
            assert record.details["presentations_before"] == above["presentations_before"] + 64
    assert bred >= 2


def test_a_record_tells_one_that_inherits_from_one_from_scratch(whole: Path) -> None:
    """Of one architecture, with one label, seed and budget."""
    both = [r for r in records(whole) if r.phase in ("inherited", "proxy")]
    scratch = [r for r in both if r.phase == "proxy"]
    assert {r.seed for r in scratch} == {1}  # the front's, confirmed from scratch
    for record in scratch:
        twin = trainings(whole)[record.label]
        assert record.key != twin.key
        assert "inherited_from" in twin.details and "inherited_from" not in record.details
        assert not record.values.keys() & twin.values.keys()
    assert len({r.key for r in both}) == len(both)


def test_nothing_from_scratch_is_trained_for_the_front(whole: Path) -> None:
    labels = [r.label for r in records(whole) if r.phase == "proxy" and r.seed == 0]
    assert labels == []


@pytest.mark.parametrize("stop_at", [4, 9])  # between two trials, and within one
def test_one_that_is_broken_off_ends_as_an_unbroken_one(
    stop_at: int, whole: Path, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, inheriting(), stop_at)
    run(tmp_path, inheriting())
    left, there = ([with_inherited(r) for r in records(of)] for of in (tmp_path, whole))
    assert left == there


def with_inherited(record: Record) -> tuple[object, ...]:
    """All but times."""
    kept = ("inherited_from", "lineage", "presentations_before", "share_handed_down")
    figures = record.values.get(TOP1), record.values.get("inherited_loss")
    return (*outcome(record), figures, [record.details.get(name) for name in kept])


def test_a_trial_may_be_trained_both_ways_and_keeps_both_figures() -> None:
    arch = entry("efficientvim_m1").arch
    trial = Trial(label="1", digest=arch.digest, kept_arch=arch.to_dict(), origin="random")
    for phase, target, value in (("proxy", "", "top1_percent"), ("inherited", "from-base", TOP1)):
        trial.take(
            Record(
                label="1", digest=arch.digest, arch=arch.to_dict(), phase=phase, target=target,
                status="complete", budget=64.0, values={value: 10.0 + len(phase)},
            )
        )  # fmt: skip
    assert (trial.value("top1_percent"), trial.value(TOP1)) == (15.0, 19.0)
    assert trial.quantities() == {"top1_percent": 15.0, TOP1: 19.0}


def test_weights_that_are_gone_are_said(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, inheriting(), 9)
    for file in (tmp_path / "tiny" / "weights").iterdir():
        file.unlink()
    run(tmp_path, inheriting())
    errors = [r.error for r in trainings(tmp_path).values() if r.status == "failed"]
    assert errors and all("must hold the weights of parent" in error for error in errors)


def test_a_plan_and_a_check_say_what_it_is(tmp_path: Path) -> None:
    text = forecast(sweep_of(inheriting()), results=tmp_path).text()
    assert "inherited: 6 to do" in text and "compares with no top1_percent" in text
    assert "proxy:" not in text
    not_shown = "has not been shown to rank candidates better"
    assert not_shown in text and not_shown in " ".join(checked(sweep_of(inheriting())))
    plain = forecast(sweep_of(tiny_search()), results=tmp_path).text()
    assert "inherited" not in plain
    assert "inherited" not in " ".join(checked(sweep_of(tiny_search())))


def test_rungs_and_inheriting_do_not_go_together() -> None:
    asha: Sweep = sweep_of(inheriting(strategy={"kind": "mo_asha", "rungs": [64.0]}, confirm=None))
    with pytest.raises(SpecError, match="mo_asha breaks them off at rungs"):
        checked(asha)


def study_of(folder: Path, top1: float, lineage: list[str]) -> Path:
    """A study of one training whose weights came through `lineage`."""
    arch = entry("efficientvim_m1").arch
    record = Record(
        label="3", digest=arch.digest, arch=arch.to_dict(), phase="inherited", status="complete",
        budget=64.0, target=f"from-{lineage[-1]}", values={TOP1: top1},
        details={"inherited_from": lineage[-1], "lineage": lineage},
    )  # fmt: skip
    with Store.create(folder / "study.db", sweep=inheriting(), environment={}) as store:
        store.append(record)
    return folder


def test_figures_are_compared_only_where_weights_came_the_same_way(tmp_path: Path) -> None:
    first = study_of(tmp_path / "a", 50.0, ["base", "p"])
    for name, lineage, known in (("b", ["base", "p"], True), ("c", ["base", "q", "p"], False)):
        other = study_of(tmp_path / name, 53.0, lineage)
        one, two = (read_study(folder).rows[0] for folder in (first, other))
        (found,) = differences_of(one, two)
        assert found.quantity == TOP1
        assert (found.difference is not None) == known
        assert known or "lineage" in found.reason


@pytest.mark.parametrize(
    ("origin", "parent"),
    [("mutation of 12", "12"), ("child of 3 and 15", "3"), ("random", ""), ("published T.5", "")],
)
def test_a_parent_follows_from_the_origin(origin: str, parent: str) -> None:
    assert Proposal(arch=None, origin=origin).parent == parent
