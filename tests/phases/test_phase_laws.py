"""What holds of every phase of the table: ours, and what is added, without being named here."""

import io
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from evnas.arch.paths import edit
from evnas.phases.base import Goal
from evnas.phases.work import Event, Work
from evnas.record import Record
from evnas.search.driver import Ask, drive
from evnas.search.evaluate import Evaluator, silent
from evnas.search.prepare import PreparedSearch, prepared
from evnas.search.runner import run_of
from evnas.search.terminal.view import PlainView
from evnas.store import Store
from evnas.sweep.candidate import Candidate
from evnas.sweep.sweep import sweep_of
from evnas.tables import PHASES, found_by, phase_order, quantities

SWEEP = {
    "name": "laws",
    "base": "efficientvim_m1",
    "space": {
        "set": {"stages[*].dim": 16, "stages[*].depth": 1},
        "axes": {"stages[*].depth": {"each": [1, 2]}},
    },
    "strategy": "random",
    "objectives": {"params_m": "min", "loss": "min"},
    "constraints": ["grad_norm > 0", "inherited_loss > 0"],
    "budget": {"trials": 2},
    "targets": [
        {"device": "cpu", "runtime": "torch", "resolution": 32, "batch_size": 1, "budget_s": 0.03}
    ],
    "predict": {"seeds": 1},
    "proxy": {
        **{"resolution": 32, "epochs": 1, "images_per_epoch": 32, "batch_size": 16},
        **{"points_per_epoch": 1, "curve_images": 8, "held_out_images": 8, "device": "cpu"},
    },
}
UNITS = {"_img_s": "images/s", "_ms": "ms", "_mib": "MiB", "_percent": "%", "_g": "G", "_m": "M"}
each_phase = pytest.mark.parametrize("phase", PHASES)


@pytest.fixture(scope="module")
def ready() -> PreparedSearch:
    """A small search in which every phase has something to do."""
    found = prepared(sweep_of(SWEEP))
    assert isinstance(found, PreparedSearch)
    return found


@pytest.fixture(scope="module")
def works(ready: PreparedSearch) -> dict[str, Work]:
    """Phase -> what it has to do of the base."""
    base = Candidate(label="0", arch=ready.space.base, published="")
    every = ready.setting.works(base, Goal(budget=ready.full_budget))
    return {work.phase: work for work in every}


@pytest.fixture(scope="module")
def records(works: dict[str, Work]) -> dict[str, Record]:
    """Phase -> what it finds."""
    evaluator = Evaluator()
    return {phase: evaluator.run(work, silent).record for phase, work in works.items()}


def through_json(data: Any) -> Any:
    """Back from text that any reader of JSON takes."""
    return json.loads(json.dumps(data, allow_nan=False))


@each_phase
def test_its_task_goes_through_json_and_back(phase: str, works: dict[str, Work]) -> None:
    task = works[phase].task
    raw = through_json(asdict(task))
    again = type(task)(**raw)
    assert through_json(asdict(again)) == raw
    assert (again.device, again.noted()) == (task.device, task.noted())


@each_phase
def test_its_record_goes_through_json_and_back(phase: str, records: dict[str, Record]) -> None:
    record = records[phase]
    assert record.status == "complete", record.error
    again = Record.from_dict(through_json(record.to_dict()))
    assert through_json(again.to_dict()) == through_json(record.to_dict())
    assert (again.key, again.machine) == (record.key, record.machine)


@each_phase
def test_its_quantities_say_what_they_are(phase: str, records: dict[str, Record]) -> None:
    own, record = PHASES.get(phase).quantities, records[phase]
    for quantity in own:
        assert quantity.heading
        assert quantity.goal in ("min", "max")
        unit = next((u for end, u in UNITS.items() if quantity.name.endswith(end)), quantity.unit)
        assert quantity.unit == unit, quantity.name
        assert found_by()[quantity.name] == phase
        assert quantities()[quantity.name] == quantity
    assert {q.source or q.name for q in own} & {*record.values, *record.measurements}
    assert PHASES.get(phase).words(record)


@each_phase
def test_it_needs_the_same_of_all_where_it_says_so(phase: str, ready: PreparedSearch) -> None:
    asked = PHASES.get(phase)
    assert asked.needs_alike  # as all of ours do
    base = ready.space.base
    archs = (None, base, edit(base, {"stages[*].depth": 2, "stages[0].dim": 24}))
    for goal in (Goal(), Goal(seeds=(0, 2), budget=ready.full_budget, parent="a" * 12)):
        found = [
            list(asked.needed(ready.setting, Candidate(label=str(i), arch=a, published=""), goal))
            for i, a in enumerate(archs)
        ]
        assert found[0] == found[1] == found[2]


@each_phase
@pytest.mark.parametrize("status", ["failed", "oom"])
def test_what_goes_wrong_is_a_record(
    phase: str, status: str, works: dict[str, Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    error = {"failed": KeyError("x"), "oom": torch.OutOfMemoryError("no room")}[status]

    def breaks(*_: object) -> None:
        raise error

    monkeypatch.setattr(type(PHASES.get(phase)), "evaluate", breaks)
    record = Evaluator().run(works[phase], silent).record
    assert (record.status, record.key) == (status, works[phase].key)
    assert record.error and not record.values
    assert Record.from_dict(through_json(record.to_dict())).error == record.error


class Here:
    """An engine that works in this process, and breaks off after the first piece of a phase."""

    slots = 1

    def __init__(self, stop_after: str = "") -> None:
        self.done: list[Work] = []
        self._stop_after = stop_after
        self._given: Work | None = None
        self._evaluator = Evaluator()

    def submit(self, work: Work) -> None:
        if self.done and self.done[-1].phase == self._stop_after:
            raise KeyboardInterrupt
        self._given = work

    def wait(self, timeout_s: float) -> list[Event]:
        assert self._given is not None
        event = self._evaluator.run(self._given, silent)
        self.done.append(self._given)
        return [event]

    def close(self) -> None:
        """Nothing is held."""


def made_work(ready: PreparedSearch, ask: Ask) -> Work:
    """What the search's run makes of what is asked for."""
    return ready.setting.work(ask.candidate, ask.phase, ask.need, origin=ask.origin)


def searched(ready: PreparedSearch, path: Path, engine: Here) -> Here:
    """The search's loop, or what is left of it."""
    fresh = not path.exists()
    opened = Store.create(path, sweep=SWEEP, environment={}) if fresh else Store.append_to(path)
    with opened as store:
        schedule = ready.schedule(ready.history(store))
        drive(schedule, store, engine, make_work=partial(made_work, ready))
    return engine


@pytest.fixture(scope="module")
def unbroken(ready: PreparedSearch, tmp_path_factory: pytest.TempPathFactory) -> Here:
    """The engine of a whole run that nothing broke off."""
    folder, engine = tmp_path_factory.mktemp("whole"), Here()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "notes.txt").write_text("mine")
        with Store.create(folder / "study.db", sweep=SWEEP, environment={}) as store:
            run = run_of(
                ready,
                store=store,
                engine=engine,
                view_of=lambda progress: PlainView(progress, io.StringIO()),
            )
            run.to_its_end()
        assert (folder / "notes.txt").read_text() == "mine"  # no checkpoints, nothing to remove
    return engine


def test_a_finished_piece_is_not_done_again(
    ready: PreparedSearch, unbroken: Here, tmp_path: Path
) -> None:
    """One search, broken off after the first piece of each phase, and gone on with each time."""
    path, done = tmp_path / "study.db", list[Work]()
    for phase in phase_order():
        engine = Here(stop_after=phase)
        with pytest.raises(KeyboardInterrupt):
            searched(ready, path, engine)
        assert [work.phase for work in engine.done] == [phase]
        done += engine.done
    done += searched(ready, path, Here()).done
    assert [work.key for work in done] == [work.key for work in unbroken.done]
    assert searched(ready, path, Here()).done == []
