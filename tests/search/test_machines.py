"""Speeds of several machines for one target: named in records, said, and not compared."""

import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from paper_setting import PaperSetting, asking, make_work
from tiny_search import tiny_search

from evnas.arch.catalog import entry
from evnas.arch.paths import edit
from evnas.arch.spec import ArchSpec
from evnas.measure.timing.machine import machine_here
from evnas.phases.count import CountTask
from evnas.phases.speed import SpeedTask
from evnas.phases.work import Event, Finished, Work
from evnas.record import Machine, Measurement, Record, mixed_machines
from evnas.search.confirm import Confirm
from evnas.search.driver import Ask, Schedule, drive
from evnas.search.evaluate import Evaluator
from evnas.search.forecast import _about_machines
from evnas.search.prepare import prepared
from evnas.search.propose import Proposal, Strategy
from evnas.search.results.front_files import reasons
from evnas.search.state import machines
from evnas.search.state.history import History
from evnas.search.state.machines import taken_elsewhere
from evnas.store import Store
from evnas.sweep.search_spec import BudgetSpec, ObjectiveSpec
from evnas.sweep.sweep import sweep_of

TARGET = "cpu-torch-32-b1-float32"
A, B, LIKE_A = Machine("a", "quick, 2 cores"), Machine("b", "slow, 2 cores"), Machine(
    "c", "quick, 2 cores"
)  # fmt: skip
OBJECTIVES = (
    ObjectiveSpec(metric=f"latency_ms@{TARGET}", goal="min"),
    ObjectiveSpec(metric="params_m", goal="min"),
)


def candidate(number: int) -> ArchSpec:
    return edit(entry("m1").arch, {"stages[0].depth": number + 1})


def record(ask: Ask, machine: Machine | None, latency_ms: float = 1.0) -> Record:
    found: dict[str, Any] = {}
    if ask.phase == "count":
        found = {"values": {"params": 1e6 * (9 - int(ask.label))}}
    if ask.phase == "speed":
        samples = (latency_ms, latency_ms * 1.01)
        found = {
            "values": {"latency_ms": latency_ms},
            "measurements": {"latency_ms": Measurement("latency_ms", samples)},
        }
    if machine is not None:
        placed = {"machine": machine.host, "processor": machine.processor}
        found["details"] = {"conditions": placed}
    return make_work(ask).record("complete", started=0.0, seconds=1.0, found=found)


class Several(Strategy):
    """Proposes one architecture after another."""

    def propose(self, history: History, n: int) -> list[Proposal]:
        return [Proposal(arch=candidate(history.next_number), origin="test")]


def searched(where: list[Machine | None]) -> tuple[History, list[Record]]:
    """A search whose trials are timed on these machines, in order; the later the slower."""
    search = Schedule(
        history=History(objectives=OBJECTIVES),
        strategy=Several(),
        setting=PaperSetting((TARGET,)),
        budget=BudgetSpec(trials=len(where)),
        first_budget=0.0,
    )
    records = []
    while asks := search.next(1, 0.0):
        number = int(asks[0].label)
        records.append(search.take(record(asks[0], where[number], 1.0 + number)))
    return search.history, records


def homes(history: History) -> dict[str, Machine | None]:
    """Target -> the machine that timed it first."""
    return {target: record.machine for target, record in history.first_timed.items()}


def test_a_record_says_where_it_was_taken() -> None:
    counting = Work(
        label="0", digest="", arch=entry("m1").arch.to_dict(), phase="count", task=CountTask()
    )
    counted = Evaluator().run(counting, lambda fraction, text: None).record
    assert counted.machine == Machine(platform.node())
    broken = Evaluator().run(replace(counting, arch={}), lambda fraction, text: None).record
    assert (broken.status, broken.machine) == ("failed", Machine(platform.node()))
    timing = replace(
        counting,
        phase="speed",
        target=TARGET,
        task=SpeedTask(
            target={"device": "cpu", "resolution": 32, "batch_size": 1},
            budget_s=0.05,
            resolution=32,
        ),
    )
    timed = Evaluator().run(timing, lambda fraction, text: None).record
    assert timed.machine == machine_here("cpu") and "cores" in timed.machine.processor
    assert Record.from_dict(timed.to_dict()).machine == timed.machine


def test_speeds_of_another_kind_of_machine_are_given_up() -> None:
    history, records = searched([A, A, B, LIKE_A, A])
    ends = {r.label: r.status for r in records}
    assert ends == {
        "0": "complete",
        "1": "complete",
        "2": "lost",
        "3": "complete",
        "4": "complete",
    }
    assert [t.label for t in history.complete] == ["0", "1", "3", "4"]
    ended = reasons(history)["2"]
    assert ended["ended"] == "lost"
    assert ended["reason"] == (
        f"timed on b (slow, 2 cores), while {TARGET} is timed on a (quick, 2 cores): "
        "not comparable"
    )
    again = History(objectives=OBJECTIVES).take_all(enumerate(records))
    assert homes(again) == homes(history) == {TARGET: A}
    assert [t.label for t in again.complete] == ["0", "1", "3", "4"]


def test_records_from_before_machines_were_noted_compare_with_all() -> None:
    history, records = searched([None, None, B, A])
    assert [r.status for r in records if r.phase == "speed"] == ["complete"] * 3 + ["lost"]
    assert homes(history) == {TARGET: B}
    assert records[0].machine is None and mixed_machines(records[:4]) == []


class Elsewhere:
    """An engine that has moved to another kind of machine."""

    slots = 1

    def __init__(self) -> None:
        self.works: list[Work] = []

    def submit(self, work: Work) -> None:
        self.works.append(work)

    def wait(self, timeout_s: float) -> list[Event]:
        work = self.works.pop()
        arch = ArchSpec.from_dict(work.arch)
        ask = asking(work.label, arch, work.phase, seed=work.seed, target=work.target)
        return [Finished(work, record(ask, B, 0.1))]

    def close(self) -> None:
        pass


def test_a_front_is_not_confirmed_elsewhere(tmp_path: Path) -> None:
    history, _ = searched([A, A])
    before = dict(history.trials["0"].samples)
    with Store.create(tmp_path / "study.db", sweep={}, environment={}) as store:
        confirm = Confirm(history, 2, 0.0)
        drive(confirm, store, Elsewhere(), make_work=make_work)
        assert {r.status for _, r in store.records()} == {"lost"}
    assert history.trials["0"].samples == before and history.trials["0"].ended is None


def test_several_machines_are_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _, records = searched([A, LIKE_A, LIKE_A])
    mixed = (
        f"speeds of {TARGET} are of several machines, 1 of a (quick, 2 cores) and 2 of c (quick, "
        "2 cores): they do not compare, only ratios taken in alternation do"
    )
    assert mixed_machines(records) == [mixed]
    assert mixed_machines(records[:2]) == []
    monkeypatch.setattr(machines, "machine_here", lambda device: {"cpu": B}[device])
    started = f"{TARGET} was timed on a (quick, 2 cores) so far and this is b (slow, 2 cores): "
    compare = f"{started}absolute speeds of the two do not compare"
    given_up = f"{started}what is timed here will be given up; go on there, or pass "
    assert taken_elsewhere(records, given_up=False) == [compare]
    assert taken_elsewhere(records, given_up=True) == [f"{given_up}--fresh"]
    with Store.create(tmp_path / "study.db", sweep={}, environment={}) as store:
        for one in records:
            store.append(one)
    ready = prepared(sweep_of(tiny_search()))
    assert _about_machines(ready, tmp_path / "study.db") == [mixed, f"{given_up}--fresh"]
    assert _about_machines(ready, tmp_path / "none.db") == []
    monkeypatch.setattr(machines, "machine_here", lambda device: A)
    assert taken_elsewhere(records, given_up=True) == []
