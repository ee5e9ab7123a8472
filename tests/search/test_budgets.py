"""Budgets are functions of what a study holds: broken off anywhere, a search ends where one that
was not does, and started again after its end it does nothing."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paper_engine import STEP_S, PaperEngine, run, search
from tiny_search import start, write

from evnas.errors import SpecError
from evnas.phases.work import Work
from evnas.record import Record, Status
from evnas.search.budget import HOPELESS, SETTLING, Meter
from evnas.search.preflight import checked
from evnas.search.prepare import prepared
from evnas.search.state.history import History
from evnas.search.state.study import BEAT_S, StudyClock, open_study
from evnas.search.stopping import Stopped, stopped_by_signals
from evnas.sweep.parts import FAILED_ALIKE
from evnas.sweep.search_spec import BudgetSpec, ObjectiveSpec
from evnas.sweep.sweep import sweep_of

BUDGETS: dict[str, dict[str, Any]] = {
    "trials": {"trials": 9},
    "minutes": {"minutes": 1.2},
    "device_minutes": {"device_minutes": 0.5},
    "patience": {"patience": 6},
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def keys(works: list[Work]) -> list[object]:
    return [work.key for work in works]


@pytest.mark.parametrize("kind", BUDGETS)
def test_broken_off_anywhere_it_ends_where_an_unbroken_one_does(kind: str, tmp_path: Path) -> None:
    sweep = search(BUDGETS[kind])
    whole = keys(run(sweep, tmp_path / "whole", PaperEngine(tmp_path / "whole")))
    assert 8 < len(whole) < 60
    assert run(sweep, tmp_path / "whole", PaperEngine(tmp_path / "whole")) == []
    for stop in {0, len(whole) // 2, len(whole) - 1}:
        folder = tmp_path / str(stop)
        first = PaperEngine(folder, stop_after=stop)
        with pytest.raises(KeyboardInterrupt):
            run(sweep, folder, first)
        for left in (folder, tmp_path / f"{stop}-as-killed"):
            rest = run(sweep, left, PaperEngine(left))
            assert keys([*first.done, *rest]) == whole, (stop, left.name)


def test_a_search_stopped_again_and_again_has_its_minutes_once(tmp_path: Path) -> None:
    sweep, folder, done = search({"minutes": 2.0}), tmp_path / "s", 0
    for _ in range(40):
        engine = PaperEngine(folder, stop_after=3)
        try:
            run(sweep, folder, engine)
            break
        except KeyboardInterrupt:
            shutil.rmtree(tmp_path / "s-as-killed")
        finally:
            done += len(engine.done)
    assert done == -(-120 // STEP_S)


@pytest.mark.parametrize(
    ("kind", "much", "ends"),
    [("patience", 5, 5), ("trials", 7, 7), ("minutes", 0.5, 5), ("device_minutes", 0.2, 4)],
)
def test_a_search_in_which_nothing_completes_ends_and_says_why(
    kind: str, much: float, ends: int, tmp_path: Path
) -> None:
    folder, budget = tmp_path / "s", {kind: much}
    assert len(run(search(budget), folder, PaperEngine(folder, fails=True))) == ends
    said = Path("said").read_text()
    assert f"none of {ends} trials was completed; the last ended failed: a fault" in said
    assert run(search(budget), folder, PaperEngine(folder, fails=True)) == []


def test_a_search_whose_first_candidates_all_fail_alike_stops_and_says_why(tmp_path: Path) -> None:
    sweep, folder = search({"trials": 100}), tmp_path / "s"
    for done in (FAILED_ALIKE, 0):
        engine = PaperEngine(folder, fails=True)
        with pytest.raises(SpecError, match="each did, for one reason: a fault; mend it"):
            run(sweep, folder, engine)
        assert len(engine.done) == done


@pytest.mark.parametrize(("stop_after", "tried"), [(3, 3), (None, 15)])
def test_a_file_says_after_how_many_alike_failures_a_search_stops(
    stop_after: int | None, tried: int, tmp_path: Path
) -> None:
    sweep = search({"trials": 15}, failures={"stop_after": stop_after})
    engine = PaperEngine(tmp_path / "s", fails=True)
    if stop_after is None:
        run(sweep, tmp_path / "s", engine)
    else:
        with pytest.raises(SpecError, match="the first 3 trials must not all fail"):
            run(sweep, tmp_path / "s", engine)
    assert len(engine.done) == tried


def test_a_search_without_hope_stays_without_it(tmp_path: Path) -> None:
    """That no candidate met a constraint is known from the records, whoever counted them."""
    space = {"axes": {"stages[*].depth": {"each": list(range(1, 9))}}}
    sweep = search({"trials": 900}, space=space, constraints=["params_m <= 0.0000001"])
    folder = tmp_path / "s"
    with pytest.raises(KeyboardInterrupt):
        run(sweep, folder, PaperEngine(folder, stop_after=HOPELESS - 50))
    second, third = PaperEngine(folder), PaperEngine(folder)
    for engine, done in ((second, 50), (third, 0)):
        with pytest.raises(SpecError, match="200 candidates and none met all of them"):
            run(sweep, folder, engine)
        assert len(engine.done) == done


def test_what_a_search_removes_at_its_end_is_its_own(tmp_path: Path) -> None:
    run(search({"trials": 1}), tmp_path / "s", PaperEngine(tmp_path / "s"))
    assert Path("said").exists()  # the folder it ran in


ASHA = {
    "space": {"axes": {"stages[*].depth": {"each": [1, 2, 3]}}},
    "strategy": "mo_asha",
    "objectives": {"params_m": "min", "top1_percent": "max"},
    "proxy": {"epochs": 9},
}


@pytest.mark.parametrize("trials", [4, 26, 27])
def test_a_halving_says_how_many_candidates_finish_a_training(trials: int, tmp_path: Path) -> None:
    data = search({"trials": trials}, **ASHA)
    notes = checked(sweep_of(data))
    assert prepared(sweep_of(data)).notes() == notes  # what `plan` and `sweep` say
    run(data, tmp_path / "s", PaperEngine(tmp_path / "s"))
    finished = f"none of {trials} trials was completed" not in Path("said").read_text()
    assert finished is (trials == 27) is (not notes)
    assert finished or "only with 27 candidates" in notes[0]


@pytest.mark.parametrize("key", ["minutes", "device_minutes"])
def test_a_budget_without_an_end_is_refused(key: str) -> None:
    with pytest.raises(SpecError, match=f"budget.{key}: must be a finite number, got inf"):
        sweep_of(search({key: float("inf")}))


def test_patience_alone_is_said_to_bound_nothing() -> None:
    (note,) = checked(sweep_of(search({"patience": 3})))
    assert note.startswith("budget.patience alone says nothing of when the search ends")
    assert checked(sweep_of(search({"patience": 3, "minutes": 1}))) == []


Course = list[tuple[float, float] | Status]
_ENDS = st.one_of(
    st.tuples(st.integers(0, 9).map(float), st.integers(0, 9).map(float)),
    st.sampled_from(["infeasible", "failed", "diverged"]),
)


def history_of(course: Course) -> History:
    names = ("params", "macs_exact")
    found = History(objectives=tuple(ObjectiveSpec(metric=m, goal="min") for m in names))
    for number, how in enumerate(course):
        found.take(
            Record(
                label=str(number),
                digest=str(number),
                arch={},
                phase="count",
                status="complete" if isinstance(how, tuple) else how,
                values=dict(zip(names, how, strict=True)) if isinstance(how, tuple) else {},
                seconds=1.0,
            )
        )
    return found


@given(st.lists(_ENDS, max_size=60), st.integers(1, 12), st.lists(st.integers(0, 60), max_size=4))
def test_patience_says_the_same_whenever_it_was_asked(
    course: Course, patience: int, asked: list[int]
) -> None:
    spec = BudgetSpec(patience=patience)
    watching = Meter(spec)
    for n in sorted(asked):
        watching.spent(history_of(course[:n]), 0.0)
    whole = history_of(course)
    assert watching.spent(whole, 0.0) == Meter(spec).spent(whole, 0.0)
    assert whole.course == course


def test_patience_counts_what_failed_and_not_what_broke_a_constraint() -> None:
    settled: Course = [(5.0 - i / 10, 5.0 + i / 10) for i in range(SETTLING + 1)]
    meter = Meter(BudgetSpec(patience=3))
    gone: Course = ["infeasible", "infeasible", "failed", (9.0, 9.0)]
    assert meter.spent(history_of([*settled, *gone]), 0.0) == ""
    over = meter.spent(history_of([*settled, *gone, "oom"]), 0.0)
    assert over == "3 trials without a gain of hypervolume"
    barren: Course = ["infeasible"] * HOPELESS
    alone = Meter(BudgetSpec(patience=3)).spent(history_of([*settled, *barren]), 0.0)
    assert alone == "200 candidates in a row that break a constraint"


def test_time_is_noted_while_it_passes(tmp_path: Path) -> None:
    now = [100.0]
    sweep = sweep_of(search({"minutes": 1}))
    with open_study(sweep, tmp_path, environment={}, fresh=False) as store:
        clock = StudyClock(store, began=90.0, clock=lambda: now[0])
        clock.beat(busy_s=1.0, searched_s=1.0)
        assert store.meta("time") is None
        now[0] += BEAT_S
        clock.beat(busy_s=2.0, searched_s=3.0)
        assert store.meta("time") == {"wall_s": 12.0, "busy_s": 2.0}
        assert StudyClock(store, began=0.0).searched_s == 3.0
        store.note("searched", None)  # a study from before it was noted
        assert StudyClock(store, began=0.0).searched_s == 12.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_once_and_leaves_what_was_set(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Stopped, match=number.name), stopped_by_signals():
        try:
            os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), number)  # a second one does not break off the ending
    assert signal.getsignal(number) is before


def test_under_nohup_a_terminal_may_hang_up() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopped_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.fixture
def stopped(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    axes = {"stages[*].dim": {"each": {"int": {"low": 96, "high": 384, "step": 16}}}}
    file = write(tmp_path / "s.yaml", search({"minutes": 10}, space={"axes": axes}))
    process = start(file, tmp_path)
    assert process.stderr is not None
    for line in process.stderr:
        if "1 count: " in line:
            process.send_signal(request.param)
            break
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("stopped", [signal.SIGTERM, signal.SIGHUP], indirect=True, ids=str)
def test_a_signal_ends_the_command_as_ctrl_c_does(stopped: subprocess.Popen[str]) -> None:
    _, said = stopped.communicate(timeout=60)
    assert stopped.returncode == 130, said
    assert "stopped by SIG" in said and "the same command goes on from here" in said
    assert "Traceback" not in said
