"""A sweep made ready on this machine: what it means for the driver, before anything runs."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from evnas.errors import SpecError, nearest
from evnas.phases.base import Goal
from evnas.proxy.fingerprint import KnownImages
from evnas.record import Record
from evnas.search.driver import Schedule
from evnas.search.preflight import must_begin, one_and_the_same, target_ids
from evnas.search.setting import SweepSetting, missing, needs_of, reference_macs
from evnas.search.state.history import History
from evnas.search.state.machines import taken_elsewhere
from evnas.search.state.objectives import resolved_constraints, resolved_objectives
from evnas.search.strategies.rows import Rows, evaluated
from evnas.search.strategies.warm import warm_candidates
from evnas.space.space import SearchSpace
from evnas.store import Store
from evnas.sweep.candidate import Candidate
from evnas.sweep.search_spec import SearchSpec
from evnas.sweep.sweep import Sweep


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A sweep with its setting: an ablation's rows, or a search and its space."""

    sweep: Sweep
    setting: SweepSetting
    full_budget: float = 0.0
    """Image presentations of a whole training; 0 where nothing is trained."""
    rows: tuple[Candidate, ...] = ()
    """Of an ablation, those that are evaluated, the reference first."""
    search: SearchSpec | None = None
    space: SearchSpace | None = None

    @property
    def targets(self) -> tuple[str, ...]:
        """Ids of the targets that the reference is timed on, each once."""
        return tuple(self.setting.targets_of(self.sweep.reference))

    @property
    def looks_at_images(self) -> bool:
        """Whether anything is trained or scored."""
        return self.sweep.spec.proxy is not None and bool(self.full_budget or self.setting.scores)

    def with_images(self, images: KnownImages) -> "Prepared":
        """The same, with the images that its workers are to have."""
        return replace(self, setting=replace(self.setting, images=images.in_short))

    @property
    def phases(self) -> dict[str, int]:
        """Phase -> pieces of work that a candidate of a search has of it; one seed is trained."""
        found: dict[str, int] = {}
        goal = Goal(budget=self.full_budget)
        for phase, _ in needs_of(self.setting, self.sweep.reference, goal):
            found[phase] = found.get(phase, 0) + 1
        return found

    def notes(self) -> list[str]:
        """Sentences about targets that are left out, or are one."""
        absent = self.setting.absent
        ids = [x for i, x in enumerate(target_ids(self.sweep)) if i not in absent]
        left = [f"target {i + 1} is left out: {reason}" for i, reason in absent.items()]
        return left + one_and_the_same(ids)

    def about_machines(self, records: Iterable[Record]) -> list[str]:
        """What is to be said where speeds were taken on another machine so far."""
        if self.sweep.spec.engine.kind == "ray":  # nodes time, wherever the driver is
            return []
        return taken_elsewhere(records, searching=self.search is not None)

    def history(self, store: Store) -> History:
        """What the store holds."""
        objectives = () if self.search is None else self.search.objectives
        history = History(
            objectives=resolved_objectives(objectives, self.targets), full_budget=self.full_budget
        )
        return history.take_all(store.records())

    def schedule(self, history: History) -> Schedule:
        """What the driver asks what is next."""
        if self.search is None or self.space is None:
            schedule = Schedule(
                history=history,
                strategy=Rows(self.rows, self.sweep.spec.seeds),
                setting=self.setting,
            )
            schedule.aim_at_all()
            return schedule
        asked = self.search.strategy
        warm = warm_candidates(self.search.warm_start, self.space)
        schedule = Schedule(
            history=history,
            strategy=asked.strategy(self.space, warm=warm, full_budget=self.full_budget),
            setting=self.setting,
            constraints=resolved_constraints(self.search.constraints, self.targets),
            budget=self.search.budget,
            first_budget=0.0 if self.setting.rungs else self.full_budget,
            seeds=asked.seeds,
        )
        schedule.resume()
        return schedule


def prepared(sweep: Sweep, *, checkpoints: Path = Path()) -> Prepared:
    """Settle a sweep on this machine.

    Args:
        checkpoints: where trainings that break off at a rung are kept.

    Raises:
        SpecError: the space cannot be, an objective needs what the sweep lacks, the base lies
            outside the space where a strategy starts from it, or timm lacks a row's model.
        MeasurementError: a target is not here.
    """
    if sweep.spec.search is None:
        return _rows(sweep)
    spec = sweep.spec.search
    space = SearchSpace.from_spec(spec.space, sweep.base)
    setting = SweepSetting(sweep=sweep, reference_macs=reference_macs(sweep))
    needs = must_begin(sweep, list(setting.targets_of(sweep.reference)))
    proxy = sweep.spec.proxy
    full = float(proxy.presentations) if proxy is not None and needs.trains else 0.0
    rungs = spec.strategy.rungs_of(full)
    return Prepared(
        sweep=sweep,
        setting=replace(setting, scores=needs.scores, rungs=rungs, checkpoints=checkpoints),
        full_budget=full,
        search=spec,
        space=space,
    )


def _rows(sweep: Sweep) -> Prepared:
    absent = missing(sweep)
    _must_be_known(sweep)
    proxy = sweep.spec.proxy
    return Prepared(
        sweep=sweep,
        setting=SweepSetting(sweep=sweep, reference_macs=reference_macs(sweep), absent=absent),
        full_budget=0.0 if proxy is None else float(proxy.presentations),
        rows=tuple(evaluated(sweep)),
    )


def _must_be_known(sweep: Sweep) -> None:
    """Timm has the peers that rows name."""
    peers = [c for c in sweep.candidates if c.timm]
    if peers:
        import timm  # heavy, and few sweeps have peers
    for candidate in peers:
        if not timm.is_model(candidate.timm):
            hint = nearest(candidate.timm, timm.list_models())
            path = f"rows.{candidate.label}.timm"
            raise SpecError(f"timm has no model {candidate.timm!r}{hint}", path)
