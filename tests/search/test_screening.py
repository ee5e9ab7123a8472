"""Searches that drop candidates by prediction: what is dropped, recorded, counted."""

import functools
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from inline_engine import InlineEngine
from made_up_device import MadeUpDevice, network_ms

import evnas
from evnas.arch.spec import ArchSpec
from evnas.errors import SpecError, StoreError
from evnas.latency.calibration import calibrate, calibration_in
from evnas.latency.design import design_of
from evnas.latency.table import LatencyTable
from evnas.measure.target import Target
from evnas.phases.work import Work
from evnas.record import Measurement, Record
from evnas.search.budget import SCREENED_A_TRIAL, Meter
from evnas.search.preflight import checked
from evnas.search.prepare import PreparedSearch, prepared
from evnas.search.runner import run_of
from evnas.search.screening import (
    Screen,
    note_calibrations,
    noted_calibrations,
    screen_of,
)
from evnas.search.state.history import SCREENED, History
from evnas.search.state.study import open_study
from evnas.search.state.trial import Trial
from evnas.search.terminal.view import PlainView
from evnas.store import Store
from evnas.sweep.search_spec import BudgetSpec
from evnas.sweep.sweep import Sweep, sweep_of

TARGET = Target(device="cpu", runtime="torch", form="deployed", resolution=64, batch_size=2)
SPACE = {
    "axes": {
        "stages[*].dim": {"increasing": {"int": {"low": 96, "high": 384, "step": 32}}},
        "stages[*].depth": {"each": [1, 2, 3]},
        "stages[*].mlp_ratio": {"shared": [2.0, 3.0, 4.0]},
    }
}


def search(**more: Any) -> Sweep:
    return sweep_of(
        {
            "name": "screened",
            "base": "efficientvim_m1",
            "space": SPACE,
            "strategy": "random",
            "objectives": {"params_m": "max", "latency_ms": "min"},
            "budget": {"trials": 12},
            "targets": [
                {"device": "cpu", "runtime": "torch", "form": "deployed"}
                | {"resolution": 64, "batch_size": 2}
            ],
            "screening": {"draws": 32},
        }
        | more
    )


@functools.cache
def calibration() -> Any:
    import tempfile

    sweep = search()
    ready = prepared(sweep)
    assert isinstance(ready, PreparedSearch)
    space = ready.space
    design = design_of(space, sweep.base, 64)
    with tempfile.TemporaryDirectory() as folder:
        table = LatencyTable.of_target(TARGET, folder=Path(folder))
        device = MadeUpDevice(resolution=64, batch_size=2, noise=0.005)
        calibrate(design, table, device, TARGET, clock=device.clock)
        return calibration_in(table, design.networks, TARGET)


def made(sweep: Sweep) -> PreparedSearch:
    ready = prepared(sweep)
    assert isinstance(ready, PreparedSearch)
    return ready if ready.spec.screening is None else ready.screened_by([calibration()])


def params_of(arch: ArchSpec) -> float:
    """In the real formula's order."""
    return 1e6 + sum(s.depth * s.dim**2 for s in arch.stages)


def found(work: Work) -> Record:
    """Latency by the formula of the made-up device."""
    arch = ArchSpec.from_dict(work.arch)
    if work.phase == "count":
        values = {"params": params_of(arch), "macs_exact": 1e8}
        return work.record("complete", started=0.0, seconds=0.1, found={"values": values})
    ms = network_ms(arch, 64)
    more = {
        "measurements": {"latency_ms": Measurement("latency_ms", (ms, ms))},
        "values": {"latency_ms": ms, "throughput_img_s": 2e3 / ms},
    }
    return work.record("complete", started=0.0, seconds=4.0, found=more)


def run(sweep: Sweep, path: Path, *, stop_after: int | None = None) -> list[Record]:
    """All records of a study after a run, which may break off before a piece of work."""

    def limited(work: Work) -> Record:
        if stop_after is not None and len(engine.asked) > stop_after:
            raise KeyboardInterrupt
        return found(work)

    engine = InlineEngine(limited)
    store = (
        Store.append_to(path)
        if path.exists()
        else Store.create(path, sweep=sweep.spec.to_dict(), environment={}, identity={})
    )
    with store:
        ready = made(sweep)
        one = run_of(
            ready, store=store, engine=engine, view_of=lambda p: PlainView(p, io.StringIO())
        )
        history = ready.history(store)
        one.schedule = ready.schedule(history)
        try:
            one.drive(one.schedule, 0.0)
        except KeyboardInterrupt:
            assert stop_after is not None
        return [record for _, record in store.records()]


def plain(records: list[Record]) -> list[tuple[Any, ...]]:
    return [(r.key, r.status, r.error, r.origin, dict(r.values)) for r in records]


def test_what_surely_breaks_a_constraint_is_not_measured(tmp_path: Path) -> None:
    sweep = search(constraints=["latency_ms <= 8"], screening={"draws": 1})
    records = run(sweep, tmp_path / "study.db")
    out = [r for r in records if r.status == "infeasible" and SCREENED in r.details]
    measured = [r for r in records if r.phase == "speed" and SCREENED not in r.details]
    assert out and measured
    for record in out:
        assert record.error.startswith("latency_ms <= 8: latency_ms predicted")
        assert record.details[SCREENED]["calibration"] == calibration().id
        assert network_ms(ArchSpec.from_dict(record.arch), 64) > 8
        assert not record.values and not record.measurements
    assert all(r.values["latency_ms"] < 8.5 for r in measured)
    unmeasured = sum(SCREENED in r.details for r in records)
    assert len(measured) == 12 - unmeasured // SCREENED_A_TRIAL  # trials are what was measured


def test_what_the_front_surely_dominates_is_not_measured(tmp_path: Path) -> None:
    screened = run(search(screening={"draws": 1}), tmp_path / "study.db")
    out = [r for r in screened if SCREENED in r.details]
    assert out and {r.status for r in out} == {"pruned"}
    assert all("is better or as good in every objective" in r.error for r in out)
    ready = made(search(screening={"draws": 1}))
    with Store.read(tmp_path / "study.db") as store:
        history = ready.history(store)
    # with every screened candidate measured after all, the front is the same
    everyone = History(objectives=history.objectives)
    for record in screened:
        if SCREENED in record.details:
            record = found(_work_of(record))
        everyone.take(record)
    assert everyone.front.labels == history.front.labels


def _work_of(record: Record) -> Work:
    return Work(
        label=record.label, digest=record.digest, arch=record.arch, phase=record.phase,
        target=record.target, origin=record.origin,
    )  # fmt: skip


def test_proposals_are_screened_before_they_are_candidates(tmp_path: Path) -> None:
    constraint = ["latency_ms <= 8"]
    alone = run(search(constraints=constraint, screening={"draws": 1}), tmp_path / "a.db")
    drawn = run(search(constraints=constraint), tmp_path / "b.db")
    shares = [
        sum(r.status == "infeasible" for r in records) / len({r.label for r in records})
        for records in (alone, drawn)
    ]
    assert shares[1] < shares[0] / 3
    origin = f"random, others dropped by calibration {calibration().id}"
    assert origin in {r.origin for r in drawn}


@pytest.mark.parametrize("strategy", ["random", "evolution", "grid"])
def test_a_search_that_was_broken_off_goes_on_to_the_same_records(
    strategy: str, tmp_path: Path
) -> None:
    breeds = {"startup": 4, "population": 4, "screen": 4}
    kind = {"kind": strategy} | (breeds if strategy == "evolution" else {})
    sweep = search(strategy=kind, constraints=["latency_ms <= 8"], screening={"draws": 5})
    whole = run(sweep, tmp_path / "whole.db")
    for stop in (3, 8):
        run(sweep, tmp_path / "broken.db", stop_after=stop)
    assert plain(run(sweep, tmp_path / "broken.db")) == plain(whole)
    dropped = any(SCREENED in r.details or "dropped" in r.origin for r in whole)
    assert dropped or strategy == "grid"  # which begins with the smallest


def test_trials_that_nobody_measured_cost_little_of_the_budget() -> None:
    meter, history = Meter(BudgetSpec(trials=10)), History(objectives=())
    history.next_number = 59
    assert meter.full(history) == "10 trials"
    history.screened = {str(i) for i in range(51)}
    assert not meter.full(history)
    history.next_number = 60
    assert meter.full(history) == "10 trials, beside 51 that were screened out"
    history.next_number = history.next_number + 9 * SCREENED_A_TRIAL
    history.screened = {str(i) for i in range(51 + 9 * SCREENED_A_TRIAL)}
    assert meter.full(history)


def test_a_study_keeps_the_calibration_that_it_began_with(tmp_path: Path) -> None:
    with open_study(search(), tmp_path, environment={}, fresh=False) as store:
        said = note_calibrations(store, [calibration()])
        assert said[0].endswith(f"are screened by calibration {calibration().id}")
    assert noted_calibrations(tmp_path / "study.db") == [calibration()]
    assert noted_calibrations(tmp_path / "other.db") is None
    with pytest.raises(StoreError, match=r"screening\.draws: 32 -> 16"):
        open_study(search(screening={"draws": 16}), tmp_path, environment={}, fresh=False)


def test_a_study_from_before_there_was_screening_goes_on(tmp_path: Path) -> None:
    assert "screening" not in search(screening=None).identity()
    assert search().identity()["screening"] == {"draws": 32}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"targets": [{"device": "cpu"}]}, "no target names one"),
        ({"engine": {"kind": "ray"}}, "needs engine local, got ray"),
        ({"strategy": "one_at_a_time"}, "so nothing is screened"),
    ],
)
def test_what_cannot_be_screened_is_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SpecError, match=sentence):
        checked(search(**change))


def test_a_target_that_was_not_calibrated_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    ready = prepared(search())
    assert isinstance(ready, PreparedSearch)
    with pytest.raises(SpecError, match="screening: target cpu-torch-64-b2-float32-deployed: a"):
        ready.calibrations()


def test_a_ratio_is_of_the_bases_own_time() -> None:
    screen: Screen = screen_of([calibration()], search().base, draws=1, counted_at=64)
    (by,) = screen.by_target.values()
    base = network_ms(search().base, 64)
    assert by.base_ms == pytest.approx(base, rel=0.03)
    low, mid, high = by.ends(search().base, "throughput_ratio") or (0, 0, 0)
    assert low < 1 < high and mid == pytest.approx(1, abs=0.03)
    low, mid, high = by.ends(search().base, "throughput_img_s") or (0, 0, 0)
    assert low < 2e3 / base < high
    assert by.ends(search().base, "peak_mib") is None


def test_a_search_takes_the_calibration_of_this_machines_table_and_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    sweep = search(budget={"trials": 2}, constraints=["latency_ms <= 1000"])
    ready = prepared(sweep)
    assert isinstance(ready, PreparedSearch)
    (target,) = ready.setting.targets_of(sweep.reference).values()
    settled = Target(**target.fields)
    table, device = LatencyTable.of_target(settled), MadeUpDevice(resolution=64, batch_size=2)
    calibrate(design_of(ready.space, sweep.base, 64), table, device, settled)
    evnas.run(sweep, results=tmp_path)
    path = tmp_path / "screened" / "study.db"
    noted = noted_calibrations(path)
    assert noted is not None and [each.target for each in noted] == [settled.id]
    table.file.unlink()  # a study needs it no more
    evnas.run(search(budget={"trials": 3}, constraints=["latency_ms <= 1000"]), results=tmp_path)
    assert noted_calibrations(path) == noted
    with Store.read(path) as store:
        measured = {r.label for _, r in store.records() if r.phase == "speed" and r.measurements}
    assert len(measured) == 3


@pytest.mark.parametrize("strategy", ["random", "evolution"])
def test_many_are_predicted_few_measured_and_of_these_is_the_front(
    strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a search finds is measured whole, however many it looked at by prediction alone."""
    predicted = set[str]()
    verdict = Screen.verdict

    def heard(screen: Screen, history: History, trial: Trial, target: str) -> Any:
        predicted.add(trial.digest)
        return verdict(screen, history, trial, target)

    def counted(arch: ArchSpec, side: int) -> SimpleNamespace:
        return SimpleNamespace(params=params_of(arch), macs={"exact": 1e8})

    monkeypatch.setattr(Screen, "verdict", heard)
    monkeypatch.setattr("evnas.search.screening.count", counted)  # a thousand take seconds
    breeds = {"startup": 4, "population": 4} if strategy == "evolution" else {}
    sweep = search(
        strategy={"kind": strategy} | breeds,
        objectives={"latency_ms": "min", "params_m": "max"},
        constraints=["latency_ms <= 6"],
        screening={"draws": 64},
    )
    records = run(sweep, tmp_path / "study.db")
    measured = {r.digest: r for r in records if r.phase == "speed" and r.measurements}
    assert len(predicted) > 2 * len(measured) > 0, (len(predicted), len(measured))
    with Store.read(tmp_path / "study.db") as store:
        history = made(sweep).history(store)
    assert len(history.front.labels) > 1
    for label in history.front.labels:
        trial = history.trials[label]
        record = measured[trial.digest]
        assert record.status == "complete" and SCREENED not in record.details
        timed = network_ms(ArchSpec.from_dict(trial.arch), 64)
        assert record.values["latency_ms"] == timed
