"""A history is the same whichever way the records come to it, and a search goes on by it alike."""

import contextlib
import random
import sqlite3
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paper_setting import PaperSetting, targets_called

from evnas.arch.catalog import entry
from evnas.arch.paths import edit
from evnas.arch.spec import ArchSpec
from evnas.phases.count import Count
from evnas.record import STATUSES, Measurement, Record
from evnas.search.driver import Schedule, expected
from evnas.search.state.history import SCREENED, History
from evnas.search.state.trial import Trial
from evnas.store import Store
from evnas.store.faults import DamagedStudy
from evnas.sweep.constraints import resolved_constraints
from evnas.sweep.search_spec import BudgetSpec, ObjectiveSpec
from evnas.sweep.strategy_spec import strategy_spec

TARGET = "cpu-torch-32-b1-float32"
LIMITS = ["params_m <= 8.5", "stages[0].depth <= 9", f"latency_ms@{TARGET} < 9.5"]
FULL = 100.0


def empty() -> History:
    return History(
        objectives=(
            ObjectiveSpec(metric=f"latency_ms@{TARGET}", goal="min"),
            ObjectiveSpec(metric="params_m", goal="min"),
            ObjectiveSpec(metric="top1_percent", goal="max"),
        ),
        constraints=resolved_constraints(LIMITS, targets_called(TARGET)),
        full_budget=FULL,
    )


def arch(number: int) -> ArchSpec:
    return edit(entry("m1").arch, {"stages[0].depth": 1 + number % 11})


def found_of(phase: str, rng: random.Random) -> dict[str, Any]:
    if phase == "count":
        return {"values": {"params": rng.choice((4e6, rng.uniform(1e6, 9e6)))}}
    if phase == "speed":
        samples = tuple(rng.uniform(1, 10) for _ in range(rng.choice((1, 3, 4))))
        placed = {"conditions": {"machine": "a", "processor": rng.choice(("quick", "slow"))}}
        more = {SCREENED: {"why": "slow"}} if rng.random() < 0.1 else {}
        return {
            "measurements": {"latency_ms": Measurement("latency_ms", samples)},
            "details": placed | more,
        }
    return {"values": {"top1_percent": round(rng.uniform(40, 80))}}


def records(seed: int, trials: int = 30) -> list[Record]:
    """Of several workers, so that those of one trial lie apart; some end badly, some again."""
    rng = random.Random(seed)

    def of(number: int) -> Iterator[Record]:
        plain, digest = arch(number).to_dict(), f"{number:012x}"
        for again in range(rng.choice((1, 1, 3))):
            for phase in ("count", "speed", "proxy")[bool(again) : rng.choice((1, 2, 3, 3))]:
                ends = rng.random() < 0.1
                status = rng.choice(STATUSES) if ends else "complete"
                yield Record(
                    label=str(number),
                    digest=digest,
                    arch=plain,
                    phase=phase,
                    status=status,
                    seed=again,
                    budget=FULL if phase == "proxy" else 0.0,
                    target=TARGET if phase == "speed" else "",
                    error="" if status == "complete" else "why",
                    origin="random" if number < 9 else f"mutation of {number % 9}",
                    seconds=rng.random(),
                    **(found_of(phase, rng) if status in ("complete", "infeasible") else {}),
                )

    waiting, found = [of(number) for number in range(trials)], list[Record]()
    while waiting:
        place = rng.randrange(min(4, len(waiting)))
        record = next(waiting[place], None)
        if record is None:
            del waiting[place]
        else:
            found.append(record)
    return found


def plain(history: History) -> dict[str, Any]:
    """All that it knows, to be compared."""

    def of_trial(trial: Trial) -> dict[str, Any]:
        held = {f.name: getattr(trial, f.name) for f in fields(trial) if f.name != "kept_arch"}
        return held | {"arch": dict(trial.arch)}

    left = ("front", "constraints", "_constraints_by")
    held = {f.name: getattr(history, f.name) for f in fields(history) if f.name not in left}
    return held | {
        "trials": {label: of_trial(trial) for label, trial in history.trials.items()},
        "complete": [trial.label for trial in history.complete],
        "front": dict(zip(history.front.labels, history.front.points.tolist(), strict=True)),
        "order": history.front.labels,
        "first_timed": {t: (r.label, r.machine, r.on) for t, r in history.first_timed.items()},
    }


@pytest.mark.parametrize("seed", range(12))
def test_a_store_gives_back_what_a_search_knew(seed: int, tmp_path: Path) -> None:
    live = empty()
    kept = [live.take(record) for record in records(seed)]
    assert 1 < len(live.complete) < len(live.trials)
    with Store.create(tmp_path / "study.db", sweep={}, environment={}) as store:
        store.append_all(kept)
        resumed, of_records = empty().take_store(store), empty().take_all(store.records())
    assert plain(resumed) == plain(live)
    assert plain(of_records) == plain(live)
    assert np.array_equal(resumed.points(), live.points())


def schedule(history: History) -> Schedule:
    space: Any = None  # nothing is proposed
    return Schedule(
        history=history,
        strategy=strategy_spec("random").strategy(space, warm=(), full_budget=FULL),
        setting=PaperSetting((TARGET,), proxy={}),
        budget=BudgetSpec(trials=100),
        first_budget=FULL,
    )


def test_a_search_goes_on_alike_whether_or_not_it_looks_at_every_candidate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    history = empty()
    for record in records(3):
        history.take(record)
    quick, looking = schedule(history), schedule(history)
    quick.resume()
    monkeypatch.setattr(Count, "needs_alike", False)
    looking.resume()
    assert quick.goals == looking.goals
    assert 1 < len(quick.goals) < len(history.trials)
    read = {label for label, trial in history.trials.items() if trial.ended is None}
    assert set(quick.goals) < read


def test_what_is_done_of_each_phase_is_counted() -> None:
    history = empty()
    for record in records(5):
        history.take(record)
    for phase, (_, done) in expected(schedule(history), {"count": 1, "speed": 2}).items():
        trials = history.trials.values()
        each = {"count": 1, "speed": 2}[phase]
        assert done == each * sum(any(what[0] == phase for what in t.done) for t in trials)


def test_a_constraint_may_be_broken_before_all_that_it_names_is_known() -> None:
    both = [f"params_m <= 5 and latency_ms@{TARGET} <= 3"]
    limits = resolved_constraints(both, targets_called(TARGET))
    history = History(objectives=empty().objectives, constraints=limits)
    counted = Record(
        label="0",
        digest="0",
        arch=arch(0).to_dict(),
        phase="count",
        status="complete",
        values={"params": 6e6},
    )
    judged = history.take(counted)
    assert (judged.status, judged.error) == ("infeasible", f"{both[0]}: params_m is 6")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE records SET payload = replace(payload, '1', '2') WHERE id = 7",
        "UPDATE archs SET arch = replace(arch, '1', '2')",
        "DELETE FROM records WHERE id = 9",
    ],
)
def test_damage_is_found_though_a_search_reads_little_of_each_record(
    change: str, tmp_path: Path
) -> None:
    path = tmp_path / "study.db"
    with Store.create(path, sweep={}, environment={}) as store:
        store.append_all(records(1))
        assert empty().take_store(store).trials
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(change)
    with Store.read(path) as store, pytest.raises(DamagedStudy):
        empty().take_store(store)
