"""A search from its sweep to its front: opens the study, wires loop and engine, writes the end."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evnas.measure.conditions import environment
from evnas.measure.flops import count
from evnas.measure.target import Target
from evnas.record import Phase, mixed_machines
from evnas.search import plan
from evnas.search.begin import must_begin, one_and_the_same
from evnas.search.board import Board, Row
from evnas.search.confirm import Confirm
from evnas.search.ending import write_end
from evnas.search.engine import Engine
from evnas.search.history import History
from evnas.search.live import View, view_for
from evnas.search.loop import Ask, Search, run_search
from evnas.search.machines import taken_elsewhere
from evnas.search.objectives import resolved_constraints, resolved_objectives
from evnas.search.strategies.build import build_strategy
from evnas.search.strategies.warm import warm_candidates
from evnas.search.study import add_time, open_study
from evnas.search.work import Event, Finished, Work
from evnas.space.search_spec import SearchSpec
from evnas.space.space import SearchSpace
from evnas.space.sweep_parts import EngineSpec
from evnas.store import Store
from evnas.sweep import Sweep

EngineFor = Callable[[EngineSpec], Engine]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A search whose targets are settled on this machine."""

    sweep: Sweep
    spec: SearchSpec
    space: SearchSpace
    targets: tuple[Target, ...]
    trains: bool
    scores: tuple[str, ...] = ()
    """Training-free scores that an objective or constraint names."""
    checkpoints: Path = Path()
    """Where trainings that break off at a rung are kept."""

    @property
    def phases(self) -> dict[Phase, int]:
        """Pieces of work that a trial has of each phase; one seed is trained."""
        all_of_them: dict[Phase, int] = {
            "count": 1,
            "score": int(bool(self.scores)),
            "speed": len(set(self.targets)),
            "proxy": int(self.trains),
        }
        return {phase: each for phase, each in all_of_them.items() if each}

    @property
    def images_per_epoch(self) -> float:
        """Image presentations of one epoch of the proxy."""
        proxy = self.sweep.spec.proxy
        assert proxy is not None
        return proxy.presentations / proxy.epochs

    @property
    def full_budget(self) -> float:
        """Image presentations of a whole proxy; 0 when nothing is to be trained."""
        proxy = self.sweep.spec.proxy
        return float(proxy.presentations) if proxy is not None and self.trains else 0.0

    def notes(self, store: Store) -> list[str]:
        """What is to be said of its targets before it goes on."""
        same = one_and_the_same([t.id for t in self.targets])
        if self.sweep.spec.engine.kind == "ray":  # nodes time, wherever the driver is
            return same
        return same + taken_elsewhere((r for _, r in store.records()), searching=True)

    def history(self, store: Store) -> History:
        """What the store holds of this search."""
        ids = [t.id for t in self.targets]
        objectives = resolved_objectives(self.spec.objectives, ids)
        history = History(objectives=objectives, full_budget=self.full_budget)
        return history.take_all(store.records())

    def search(self, history: History) -> Search:
        """The loop's decisions, with strategy and constraints."""
        strategy = self.spec.strategy
        ids = [t.id for t in self.targets]
        return Search(
            history=history,
            strategy=build_strategy(
                strategy,
                self.space,
                warm=warm_candidates(self.spec.warm_start, self.space),
                full_budget=self.full_budget,
            ),
            constraints=resolved_constraints(self.spec.constraints, ids),
            targets=list(dict.fromkeys(ids)),  # two may be one on this machine
            budget=self.spec.budget,
            first_budget=0.0 if strategy.kind == "mo_asha" else self.full_budget,
            scores=bool(self.scores),
            seeds=tuple(range(strategy.replicates)) if strategy.kind == "one_at_a_time" else (0,),
        )

    def work(self, ask: Ask) -> Work:
        """What an engine needs for one phase."""
        shared: dict[str, Any] = {
            "label": ask.label,
            "digest": ask.arch.digest,
            "arch": ask.arch.to_dict(),
            "phase": ask.phase,
            "seed": ask.seed,
            "origin": ask.origin,
        }
        if ask.phase == "speed":
            index = [t.id for t in self.targets].index(ask.target)
            target = self.targets[index]
            budget_s = self.sweep.spec.targets[index].budget_s
            return Work(
                **shared,
                target=ask.target,
                target_index=index,
                resolution=target.resolution,
                speed=plan.target_fields(target) | {"budget_s": budget_s},
                reference=self.sweep.base.to_dict(),
            )
        if ask.phase in ("proxy", "score"):
            assert self.sweep.spec.proxy is not None
            proxy = self.sweep.spec.proxy.model_dump(mode="json")
            if ask.phase == "score":
                return Work(**shared, proxy=proxy, scores=self.scores)
            return Work(**shared, budget=ask.budget, proxy=proxy, **self._rung(ask))
        return Work(
            **shared, resolution=self.sweep.spec.resolution, convention=self.sweep.spec.convention
        )

    def _rung(self, ask: Ask) -> dict[str, Any]:
        """Where a training breaks off, and what the next rung goes on from; a whole one: nothing.

        A rung is the beginning of the whole schedule, never a schedule of its own, so going on
        from it gives the curve of an unbroken training.
        """
        if self.spec.strategy.kind != "mo_asha":
            return {}
        file = self.checkpoints / f"{ask.arch.digest}-seed{ask.seed}.pt"
        whole = ask.budget >= self.full_budget
        epoch = None if whole else round(ask.budget / self.images_per_epoch)
        return {"until_epoch": epoch, "checkpoint": str(file.absolute())}


def prepare(sweep: Sweep) -> Session:
    """Settle a search on this machine.

    Raises:
        SpecError: the space cannot be, an objective needs what the sweep lacks, or the base lies
            outside the space where a strategy starts from it.
        MeasurementError: a target is not here.
    """
    spec = sweep.spec.search
    assert spec is not None
    space = SearchSpace.from_spec(spec.space, sweep.base)
    macs = count(sweep.base, sweep.spec.resolution).macs["exact"]
    counted = plan.counted_resolution(sweep, sweep.reference)
    targets = tuple(
        plan.settled(t, sweep.reference, macs=float(macs), counted=counted)
        for t in sweep.spec.targets
    )
    needs = must_begin(sweep, [t.id for t in targets])
    return Session(
        sweep=sweep,
        spec=spec,
        space=space,
        targets=targets,
        trains=needs.trains,
        scores=needs.scores,
    )


def run_search_sweep(
    sweep: Sweep, *, results: Path, fresh: bool, began: float, engine_for: EngineFor
) -> Path:
    """Run a search, or go on with it, and write its front.

    Args:
        results: studies' folder; the search's own is made inside.
        fresh: keep the old study aside and start over.
        began: `time.monotonic()` when the command started.
        engine_for: makes the engine that the sweep asks for.

    Returns:
        The study's folder, with `front/` inside.
    """
    folder = results / sweep.spec.name
    session = replace(prepare(sweep), checkpoints=folder / "checkpoints")
    with open_study(sweep, folder, environment=environment(), fresh=fresh) as store:
        search = session.search(session.history(store))
        engine = engine_for(sweep.spec.engine)
        watch = _Watch(session=session, history=search.history)
        for sentence in session.notes(store):
            watch.view.say(sentence)
        try:
            reason = _searched(search, store, engine, watch=watch)
            store.note("search", {"ended": reason, "trials": len(search.history.trials)})
            for line in write_end(sweep, session.space, search.history, store=store):
                watch.view.say(line)
            for line in mixed_machines(record for _, record in store.records()):
                watch.view.say(line)
            shutil.rmtree(session.checkpoints, ignore_errors=True)  # the search is over
        except KeyboardInterrupt:
            watch.view.say("stopped; the same command goes on from here")
            raise
        finally:
            watch.view.close()
            engine.close()
            add_time(store, wall_s=time.monotonic() - began, busy_s=watch.busy_s)
    return folder


def _searched(search: Search, store: Store, engine: Engine, *, watch: "_Watch") -> str:
    """Search, then take the front again; why the search ended."""
    before = float((store.meta("time") or {}).get("wall_s", 0.0))
    if store.last_id():
        watch.view.say(f"going on: {store.last_id()} results stand already")
    reason = run_search(
        search, store, engine, make_work=watch.make_work, on_event=watch.take, wall_s=before
    )
    watch.view.say(f"search over: {reason}")
    if search.all_in_vain():
        watch.view.say(str(search.hopeless()))
    session = watch.session
    if session.spec.confirm is not None:
        confirm = Confirm(search.history, session.spec.confirm.seeds, session.full_budget)
        confirm.run(store, engine, make_work=watch.make_work, on_event=watch.take)
    return reason


@dataclass(slots=True, kw_only=True)
class _Watch:
    """Tells the view what happens, and keeps its state small: the front and what is under way."""

    session: Session
    history: History
    board: Board = field(default_factory=lambda: Board({}))
    view: View = field(init=False)
    busy_s: float = 0.0

    def __post_init__(self) -> None:
        self.view = view_for(self.board)

    def make_work(self, ask: Ask) -> Work:
        work = self.session.work(ask)
        self._expect(work)
        self.view.started(work)
        return work

    def take(self, event: Event) -> None:
        if isinstance(event, Finished):
            self.busy_s += event.busy_s
        self.view.take(event)
        self.view.tick()

    def _expect(self, work: Work) -> None:
        self.board.rows.setdefault(work.label, Row())
        for label in list(self.board.rows)[:-12]:
            if label not in self.history.front.labels and label not in self.board.now:
                del self.board.rows[label]
        total = self.session.spec.budget.trials or self.history.next_number
        for phase, each in self.session.phases.items():
            done = sum(any(d[0] == phase for d in t.done) for t in self.history.trials.values())
            self.board.expect(phase, max(total, done + 1) * each, done * each)
