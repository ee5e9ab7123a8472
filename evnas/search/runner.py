"""Runs a sweep: phase by phase, each result in the store before the next is asked for.

Broken off at any moment, it goes on where it was: what the store holds is not done again.
"""

import importlib.util
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from evnas.errors import MeasurementError, SpecError, nearest
from evnas.measure.conditions import environment
from evnas.record import Phase, Record
from evnas.search import plan
from evnas.search.begin import one_and_the_same, target_ids
from evnas.search.board import Board, Row
from evnas.search.engine import Engine
from evnas.search.engine_local import LocalEngine
from evnas.search.live import View, view_for
from evnas.search.machines import taken_elsewhere
from evnas.search.session import run_search_sweep
from evnas.search.study import add_time, open_study
from evnas.search.work import Finished, Work
from evnas.space.sweep_parts import EngineSpec
from evnas.store import Store
from evnas.sweep import Sweep

TICK_S = 0.25


def run_sweep(sweep: Sweep, *, results: Path, fresh: bool, began: float) -> Path:
    """Run what is left of a sweep.

    Args:
        results: studies' folder; the sweep's own is made inside.
        fresh: keep the old study aside and start over.
        began: `time.monotonic()` when the command started.

    Returns:
        The study's folder.

    Raises:
        StoreError: the study cannot be written or continued.
        MeasurementError: a target asks for what is not here.
    """
    if sweep.spec.space is not None:
        return run_search_sweep(
            sweep, results=results, fresh=fresh, began=began, engine_for=engine_for
        )
    folder = results / sweep.spec.name
    absent = _must_be_here(sweep)
    with open_study(sweep, folder, environment=environment(), fresh=fresh) as store:
        board = Board({c.label: Row() for c in plan.evaluated(sweep)})
        engine = engine_for(sweep.spec.engine)
        view = view_for(board)
        run = Run(sweep=sweep, store=store, engine=engine, board=board, view=view)
        for index, reason in absent.items():
            view.say(f"target {index + 1} is left out: {reason}")
        try:
            run.all_phases()
        except KeyboardInterrupt:
            view.say("stopped; the same command goes on from here")
            raise
        finally:
            view.close()
            engine.close()
            add_time(store, wall_s=time.monotonic() - began, busy_s=run.busy_s)
    return folder


def _must_be_here(sweep: Sweep) -> dict[int, str]:
    """What a sweep names and only this machine knows: devices, and models of timm.

    Returns:
        The targets that this machine lacks, by their place, with the reason.

    Raises:
        MeasurementError: no target's device is here.
        SpecError: timm has no such model.
    """
    absent = plan.missing(sweep)
    peers = [c for c in sweep.candidates if c.timm]
    if peers:
        import timm  # heavy, and few sweeps have peers
    for candidate in peers:
        if not timm.is_model(candidate.timm):
            hint = nearest(candidate.timm, timm.list_models())
            path = f"rows.{candidate.label}.timm"
            raise SpecError(f"timm has no model {candidate.timm!r}{hint}", path)
    return absent


def engine_for(spec: EngineSpec) -> Engine:
    """The engine that a sweep asks for."""
    if spec.kind == "ray":
        missing = [n for n in ("ray", "pyarrow") if importlib.util.find_spec(n) is None]
        if missing:
            raise SpecError(
                f"{missing[0]} is not installed: pip install 'evnas[ray]'", "engine.kind"
            )
        from evnas.search.tune.engine import TuneEngine  # ray is an extra

        return TuneEngine(address=spec.address, resources=spec.resources, timeout_s=spec.timeout_s)
    gpus = torch.cuda.device_count()
    workers = max(1, gpus) if spec.workers == "auto" else spec.workers
    return LocalEngine(workers=workers, gpus=gpus, timeout_s=spec.timeout_s)


@dataclass(kw_only=True)
class Run:
    """A sweep under way."""

    sweep: Sweep
    store: Store
    engine: Engine
    board: Board
    view: View
    busy_s: float = 0.0
    """Seconds that measured or trained."""
    done: dict[tuple[str, str, Phase, int, float, str], Record] = field(init=False)

    def __post_init__(self) -> None:
        self.done = {record.key: record for _, record in self.store.records()}
        self.board.show(self.done.values())

    def all_phases(self) -> None:
        """Counts of all rows, then throughput of all, then proxies of all."""
        counts, proxies = plan.counts(self.sweep), plan.proxies(self.sweep)
        kept = self._kept(counts)
        if self.done:
            self.view.say(f"going on: {len(self.done)} results stand already")
            local = self.sweep.spec.engine.kind == "local"  # of a cluster any node may time
            records = self.done.values() if local else ()
            for sentence in taken_elsewhere(records, searching=False):
                self.view.say(sentence)
        rows = len(plan.evaluated(self.sweep))
        self.board.expect("count", len(counts), kept)
        self.board.expect("speed", rows * len(self._present()), 0)
        self.board.expect("proxy", len(proxies), self._kept(proxies))
        self._phase("count", counts)
        self._phase("speed", plan.speeds(self.sweep, self._reference_macs(counts)))
        self._phase("proxy", proxies)

    def _phase(self, phase: Phase, works: Sequence[Work]) -> None:
        self.board.expect(phase, len(works), self._kept(works))
        left = [work for work in works if work.key not in self.done]
        under_way = 0
        while left or under_way:
            while left and under_way < self.engine.slots:
                work = left.pop(0)
                self.engine.submit(work)
                self.view.started(work)
                under_way += 1
            for event in self.engine.wait(TICK_S):
                if isinstance(event, Finished):
                    self._keep(event)
                    under_way -= 1
                self.view.take(event)
            self.view.tick()

    def _keep(self, event: Finished) -> None:
        self.store.append(event.record)
        self.done[event.record.key] = event.record
        self.busy_s += event.busy_s

    def _present(self) -> list[str]:
        """Ids of the targets that this machine has, each once."""
        ids, absent = target_ids(self.sweep), plan.missing(self.sweep)
        here = [name for i, name in enumerate(ids) if i not in absent]
        for sentence in one_and_the_same(here) if not self.done else ():
            self.view.say(sentence)
        return list(dict.fromkeys(here))

    def _kept(self, works: Sequence[Work]) -> int:
        return sum(work.key in self.done for work in works)

    def _reference_macs(self, counts: Sequence[Work]) -> float:
        record = self.done[counts[0].key]
        if record.status != "complete":
            raise MeasurementError(
                f"the reference row {record.label} could not be counted: {record.error}"
            )
        return record.values["macs_exact"]
