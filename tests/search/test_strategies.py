"""The contract of every strategy, and the loop that drives them, in closed form."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
from paper_setting import PaperSetting, make_work, targets_called

from evnas.arch.catalog import entry
from evnas.arch.spec import ArchSpec
from evnas.errors import SpecError
from evnas.phases.work import Event, Finished, Work
from evnas.record import Measurement, Record
from evnas.search.driver import Schedule, drive
from evnas.search.propose import Proposal, Sieve, Strategy
from evnas.search.results.importances import importances
from evnas.search.state.history import History
from evnas.search.state.objectives import resolved_objectives
from evnas.search.strategies import optuna_ask
from evnas.search.strategies.optuna_ask import OptunaAsk
from evnas.space.space import Point, SearchSpace
from evnas.space.spec import SpaceSpec
from evnas.store import Store
from evnas.sweep.constraints import resolved_constraints
from evnas.sweep.search_spec import BudgetSpec, ObjectiveSpec
from evnas.sweep.strategy_spec import VERSION, StrategySpec, strategy_spec
from evnas.tables import STRATEGIES

TARGET = "cpu-torch-224-b16-float32"
FULL = 900.0
KINDS = list(STRATEGIES)
SPACE = SearchSpace.from_spec(
    SpaceSpec.model_validate(
        {
            "axes": {
                "stages[*].dim": {"increasing": {"int": {"low": 64, "high": 320, "step": 32}}},
                "stages[*].depth": {"each": [1, 2, 3]},
                "stages[*].mixer": {
                    "each": {
                        "choice": {
                            "hsm_ssd": {"states": [9, 25, 49]},
                            "ss2d": {"d_state": [1, 2]},
                            "sa": {"heads": [2, 4]},
                        }
                    }
                },
                "head.fusion": ["hidden", "none"],
            }
        }
    ),
    entry("m1").arch,
)
OBJECTIVES = resolved_objectives(
    (
        ObjectiveSpec(metric="throughput_img_s", goal="max"),
        ObjectiveSpec(metric="top1_percent", goal="max"),
    ),
    targets_called(TARGET),
)


def found_by(work: Work) -> Record:
    """Closed form: wide and deep is slow and good; scans are slower, attention is better."""
    stages = work.arch["stages"]
    size = sum(s["depth"] * s["dim"] ** 2 for s in stages)
    kinds = [s["mixer"]["kind"] for s in stages]
    speed = 1e8 / (size * (1 + 0.5 * kinds.count("ss2d")))
    noise = random.Random(f"{work.digest} {work.seed} {work.budget}").gauss(0, 0.2)
    top1 = 60 + size / 2e4 + kinds.count("sa") + noise - 300 / (work.budget or 1)
    values: dict[str, float] = {"params": size * 8.0, "macs_exact": size * 50.0}
    samples: dict[str, Measurement] = {}
    if work.phase == "speed":
        values = {"throughput_img_s": speed}
        several = tuple(speed * (1 + i / 1000) for i in range(-3, 4))
        samples = {"throughput_img_s": Measurement("throughput_img_s", several)}
    elif work.phase == "proxy":
        values = {"top1_percent": top1}
    found = {"values": values, "measurements": samples}
    return work.record("complete", started=0.0, seconds=1.0, found=found)


class Inline:
    """An engine in this process that can be killed after so many phases."""

    def __init__(self, slots: int = 1, dies_after: int = 10**9) -> None:
        self.slots = slots
        self.left = dies_after
        self.works: list[Work] = []

    def submit(self, work: Work) -> None:
        assert len(self.works) < self.slots
        self.works.append(work)

    def wait(self, timeout_s: float) -> list[Event]:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        work = self.works.pop()
        return [Finished(work, found_by(work))]

    def close(self) -> None:
        pass


def spec_of(kind: str, **knobs: object) -> StrategySpec:
    """A strategy's spec with those of the knobs that it has."""
    kept = {k: v for k, v in knobs.items() if k in STRATEGIES.get(kind).model_fields}
    return strategy_spec({"kind": kind, **kept})


def strategy(kind: str, space: SearchSpace, **knobs: object) -> Strategy:
    """The strategy of `spec_of`."""
    found: Strategy = spec_of(kind, **knobs).strategy(space, warm=(), full_budget=FULL)
    return found


def searched(
    store: Store,
    kind: str,
    engine: Inline,
    *,
    constraints: tuple[str, ...] = (),
    budget: BudgetSpec | None = None,
    version: int | None = None,
    sieve: Sieve | None = None,
) -> tuple[Schedule, str]:
    more = {} if version is None else {VERSION: version}
    spec = spec_of(kind, startup=8, population=8, screen=8, replicates=3, **more)
    asked: Strategy = spec.strategy(SPACE, warm=(), full_budget=FULL)
    search = Schedule(
        history=History(
            objectives=OBJECTIVES,
            constraints=resolved_constraints(constraints, targets_called(TARGET)),
            full_budget=FULL,
        ).take_store(store),
        strategy=asked if sieve is None else asked.sifted(sieve),
        setting=PaperSetting((TARGET,)),
        budget=budget or BudgetSpec(trials=24),
        first_budget=0.0 if spec.rungs_of(FULL) else FULL,
        seeds=spec.seeds,
    )
    search.resume()
    return search, drive(search, store, engine, make_work=make_work)


@pytest.fixture
def new_store(tmp_path: Path) -> Callable[[str], Store]:
    return lambda name: Store.create(tmp_path / name / "study.db", sweep={}, environment={})


def lines(store: Store) -> list[tuple[object, ...]]:
    return [(*r.key, r.status, r.origin, tuple(r.values.items())) for _, r in store.records()]


VERSIONS = [
    (kind, version)
    for kind in KINDS
    for version in ((1, 2) if VERSION in STRATEGIES.get(kind).model_fields else (None,))
]


@pytest.mark.parametrize(("kind", "version"), VERSIONS)
def test_killed_and_resumed_is_as_unbroken(
    kind: str, version: int | None, new_store: Callable[[str], Store]
) -> None:
    with new_store("whole") as whole, new_store("broken") as broken:
        search, reason = searched(whole, kind, Inline(), version=version)
        assert reason == "24 trials"
        for phases in (1, 17, 30):
            with pytest.raises(KeyboardInterrupt):
                searched(broken, kind, Inline(dies_after=phases), version=version)
        searched(broken, kind, Inline(), version=version)
        assert lines(broken) == lines(whole)
    digests = [t.digest for t in search.history.trials.values()]
    assert len(set(digests)) == len(digests)  # nothing twice
    for trial in search.history.trials.values():
        assert isinstance(SPACE.encode(ArchSpec.from_dict(trial.arch)), dict)


class NoneDeepAtFirst:
    """Drops architectures whose first stage has three blocks, a third of the space."""

    draws = 16

    def __init__(self) -> None:
        self.asked = 0

    def drops(self, history: History, proposal: Proposal) -> bool:
        self.asked += 1
        return not proposal.label and is_deep(proposal.arch)

    def noted(self, proposal: Proposal) -> Proposal:
        return replace(proposal, origin=f"{proposal.origin}, sifted")


def is_deep(arch: ArchSpec | None) -> bool:
    return arch is not None and arch.stages[0].depth == 3


@pytest.mark.parametrize("kind", ["random", "grid", "evolution", "tpe", "mo_asha"])
def test_what_need_not_be_measured_is_dropped_killed_or_not(
    kind: str, new_store: Callable[[str], Store]
) -> None:
    sieve = NoneDeepAtFirst()
    with new_store("whole") as whole, new_store("broken") as broken:
        search, reason = searched(whole, kind, Inline(), sieve=sieve)
        asked = sieve.asked
        for phases in (17, 30):
            with pytest.raises(KeyboardInterrupt):
                searched(broken, kind, Inline(dies_after=phases), sieve=sieve)
        searched(broken, kind, Inline(), sieve=sieve)
        assert lines(broken) == lines(whole)
    trials = [t for t in search.history.trials.values() if not t.origin.startswith("published")]
    assert reason == "24 trials" and len(trials) >= 20
    assert not any(is_deep(ArchSpec.from_dict(t.arch)) for t in trials)
    if kind != "grid":  # which begins with the shallow ones
        assert any(t.origin.endswith(", sifted") for t in trials)
    if kind in ("evolution", "mo_asha"):  # among the children of each, not only of what is chosen
        assert asked > 1.5 * len(trials)


@pytest.mark.parametrize("draws", [1, 3, 5])
def test_a_walk_over_what_is_dropped_goes_on_where_it_was(draws: int) -> None:
    """Whether it was kept or is begun again, where all that it may look at is dropped too."""

    class Odd(NoneDeepAtFirst):
        def drops(self, history: History, proposal: Proposal) -> bool:
            return int(proposal.digest, 16) % 4 > 0

    sieve = Odd()
    sieve.draws = draws
    kept, history = strategy("grid", SPACE).sifted(sieve), History(objectives=OBJECTIVES)
    for _ in range(20):
        (one,) = kept.propose(history, 1)
        (again,) = strategy("grid", SPACE).sifted(sieve).propose(history, 1)
        assert again == one
        history.begin(str(history.next_number), one.digest)


@pytest.mark.parametrize("kind", ["nsga2", "nsga3"])
def test_of_a_long_search_genetic_samplers_are_given_the_best_and_the_newest(
    kind: str, new_store: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optuna_ask, "MOST_BRED", 10)
    monkeypatch.setattr(optuna_ask, "GENERATIONS", 1)
    with new_store("whole") as whole, new_store("broken") as broken:
        search, _ = searched(whole, kind, Inline())
        for phases in (30, 30):
            with pytest.raises(KeyboardInterrupt):
                searched(broken, kind, Inline(dies_after=phases))
        searched(broken, kind, Inline())
        assert lines(broken) == lines(whole)
    ask = search.strategy
    assert isinstance(ask, OptunaAsk)
    told, points = ask._places(search.history), search.history.points()
    assert 8 <= len(told) < 16 < len(points)  # a first generation and what came since
    elite = points[told[:8]]
    rest = np.delete(points[: len(points) // 8 * 8], told[:8], axis=0)
    for one in rest:
        assert not ((one <= elite).all(axis=1) & (one < elite).any(axis=1)).any()


def test_gp_keeps_to_one_thread(
    new_store: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine a thread per core takes minutes for what one does in a second."""
    at_work: list[int] = []
    asked = OptunaAsk._asked

    def watched(self: OptunaAsk, study: optuna.Study) -> Point:
        at_work.append(torch.get_num_threads())
        return asked(self, study)

    monkeypatch.setattr(OptunaAsk, "_asked", watched)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with new_store("few") as store:
            searched(store, "gp", Inline(), budget=BudgetSpec(trials=2))
        assert (set(at_work), torch.get_num_threads()) == ({1}, 3)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("kind", ["evolution", "tpe", "mo_asha"])
def test_several_workers_evaluate_nothing_twice(
    kind: str, new_store: Callable[[str], Store]
) -> None:
    with new_store("wide") as store:
        search, _ = searched(store, kind, Inline(slots=4))
        trials = search.history.trials.values()
        assert len({t.digest for t in trials}) == len(trials) == 24


class TrainingLast(Inline):
    """Several workers: while some train, the others have ended everything else."""

    def wait(self, timeout_s: float) -> list[Event]:
        work = min(self.works, key=lambda w: w.phase == "proxy")
        self.works.remove(work)
        return [Finished(work, found_by(work))]


def test_halving_promotes_nothing_twice_while_it_trains(new_store: Callable[[str], Store]) -> None:
    with new_store("wide") as store:
        searched(store, "mo_asha", TrainingLast(slots=4), budget=BudgetSpec(trials=30))
        keys = [r.key for _, r in store.records() if r.phase == "proxy"]
        assert len(keys) == len(set(keys)) >= 10


def test_halving_promotes_what_its_last_candidates_earned(
    new_store: Callable[[str], Store],
) -> None:
    """Nine candidates in all: three of them train, and one of these for longer."""
    with new_store("late") as store:
        search, reason = searched(store, "mo_asha", Inline(), budget=BudgetSpec(trials=9))
        trained = [len(t.trained) for t in search.history.trials.values()]
        assert reason == "9 trials" and len(trained) == 9
        assert sum(n >= 1 for n in trained) == 3 and sum(n >= 2 for n in trained) == 1


def test_halving_trains_few_for_long(new_store: Callable[[str], Store]) -> None:
    with new_store("halving") as store:
        budget = BudgetSpec(trials=90)
        search, _ = searched(store, "mo_asha", Inline(), budget=budget)
        at = [
            sum(b in t.trained for t in search.history.trials.values()) for b in (100.0, 300, FULL)
        ]
        assert 90 / 3 >= at[0] > at[1] > at[2] >= 1
        assert at[1] <= at[0] / 3 and at[2] <= at[1] / 3
        assert all(t.speed for t in search.history.trials.values())


def test_constraints_stop_trials_before_they_train(new_store: Callable[[str], Store]) -> None:
    with new_store("limits") as store:
        limits = ("throughput_img_s@cpu >= 600", "params_m <= 2.5", "stages[0].depth <= 2")
        searched(store, "random", Inline(), constraints=limits)
        by_label: dict[str, list[Record]] = {}
        for _, record in store.records():
            by_label.setdefault(record.label, []).append(record)
        ends = {label: records[-1] for label, records in by_label.items()}
        assert {r.status for r in ends.values()} == {"complete", "infeasible"}
        for records in by_label.values():
            size = records[0].values["params"] / 1e6
            if size > 2.5 or records[0].arch["stages"][0]["depth"] > 2:
                assert [r.phase for r in records] == ["count"]
                assert records[0].status == "infeasible" and "<=" in records[0].error
            elif records[1].values["throughput_img_s"] < 600:
                assert [r.phase for r in records] == ["count", "speed"]
                assert records[1].status == "infeasible"
            else:
                assert len(records) == 3 and records[-1].status == "complete"


def test_a_space_with_nothing_feasible_is_said(new_store: Callable[[str], Store]) -> None:
    with new_store("hopeless") as store, pytest.raises(SpecError, match="none met all of them"):
        limits = ("params_m <= 0.001",)
        searched(store, "random", Inline(), constraints=limits, budget=BudgetSpec(trials=900))


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        (BudgetSpec(device_minutes=0.5, trials=500), "0.5 device minutes"),
        (BudgetSpec(patience=30, trials=400), "30 trials without a gain of hypervolume"),
        (BudgetSpec(minutes=1e-9, trials=500), "1e-09 minutes"),
    ],
)
def test_budgets_end_a_search(
    budget: BudgetSpec, reason: str, new_store: Callable[[str], Store]
) -> None:
    with new_store("budget") as store:
        assert searched(store, "random", Inline(), budget=budget)[1] == reason


def test_a_small_space_is_used_up(new_store: Callable[[str], Store]) -> None:
    space = SearchSpace.from_spec(
        SpaceSpec.model_validate({"axes": {"stages[0].depth": [1, 2, 3]}}), entry("m1").arch
    )
    for kind in ("random", "grid", "evolution", "nsga2"):
        with new_store(kind) as store:
            search = Schedule(
                history=History(objectives=OBJECTIVES, full_budget=FULL),
                strategy=strategy(kind, space, startup=2),
                setting=PaperSetting((TARGET,)), budget=BudgetSpec(trials=99), first_budget=FULL,
            )  # fmt: skip
            reason = drive(search, store, Inline(), make_work=make_work)
            assert reason == "the strategy has nothing more to propose"
            assert len(search.history.trials) == 3


def test_one_at_a_time_moves_one_axis() -> None:
    rows = strategy("one_at_a_time", SPACE, replicates=3).propose(
        History(objectives=OBJECTIVES), 100
    )
    base = SPACE.encode(entry("m1").arch)
    assert isinstance(base, dict)
    assert rows[0].arch == entry("m1").arch and rows[0].seeds == (0, 1, 2)
    for row in rows[1:]:
        assert row.arch is not None
        point = SPACE.encode(row.arch)
        assert isinstance(point, dict)
        moved = [key for key in base if key in point and point[key] != base[key]]
        assert len(moved) == 1, row.origin
    with pytest.raises(SpecError, match="lies outside the space"):
        strategy("one_at_a_time", SPACE, base="vssd_micro")


BAD = [
    ("objectives", "latency_ms@gpu", "names no target"),
    ("objectives", "params_m@cpu", "does not depend on a target"),
    ("constraints", "latency <= 3", "nothing is called 'latency'; did you mean 'latency_ms'"),
    ("constraints", "latency_ms@gpu <= 3", "names no target"),
]


@pytest.mark.parametrize(("part", "text", "reason"), BAD)
def test_what_nobody_measures_is_refused(part: str, text: str, reason: str) -> None:
    with pytest.raises(SpecError) as caught:
        if part == "objectives":
            resolved_objectives([ObjectiveSpec(metric=text, goal="max")], targets_called(TARGET))
        else:
            resolved_constraints([text], targets_called(TARGET))
    assert reason in str(caught.value) and caught.value.path == f"{part}[0]"


def test_importances_name_the_axes_that_matter(new_store: Callable[[str], Store]) -> None:
    with new_store("weights") as store:
        few, _ = searched(store, "random", Inline(), budget=BudgetSpec(trials=10))
        assert importances(SPACE, few.history) == {}
        search, _ = searched(store, "random", Inline(), budget=BudgetSpec(trials=200))
    found = importances(SPACE, search.history)
    assert list(found) == [o.metric for o in OBJECTIVES]
    for shares in found.values():
        assert sum(shares.values()) == pytest.approx(1)
        # fusion changes neither objective here, widths and depths change both
        assert shares["head.fusion"] < 0.1
        assert sum(v for k, v in shares.items() if "depth" in k or "dim" in k) > 0.6
