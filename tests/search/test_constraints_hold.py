"""A constraint holds of every record: a further seed that breaks it takes its trial off the front,
in the store, the front's files, the page and a resumed search alike."""

import json
import math
import random
from pathlib import Path

import pytest
import yaml
from inline_engine import InlineEngine
from paper_setting import asking, make_work, targets_called

from evnas.arch.catalog import entry
from evnas.arch.paths import edit
from evnas.phases.work import Work
from evnas.record import Measurement, Record, Status
from evnas.report.frame.columns import scale_count
from evnas.report.frame.limits import Limits
from evnas.report.frame.study_reader import StudyReader
from evnas.report.query.pick import front_labels
from evnas.report.query.row_figures import read_study
from evnas.search.confirm import Confirm, final_front
from evnas.search.driver import drive
from evnas.search.results.effects import effect_lines, effects
from evnas.search.results.front_files import write_front
from evnas.search.state.history import History
from evnas.search.strategies.warm import _of_study
from evnas.space.space import SearchSpace
from evnas.space.spec import SpaceSpec
from evnas.store import Store
from evnas.sweep.constraints import first_broken, resolved_constraints
from evnas.sweep.search_spec import ObjectiveSpec
from evnas.sweep.sweep import sweep_of
from evnas.tables import quantities

M1 = entry("m1").arch
SPACE = SearchSpace.from_spec(SpaceSpec.model_validate({"axes": {"stages[0].depth": [1, 2]}}), M1)
CPU = "cpu-torch-224-b8-float32"
LIMITS = ["top1_percent >= 65", "latency_ms <= 12"]
SWEEP = {
    "name": "x",
    "base": "m1",
    "space": {"axes": {"stages[0].depth": [1, 2]}},
    "strategy": "random",
    "objectives": {"latency_ms": "min", "top1_percent": "max"},
    "constraints": LIMITS,
    "budget": {"trials": 4},
    "proxy": {},
    "confirm": {"seeds": 3},
}
FOUND = {  # label -> latency by repetition, top-1 by seed
    "0": ([10.0, 10.0, 10.0], [70.0, 70.2, 69.8]),
    "1": ([9.0, 9.0, 9.0], [66.0, 63.0, 60.0]),  # lucky once
    "2": ([11.9, 14.0, 14.0], [80.0, 80.0, 80.0]),  # slow whenever it is timed again
    "3": ([9.5, 9.5, 9.5], [65.5, 65.5, 65.5]),  # comes up when 1 leaves
}


def found_by(work: Work) -> Record:
    latency, top1 = FOUND[work.label]
    found: dict[str, object] = {"values": {"params": 5e6, "macs_exact": 2e8}}
    if work.phase == "speed":
        samples = (latency[work.seed],) * 3
        found = {"measurements": {"latency_ms": Measurement("latency_ms", samples)}}
    elif work.phase == "proxy":
        found = {"values": {"top1_percent": top1[work.seed]}}
    return work.record("complete", started=0.0, seconds=1.0, found=found)


def fresh() -> History:
    return History(
        objectives=(
            ObjectiveSpec(metric=f"latency_ms@{CPU}", goal="min"),
            ObjectiveSpec(metric="top1_percent", goal="max"),
        ),
        constraints=resolved_constraints(LIMITS, targets_called(CPU)),
        full_budget=10.0,
    )


def first_seeds(history: History, store: Store) -> None:
    for label in FOUND:
        arch = edit(M1, {"stages[0].depth": 2 + int(label)})
        for phase, budget, target in (
            ("count", 0.0, ""),
            ("speed", 0.0, CPU),
            ("proxy", 10.0, ""),
        ):
            asked = asking(label, arch, phase, budget=budget, target=target)
            store.append(history.take(found_by(make_work(asked))))


@pytest.fixture
def confirmed(tmp_path: Path) -> History:
    history = fresh()
    with Store.create(tmp_path / "study.db", sweep=SWEEP, environment={}) as store:
        first_seeds(history, store)
        assert final_front(history) == ["1", "0", "2"]
        drive(Confirm(history, 3, 10.0), store, InlineEngine(found_by), make_work=make_work)
        write_front(
            history,
            tmp_path / "front",
            space=SPACE,
            sweep=sweep_of(SWEEP),
            records=(record for _, record in store.records()),
        )
    return history


def test_whoever_breaks_a_constraint_later_leaves_the_front(confirmed: History) -> None:
    assert final_front(confirmed) == ["3", "0"]
    assert sorted(confirmed.front.labels) == ["0", "3"]  # 3 stood behind 1
    assert [t.label for t in confirmed.complete] == ["0", "3"]
    said = {label: (t.ended, t.reason) for label, t in confirmed.trials.items() if t.ended}
    assert said == {
        "1": ("infeasible", "top1_percent >= 65: top1_percent is 64.5"),
        "2": ("infeasible", f"latency_ms <= 12: latency_ms@{CPU} is 12.95"),
    }


def test_files_page_and_resume_agree(confirmed: History, tmp_path: Path) -> None:
    front = json.loads((tmp_path / "front" / "front.json").read_text())
    assert [m["trial"] for m in front["members"]] == ["3", "0"]
    left = front["not_on_front"]
    assert left["1"] == {"ended": "infeasible", "reason": confirmed.trials["1"].reason}
    again = yaml.safe_load((tmp_path / "front" / "again.yaml").read_text())
    assert list(again["rows"]) == ["base", "3", "0"]
    with Store.read(tmp_path / "study.db") as store:
        resumed = fresh().take_store(store)
    assert final_front(resumed) == final_front(confirmed)
    assert resumed.vectors == confirmed.vectors and resumed.course == confirmed.course
    for label, trial in confirmed.trials.items():
        assert (resumed.trials[label].ended, resumed.trials[label].reason) == (
            trial.ended,
            trial.reason,
        )
    reader = StudyReader(tmp_path)
    reader.read_all()
    frame = reader.frame
    status = {x: frame.text["status"][frame.row(x) or 0] for x in FOUND}
    assert status == {"0": "complete", "1": "infeasible", "2": "infeasible", "3": "complete"}
    assert frame.text["error"][frame.row("1") or 0] == confirmed.trials["1"].reason
    reader.close()


def as_once_stored(path: Path, **sweep: object) -> None:
    """A study whose further seed and later timing were stored as complete, unjudged."""
    goals = [{"metric": o.metric.partition("@")[0], "goal": o.goal} for o in fresh().objectives]
    sweep = {**SWEEP, "objectives": goals, **sweep}
    with Store.create(path, sweep=sweep, environment={}) as store:
        first_seeds(fresh(), store)
        for label, phase, budget, target in (("1", "proxy", 10.0, ""), ("2", "speed", 0.0, CPU)):
            arch = edit(M1, {"stages[0].depth": 2 + int(label)})
            asked = asking(label, arch, phase, seed=1, budget=budget, target=target)
            store.append(found_by(make_work(asked)))


def shown(folder: Path) -> dict[str, tuple[str, str]]:
    """Label -> status and reason on the page."""
    reader = StudyReader(folder)
    reader.read_all()
    text = reader.frame.text
    reader.close()
    rows = zip(text["label"], text["status"], text["error"], strict=True)
    return {label: (status, error) for label, status, error in rows}


def test_an_older_study_is_judged_by_the_rule_of_now_wherever_it_is_read(tmp_path: Path) -> None:
    as_once_stored(tmp_path / "study.db")
    with Store.read(tmp_path / "study.db") as store:
        stored = [record for _, record in store.records()]
        resumed = fresh().take_all(store.records())
    assert {record.status for record in stored} == {"complete"}
    front = final_front(resumed)
    assert front == ["3", "0"] and front_labels(tmp_path) == front
    left = {label: (t.ended, t.reason) for label, t in resumed.trials.items() if t.ended}
    assert left == {
        "1": ("infeasible", "top1_percent >= 65: top1_percent is 64.5"),
        "2": ("infeasible", f"latency_ms <= 12: latency_ms@{CPU} is 12.95"),
    }
    assert {label: each for label, each in shown(tmp_path).items() if each[1]} == left
    rows = {row.label: row.status for row in read_study(tmp_path).rows}
    assert rows == {"0": "complete", "1": "infeasible", "2": "infeasible", "3": "complete"}
    origins = [origin.split()[-1] for origin, _ in _of_study(tmp_path / "study.db")]
    assert sorted(origins) == sorted(front)  # what a later search begins with
    reader = StudyReader(tmp_path)
    reader.read_all()
    for label, (ended, reason) in left.items():  # its card
        *earlier, last = reader.records_of(reader.frame.row(label) or 0)
        assert (last.status, last.error) == (ended, reason)
        assert {record.status for record in earlier} == {"complete"}
    reader.close()


def test_conditions_on_fields_and_on_quantities_nobody_knows_are_asked_too(tmp_path: Path) -> None:
    limits = ["stages[0].depth <= 4", "params_m <= 5", "latency_ms@gpu <= 1 and params_m <= 6"]
    as_once_stored(tmp_path / "study.db", constraints=limits)
    assert shown(tmp_path) == {
        "0": ("complete", ""),
        "1": ("complete", ""),
        "2": ("complete", ""),
        "3": ("infeasible", "stages[0].depth <= 4"),
    }


def test_plain_counts_are_asked_in_their_own_unit_whatever_a_column_shows() -> None:
    for limit, shown_m, breaks in (
        ("params >= 1000000", 6.679458, False),
        ("params <= 6679458", 6.679458, False),
        ("params <= 6679457", 6.679458, True),
    ):
        found = Limits([limit]).broken(
            {"params_m": shown_m}, lambda key: math.nan, dict, first=True
        )
        assert bool(found) is breaks, limit


def test_a_constraint_that_is_decided_by_one_half_says_what_is_known() -> None:
    limits = resolved_constraints(["params_m <= 1 and top1_percent >= 65"], ())
    assert first_broken(limits, {}, {"params_m": 2.0}).endswith(": params_m is 2")
    assert not first_broken(limits, {}, {"params_m": 1.0})


def test_columns_hold_what_constraints_are_asked_of() -> None:
    draw = random.Random(0)
    scaled = [q for q in quantities().values() if q.factor != 1.0]
    assert {q.name for q in scaled} >= {"params_m", "macs_g"}
    for quantity in scaled:
        for value in [draw.randrange(1, 10**12) for _ in range(200)]:
            key, shown_as = scale_count(quantity.source, float(value))
            assert shown_as == quantity.of(float(value)), (key, value)


def test_records_of_an_older_study_are_judged_as_they_are_read(tmp_path: Path) -> None:
    history = fresh()
    with Store.create(tmp_path / "study.db", sweep=SWEEP, environment={}) as store:
        first_seeds(history, store)
        asked = asking("1", edit(M1, {"stages[0].depth": 3}), "proxy", seed=1, budget=10.0)
        store.append(found_by(make_work(asked)))  # not judged: it was once stored as complete
        resumed = fresh().take_store(store)
    assert resumed.trials["1"].ended == "infeasible" and "1" not in final_front(resumed)


@pytest.mark.parametrize(
    ("status", "stays"), [("lost", True), ("timeout", True), ("diverged", False)]
)
def test_a_further_seed_that_diverged_ends_a_trial_and_a_lost_one_does_not(
    status: Status, stays: bool, tmp_path: Path
) -> None:
    history = fresh()
    with Store.create(tmp_path / "study.db", sweep=SWEEP, environment={}) as store:
        first_seeds(history, store)
        asked = asking("0", edit(M1, {"stages[0].depth": 2}), "proxy", seed=1, budget=10.0)
        record = make_work(asked).record(status, error="why", started=0.0, seconds=1.0)
        store.append(history.take(record))
    assert ("0" in final_front(history)) is stays
    reader = StudyReader(tmp_path)
    reader.read_all()
    assert (reader.frame.text["status"][0] == "complete") is stays
    reader.close()


def test_an_effect_says_that_its_row_breaks_a_constraint() -> None:
    history = History(
        objectives=(
            ObjectiveSpec(metric="params", goal="min"),
            ObjectiveSpec(metric="top1_percent", goal="max"),
        ),
        constraints=resolved_constraints(["top1_percent >= 65"], ()),
    )
    for label, origin, values in (("0", "base", (70.0, 71.0)), ("1", "row", (66.0, 62.0))):
        for seed, value in enumerate(values):
            found = {"top1_percent": value, "params": 1.0}
            history.take(
                Record(label=label, digest=origin, arch={}, phase="proxy", status="complete",
                       seed=seed, budget=10.0, values=found, origin=origin)
            )  # fmt: skip
    (row,) = effects(history, "top1_percent")
    assert row.difference == pytest.approx(-6.5) and row.pairs == 2
    assert row.ended == "infeasible: top1_percent >= 65: top1_percent is 64"
    assert effect_lines([row], "top1_percent")[0].endswith(f"; {row.ended}")
