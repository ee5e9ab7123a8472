"""Runs a sweep to its end, or goes on with it: opens the study, drives, and writes what is left.

Broken off at any moment, it goes on where it was: what the store holds is not done again.
"""

import math
import os
import shutil
import socket
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from evnas.errors import SpecError
from evnas.measure.best import versions
from evnas.measure.timing.conditions import environment
from evnas.phases.work import Event, Finished, Work
from evnas.record import Status, mixed_machines
from evnas.search.asked import Asked
from evnas.search.confirm import Confirm
from evnas.search.driver import Agenda, Ask, Schedule, drive, expected
from evnas.search.engines.base import Engine
from evnas.search.engines.local import LocalEngine
from evnas.search.engines.retrying import RetryingEngine
from evnas.search.installed import must_be_installed
from evnas.search.prepare import Prepared, PreparedAblation, PreparedSearch, prepared
from evnas.search.results.ending import write_end
from evnas.search.screening import note_calibrations, noted_calibrations
from evnas.search.state.begun import as_begun, choices, on_this_machine
from evnas.search.state.history import History
from evnas.search.state.images import images_of, note
from evnas.search.state.study import BEAT_S, StudyClock, extend_budget, open_study
from evnas.search.stopping import stopped_by_signals
from evnas.search.terminal.progress_state import ProgressRow, ProgressState, sentence_of
from evnas.search.terminal.view import SweepView, view_for
from evnas.store import Store
from evnas.store.asked import Request
from evnas.sweep.parts import EngineSpec, FailuresSpec
from evnas.sweep.search_spec import SearchSpec
from evnas.sweep.sweep import Sweep
from evnas.tables import PHASES
from evnas.words import counted

SAID_LINES = 20
"""Last lines that are kept for a page."""
SHOWN_ROWS = 12
"""Of a search: those on the front, and the newest."""
EngineFor = Callable[[EngineSpec], Engine]


def engine_for(spec: EngineSpec) -> Engine:
    """The engine that a sweep asks for."""
    if spec.kind == "ray":
        must_be_installed(spec)
        from evnas.search.engines.tune.engine import TuneEngine  # ray is an extra

        return TuneEngine(address=spec.address, resources=spec.resources, timeout_s=spec.timeout_s)
    gpus = torch.cuda.device_count()
    workers = max(1, gpus) if spec.workers == "auto" else spec.workers
    return LocalEngine(workers=workers, gpus=gpus, timeout_s=spec.timeout_s)


def run_sweep(
    sweep: Sweep,
    *,
    results: Path,
    fresh: bool,
    began: float,
    retry: Collection[Status] = (),
    rows: Collection[str] = (),
    make_engine: EngineFor | None = None,
) -> Path:
    """Run what is left of a sweep.

    Args:
        results: studies' folder; the sweep's own is made inside.
        fresh: keep the old study aside and start over.
        began: `time.monotonic()` when the command started.
        retry: work that ended so is done again; its records are set aside.
        rows: of a table these alone are worked on, and the reference; () is all.
        make_engine: makes the engine that the sweep asks for, in place of `engine_for`.

    Returns:
        The study's folder; a search's has `front/` inside.

    Raises:
        StoreError: the study cannot be written or continued.
        DataError: the images are not there, or cannot be understood.
        MeasurementError: a target asks for what is not here.
        SpecError: what shows only on this machine, or in a search.
        KeyboardInterrupt: it was asked to stop, by SIGTERM and SIGHUP too.
    """
    folder = results / sweep.spec.name
    said: list[str] = []
    sweep = on_this_machine(sweep)
    if not fresh:
        sweep, said = as_begun(sweep, folder / "study.db")
    ready = prepared(sweep, checkpoints=folder / "checkpoints")
    if rows:
        ready = ready.only(rows)
    going_on = None if fresh else folder / "study.db"
    images = images_of(sweep, going_on) if ready.looks_at_images else None
    if images is not None:
        ready = ready.with_images(images)
    calibrations = None
    if isinstance(ready, PreparedSearch) and ready.spec.screening is not None:
        calibrations = None if fresh else noted_calibrations(folder / "study.db")
        calibrations = calibrations or ready.calibrations()
        ready = ready.screened_by(calibrations)
    new = [path for path in (folder, results) if not path.exists()]
    with open_study(
        sweep,
        folder,
        environment=environment(),
        fresh=fresh,
        retry=retry,
        images=images,
        say=said.append,
    ) as store:
        try:
            engine = (make_engine or engine_for)(sweep.spec.engine)
        except BaseException:  # a cluster that does not answer: nothing has begun
            _take_away(new)
            raise
        engine = _retrying(engine, sweep.spec.failures)
        if ready.chooses_runtimes and sweep.spec.engine.kind != "ray":  # nodes have their own
            among, more = choices(store, ready.runtimes_here, versions(ready.runtimes_here))
            ready, said = ready.with_runtimes(among), [*said, *more]
        if calibrations is not None:
            said = [*said, *note_calibrations(store, calibrations)]
        run = run_of(ready, store=store, engine=engine, began=began)
        run.say_all([*said, *(note(store, images) if images is not None else ())])
        with stopped_by_signals():  # after the engine is made: Ray takes SIGTERM for itself
            _to_its_end(run, engine)
    return folder


def _retrying(engine: Engine, failures: FailuresSpec) -> Engine:
    asked = failures.retries
    retries: dict[Status, int] = {
        "lost": asked.lost,
        "timeout": asked.timeout,
        "oom": asked.oom,
        "failed": asked.failed,
    }
    return RetryingEngine(engine, retries) if any(retries.values()) else engine


def _to_its_end(run: "Run", engine: Engine) -> None:
    try:
        run.to_its_end()
    except KeyboardInterrupt as stop:
        by = f" by {stop}" if str(stop) else ""
        with suppress(OSError):  # the terminal may be what hung up
            run.say(f"stopped{by}; the same command goes on from here")
        raise
    finally:
        engine.close()
        run.clock.note(busy_s=run.busy_s)
        with suppress(OSError):
            run.view.close()


def _take_away(folders: Sequence[Path]) -> None:
    """The folders made for a study that did not begin: its own, then the one around it."""
    if folders:
        shutil.rmtree(folders[0], ignore_errors=True)
    for around in folders[1:]:
        with suppress(OSError):  # somebody else put something there
            around.rmdir()


def run_of(
    ready: PreparedAblation | PreparedSearch,
    *,
    store: Store,
    engine: Engine,
    began: float | None = None,
    view_of: Callable[[ProgressState], SweepView] = view_for,
) -> "AblationRun | SearchRun":
    """What runs a sweep that is prepared.

    Args:
        began: `time.monotonic()` when the command started; None is now.
        view_of: makes who watches.
    """
    clock = StudyClock(store, time.monotonic() if began is None else began)
    if isinstance(ready, PreparedAblation):
        return AblationRun(ready=ready, store=store, engine=engine, clock=clock, view_of=view_of)
    return SearchRun(ready=ready, store=store, engine=engine, clock=clock, view_of=view_of)


@dataclass(slots=True, kw_only=True)
class Run(ABC):
    """A sweep under way: the driver between its store, its engine and who watches."""

    ready: Prepared
    store: Store
    engine: Engine
    clock: StudyClock
    view_of: Callable[[ProgressState], SweepView]
    busy_s: float = 0.0
    """Seconds that measured or trained."""
    schedule: Schedule = field(init=False)
    progress: ProgressState = field(init=False)
    view: SweepView = field(init=False)
    asked: Asked = field(init=False)
    said: deque[str] = field(default_factory=lambda: deque(maxlen=SAID_LINES))
    """The last lines that were said, which a page shows."""
    _noted_at: float = -math.inf

    def __post_init__(self) -> None:
        self.progress = ProgressState({label: ProgressRow() for label in self.labels()})
        self.view = self.view_of(self.progress)
        began_at = time.time() - (time.monotonic() - self.clock.began)
        self.asked = Asked(store=self.store, say=self.say, extend=self.extend, began_at=began_at)

    def to_its_end(self) -> None:
        """Drive what is left, and do what comes at its end."""
        self.schedule = self.ready.schedule(self.ready.history(self.store))
        self._open()
        self.asked.take()
        self.asked.must_go_on()
        self.end(self.ended() or self.drive(self.schedule, self.clock.searched_s))

    def drive(self, agenda: Agenda, searched_s: float | None = None) -> str:
        """Run an agenda to its end, and return why it ended.

        Args:
            searched_s: how long earlier runs searched; None where its time is not counted so.
        """
        searched_so_far_s = searched_s

        def note(wall_s: float) -> None:
            nonlocal searched_so_far_s
            searched_so_far_s = None if searched_s is None else wall_s
            if searched_s is not None:
                self._set_end(wall_s)  # a pause moves it
            self.clock.beat(busy_s=self.busy_s, searched_s=searched_so_far_s)
            self.asked.take()
            if time.monotonic() - self._noted_at >= BEAT_S:
                self._tell()

        try:
            return drive(
                agenda,
                self.store,
                self.engine,
                make_work=self.make_work,
                on_event=self.take,
                on_tick=note,
                is_held=lambda: self.asked.paused,
                wall_s=searched_s or 0.0,
                clock=self.clock.clock,
            )
        finally:
            self.clock.note(busy_s=self.busy_s, searched_s=searched_so_far_s)
            self._tell()

    def _set_end(self, searched_s: float) -> None:
        """When the minutes of a search's budget end, after so much of them."""
        spec = self.ready.sweep.spec
        if isinstance(spec, SearchSpec) and spec.budget.minutes is not None:
            self.progress.over_at = time.monotonic() + 60 * spec.budget.minutes - searched_s

    def _tell(self) -> None:
        """Note how far it is, for pages: they read the store, and nothing else."""
        self._noted_at = time.monotonic()
        about = {"at": time.time(), "host": socket.gethostname(), "pid": os.getpid()}
        found = self.progress.to_dict(self._noted_at)
        self.store.note("progress", {**about, **found, "said": list(self.said)})

    @abstractmethod
    def extend(self, asked: Request, name: str) -> str:
        """Go on for longer, and return what to say. Raises SpecError where that cannot be."""

    def ended(self) -> str:
        """Why it was over already when it was opened, or ""."""
        return ""

    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """Rows that are shown from the beginning."""

    @abstractmethod
    def opened(self) -> None:
        """Say and show where it stands, with what the store holds."""

    @abstractmethod
    def begun(self, work: Work) -> None:
        """A piece of work goes to the engine."""

    @abstractmethod
    def end(self, reason: str) -> None:
        """What comes when nothing is left, or the budget is."""

    def make_work(self, ask: Ask) -> Work:
        """The work that is asked for; who watches sees it begin."""
        work = self.ready.setting.work(ask.candidate, ask.phase, ask.need, origin=ask.origin)
        if ask.limits:
            task = PHASES.get(ask.phase).within(work.task, ask.limits)
            work = replace(work, task=task)
        self.begun(work)
        self.view.started(work)
        return work

    def take(self, event: Event) -> None:
        """Something happened."""
        if isinstance(event, Finished):
            self.busy_s += event.busy_s
            self.said.append(sentence_of(event))
        self.view.take(event)
        self.view.tick()

    def say(self, text: str) -> None:
        """Say a line, and keep it among the last."""
        self.said.append(text)
        self.view.say(text)

    def say_all(self, sentences: Iterable[str]) -> None:
        """Say each on a line of its own."""
        for sentence in sentences:
            self.say(sentence)

    def expect(self) -> None:
        """Show how much of each phase there is, and is done."""
        for phase, (total, done) in expected(self.schedule, self.ready.phases).items():
            self.progress.expect(phase, total, done)

    def _open(self) -> None:
        self.say_all(self.ready.notes())
        there = self.store.count()
        if there:
            self.say(f"going on: {counted(there, 'result')} there already")
        self.say_all(self.ready.about_machines(self.schedule.history.first_timed.values()))
        self.opened()


@dataclass(slots=True, kw_only=True)
class AblationRun(Run):
    """Rows under way; all are shown, and the table is made from the store."""

    ready: PreparedAblation

    def labels(self) -> tuple[str, ...]:
        """All rows."""
        return tuple(row.label for row in self.ready.rows)

    def opened(self) -> None:
        """Show what stands."""
        self.progress.show(record for _, record in self.store.records())
        self.expect()

    def extend(self, asked: Request, name: str) -> str:
        """Refused."""
        raise SpecError("a list of rows ends with its last; add rows to its file")

    def begun(self, work: Work) -> None:
        """Its row is shown already."""

    def end(self, reason: str) -> None:
        """Nothing is left to do."""


@dataclass(slots=True, kw_only=True)
class SearchRun(Run):
    """A search under way; its front, confirmed, and its files are made at its end."""

    ready: PreparedSearch
    confirm: Confirm | None = None
    """The agenda that comes behind the search."""

    def labels(self) -> tuple[str, ...]:
        """None: candidates come as they are proposed."""
        return ()

    def opened(self) -> None:
        """Nothing is shown before the first candidate; the minutes of the budget run."""
        self._set_end(self.clock.searched_s)

    def extend(self, asked: Request, name: str) -> str:
        """Go on under a larger budget."""
        budget = self.ready.spec.budget.extended(trials=asked.trials, minutes=asked.minutes)
        spec = self.ready.spec.model_copy(update={"budget": budget})
        sweep = replace(self.ready.sweep, spec=spec)
        more = extend_budget(self.store, sweep, asked=name)
        if not more:
            return "extended already"
        self.ready = replace(self.ready, sweep=sweep, spec=spec)
        said = f"the study grows: {'; '.join(more)}"
        if self.confirm is not None:
            resolved = self.store.path.with_name("sweep.resolved.yaml")
            return f"{said}; `evnas sweep {resolved}` searches on after the confirmation"
        self.schedule.extend(budget)
        self.expect()
        return said

    def ended(self) -> str:
        """A search that came to its end stays there, whatever its confirmation found since."""
        noted = self.store.meta("search") or {}
        return str(noted.get("ended", ""))

    def begun(self, work: Work) -> None:
        """Keep the progress small: the front and what is under way."""
        history = self.schedule.history
        self.progress.rows.setdefault(work.label, ProgressRow())
        for label in list(self.progress.rows)[:-SHOWN_ROWS]:
            if label not in history.front.labels and label not in self.progress.now:
                del self.progress.rows[label]
        self.expect()

    def expect(self) -> None:
        """What the search is to do, or then what the present front lacks."""
        if self.confirm is None:
            Run.expect(self)
            return
        lacking = Counter(ask.phase for ask in self.confirm.missing())
        for phase in self.progress.total:
            self.progress.expect(phase, lacking[phase], 0)

    def end(self, reason: str) -> None:
        """Confirm the front, and write what a search leaves."""
        say, history = self.say, self.schedule.history
        say(f"search over: {reason}")
        self.progress.over_at = math.inf  # a confirmation takes as long as it takes
        self.store.note("search", {"ended": reason, "trials": len(history.trials)})
        if history.all_in_vain:
            say(str(self.schedule.hopeless()))
        elif history.trials and not history.complete:
            say(nothing_completed(history))
        if self.ready.spec.confirm is not None:
            seeds = self.ready.spec.confirm.seeds
            self.confirm = Confirm(history, seeds, self.ready.full_budget)
            self.drive(self.confirm)
        self.say_all(write_end(self.ready, history, store=self.store))
        self.say_all(mixed_machines(record for _, record in self.store.records()))
        if self.ready.setting.checkpoints is not None:
            shutil.rmtree(self.ready.setting.checkpoints, ignore_errors=True)  # none goes on


def nothing_completed(history: History) -> str:
    """That no trial of a search has all objectives, and what ended the last that failed."""
    said = f"none of {counted(len(history.trials), 'trial')} was completed"
    ended = [t for t in history.trials.values() if t.ended is not None]
    if not ended:
        return said
    reason = (ended[-1].reason.strip().splitlines() or [""])[-1]
    return f"{said}; the last ended {ended[-1].ended}: {reason}"
