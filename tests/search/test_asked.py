"""What people ask of a running sweep: the driver takes it between two turns, once."""

import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from inline_engine import InlineEngine
from tiny_search import tiny_search
from typer.testing import CliRunner

from evnas.cli import app
from evnas.errors import StoreError
from evnas.phases.work import Event, Work
from evnas.record import Record
from evnas.search.prepare import prepared
from evnas.search.runner import SearchRun, run_of
from evnas.search.stopping import Stopped
from evnas.search.terminal.view import PlainView
from evnas.store import Store
from evnas.store.asked import Request, annotations, is_paused, leave, settle_free, waiting
from evnas.sweep.sweep import Sweep, sweep_of


def search(trials: int = 3) -> Sweep:
    """A search whose candidates are only counted."""
    plain = {k: v for k, v in tiny_search().items() if k not in ("proxy", "strategy")}
    more = {"strategy": "random", "budget": {"trials": trials}, "proxy": None}
    return sweep_of(plain | more | {"objectives": {"params_m": "min", "macs_g": "min"}})


class Engine(InlineEngine):
    """Does something of the test's before each answer."""

    def __init__(self, before: Callable[[int], object] = lambda n: None) -> None:
        super().__init__(_counted)
        self.before = before

    def wait(self, timeout_s: float) -> list[Event]:
        self.before(len(self.asked))
        return super().wait(timeout_s)


def _counted(work: Work) -> Record:
    values = {"params": 1e6 * (1 + int(work.digest[:4], 16)), "macs_exact": 2e8}
    return work.record("complete", started=0.0, seconds=0.1, found={"values": values})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    sweep = search()
    about = {"sweep": sweep.spec.to_dict(), "identity": json.loads(json.dumps(sweep.identity()))}
    Store.create(tmp_path / "study.db", environment={}, **about).close()
    return tmp_path


def ask(folder: Path, action: Any, **more: Any) -> Path:
    return leave(folder, Request(action=action, at=more.pop("at", time.time()), **more))


def driven(folder: Path, engine: Engine, *, trials: int = 3) -> tuple[str, int]:
    """What was said, and how many trials there are, once a run has come to its end."""
    said = io.StringIO()
    with Store.append_to(folder / "study.db") as store:
        run = run_of(
            prepared(search(trials)),
            store=store,
            engine=engine,
            view_of=lambda progress: PlainView(progress, said),
        )
        assert isinstance(run, SearchRun)
        run.to_its_end()
        return said.getvalue(), store.count()


def noted(folder: Path, key: str) -> Any:
    with Store.read(folder / "study.db") as store:
        return store.meta(key)


def test_a_pause_lets_what_is_under_way_end_and_begins_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    engine = Engine(lambda n: ask(folder, "pause") if n == 1 else None)

    def sleep(seconds: float) -> None:
        held.append(len(engine.asked))
        if len(held) == 3:
            ask(folder, "resume")

    monkeypatch.setattr("evnas.search.driver.time.sleep", sleep)
    said, trials = driven(folder, engine)
    assert held == [1, 1, 1]  # three turns in which nothing began
    assert "paused: what is under way comes to its end" in said and "goes on" in said
    assert trials == 3 and not list(waiting(folder))


def test_time_in_a_pause_is_not_searched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(lambda n: ask(folder, "pause") if n == 1 else None)
    away = [0.0]

    def sleep(seconds: float) -> None:
        away[0] += 3600.0
        ask(folder, "resume")

    now = time.monotonic
    monkeypatch.setattr("evnas.search.driver.time.sleep", sleep)
    with Store.append_to(folder / "study.db") as store:
        view = lambda progress: PlainView(progress, io.StringIO())  # noqa: E731
        run = run_of(prepared(search()), store=store, engine=engine, view_of=view)
        run.clock.clock = lambda: now() + away[0]
        run.to_its_end()
        assert store.meta("searched")["wall_s"] < 1000


def test_a_stop_ends_the_run_and_the_same_command_goes_on(folder: Path) -> None:
    with pytest.raises(Stopped):
        driven(folder, Engine(lambda n: ask(folder, "stop") if n == 2 else None))
    assert not list(waiting(folder))
    said, trials = driven(folder, Engine())
    assert trials == 3 and "stop" not in said


def test_a_stop_that_nobody_took_does_not_end_the_next_run(folder: Path) -> None:
    ask(folder, "stop", at=time.time() - 60)
    said, trials = driven(folder, Engine())
    assert trials == 3 and "a stop that was asked of an earlier run is left out" in said


def test_a_paused_study_says_so_and_how_it_goes_on(folder: Path) -> None:
    ask(folder, "pause")
    with pytest.raises(StoreError, match=r"is paused since .*evnas store resume"):
        driven(folder, Engine())
    with pytest.raises(StoreError, match="is paused"):  # and so it stays
        driven(folder, Engine())
    done = CliRunner().invoke(app, ["store", "resume", str(folder)])
    assert done.exit_code == 0 and "goes on" in done.output
    assert driven(folder, Engine())[1] == 3


def test_a_study_is_extended_while_it_runs_and_when_it_was_over(folder: Path) -> None:
    engine = Engine(lambda n: ask(folder, "extend", trials=2) if n == 1 else None)
    said, trials = driven(folder, engine)
    assert trials == 5 and "the study grows: budget.trials: 3 -> 5" in said
    ask(folder, "extend", trials=1)
    assert driven(folder, Engine(), trials=5)[1] == 6
    assert noted(folder, "sweep")["budget"]["trials"] == 6
    assert noted(folder, "identity")["budget"]["trials"] == 6
    assert "trials: 6" in (folder / "sweep.resolved.yaml").read_text()


def test_an_extension_of_the_last_moment_does_not_end_the_run(folder: Path) -> None:
    class Late(Engine):
        @property
        def slots(self) -> int:  # type: ignore[override]
            """Asked for between the taking of requests and the end."""
            if len(self.asked) == 3 and not left:
                left.append(ask(folder, "extend", trials=2))
            return 1

    left: list[Path] = []
    _, trials = driven(folder, Late())
    assert left and trials == 5 and noted(folder, "search")["ended"]


def test_a_stop_that_was_asked_while_the_run_began_ends_it(folder: Path) -> None:
    ask(folder, "stop", at=time.time() - 10)
    with Store.append_to(folder / "study.db") as store:
        view = lambda progress: PlainView(progress, io.StringIO())  # noqa: E731
        began = time.monotonic() - 30
        run = run_of(prepared(search()), store=store, engine=Engine(), began=began, view_of=view)
        with pytest.raises(Stopped):
            run.to_its_end()


def test_numbers_that_no_study_can_take_end_no_run(folder: Path) -> None:
    path = ask(folder, "extend", trials=1)
    for key in ("trials", "at"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: 10**400}))
        said, trials = driven(folder, Engine())
        assert trials == 3 and "holds no request" in said
        path = ask(folder, "extend", trials=1)


def test_a_request_waits_for_a_driver_that_the_kernel_does_not_list(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evnas.store.asked.is_written", lambda store: False)  # another container
    ask(folder, "pause")
    with Store.append_to(folder / "study.db"):
        assert settle_free(folder) == []
    assert [asked.action for _, asked in waiting(folder) if asked] == ["pause"]


def test_an_extension_counts_once_though_it_was_not_taken_away(folder: Path) -> None:
    path = ask(folder, "extend", trials=2)
    kept = path.read_text()
    driven(folder, Engine())
    path.write_text(kept)  # as a kill between the two would leave it
    said, trials = driven(folder, Engine(), trials=5)
    assert trials == 5 and "extended already" in said


def test_a_request_that_cannot_be_taken_away_counts_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evnas.search.asked.forget", lambda path: None)
    ask(folder, "annotate", label="0", digest="d", text="once")
    said, trials = driven(folder, Engine())
    assert trials == 3 and said.count("trial 0 has a note") == 1


def test_what_cannot_be_extended_goes_on_and_says_why(folder: Path) -> None:
    ask(folder, "extend", minutes=5.0)
    (folder / "asked" / "9-x.json").write_text("no request")
    said, trials = driven(folder, Engine())
    assert trials == 3 and "not extended: budget must count minutes" in said
    assert "holds no request, and is taken away" in said and not list(waiting(folder))


def test_notes_are_kept_with_what_they_said_before(folder: Path) -> None:
    for text in ("good", "better"):
        ask(folder, "annotate", label="0", digest="d", mark="star", text=text)
    driven(folder, Engine())
    with Store.read(folder / "study.db") as store:
        (note,) = annotations(store)
        (kept,) = store.notes("annotation ").values()
        assert not is_paused(store)
    assert note["text"] == "better" and [old["text"] for old in kept["history"]] == ["good"]


def test_a_driver_notes_how_far_it_is(folder: Path) -> None:
    driven(folder, Engine())
    progress = noted(folder, "progress")
    assert progress["phases"]["count"] == {"total": 3, "done": 3}
    assert progress["now"] == [] and any("search over" not in line for line in progress["said"])
    assert progress["at"] <= time.time()
