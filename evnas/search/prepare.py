"""A sweep made ready on this machine: what it means for the driver, before anything runs."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from evnas.errors import SpecError
from evnas.latency.calibration import Calibration
from evnas.measure.ranking import considered
from evnas.phases.base import Goal, TimedOn
from evnas.proxy.fingerprint import KnownImages
from evnas.record import Outline, Record, TargetFields
from evnas.search.driver import Schedule
from evnas.search.preflight import (
    about_budget,
    cautions_about,
    full_budget_of,
    must_begin,
    one_and_the_same,
    recipe_must_be_known,
    targets_of,
)
from evnas.search.screening import Screen, calibrations_of, screen_of
from evnas.search.setting import SweepSetting, missing, needs_of, reference_macs
from evnas.search.state.history import History
from evnas.search.state.machines import taken_elsewhere
from evnas.search.state.objectives import resolved_objectives
from evnas.search.strategies.rows import Rows, chosen, evaluated
from evnas.search.strategies.warm import warm_candidates
from evnas.space.space import SearchSpace
from evnas.store import Store
from evnas.sweep.candidate import Candidate
from evnas.sweep.constraints import resolved_constraints
from evnas.sweep.search_spec import SearchSpec
from evnas.sweep.spec import AblationSpec
from evnas.sweep.sweep import Sweep
from evnas.tables import chooses, left_out_phases, scores_among


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared(ABC):
    """A sweep with its setting; it is a `PreparedAblation` or a `PreparedSearch`."""

    sweep: Sweep
    setting: SweepSetting
    full_budget: float
    """Image presentations of a whole training; 0 where nothing is trained."""

    @property
    def targets(self) -> tuple[TargetFields, ...]:
        """The targets that the reference is timed on, each once."""
        return _timed_on(self.setting, self.sweep)

    @property
    def looks_at_images(self) -> bool:
        """Whether anything is trained or scored."""
        return self.sweep.spec.proxy is not None and bool(
            self.full_budget or scores_among(self.setting.wanted)
        )

    def with_images(self, images: KnownImages) -> Self:
        """The same, with the images that its workers are to have."""
        return replace(self, setting=replace(self.setting, images=images.in_short))

    @property
    def chooses_runtimes(self) -> bool:
        """Whether a target's runtime is chosen for each candidate."""
        return any(chooses(target.runtime) for target in self.targets)

    @property
    def runtimes_here(self) -> tuple[str, ...]:
        """What is chosen among on this machine, on any of the targets that leave it open."""
        open_ = [t.device for t in self.targets if chooses(t.runtime)]
        return tuple(dict.fromkeys(name for device in open_ for name in considered(device)))

    def with_runtimes(self, among: tuple[str, ...]) -> Self:
        """The same, with what its workers are to choose among."""
        return replace(self, setting=replace(self.setting, among=among))

    @property
    def phases(self) -> dict[str, int]:
        """Phase -> pieces of work that a candidate of a search has of it; one seed is trained."""
        found: dict[str, int] = {}
        goal = Goal(budget=self.full_budget)
        for phase, _ in needs_of(self.setting, self.sweep.reference, goal):
            found[phase] = found.get(phase, 0) + 1
        return found

    def notes(self) -> list[str]:
        """Sentences about phases and targets that are left out, and targets that are one."""
        absent = self.setting.absent
        here = [x for i, x in enumerate(targets_of(self.sweep)) if i not in absent]
        left = [f"target {i + 1} is left out: {reason}" for i, reason in absent.items()]
        return [*left_out_phases(), *left, *one_and_the_same(here), *self._about_epochs()]

    def _about_epochs(self) -> list[str]:
        """That trainings show less than they are asked for, where the images are known."""
        proxy, there = self.sweep.spec.proxy, self.training_images
        if proxy is None or not self.full_budget or not 0 < there < proxy.images_per_epoch:
            return []
        return [
            f"an epoch is at most all {there:,} training images, not {proxy.images_per_epoch:,}: "
            f"a whole training shows {proxy.shown(there):,} in place of "
            f"{proxy.presentations:,}; ask for more and shorter epochs"
        ]

    @property
    def training_images(self) -> int:
        """How many there are; 0 where they were not looked at."""
        return int(self.setting.images.get("training", 0))

    def about_machines(self, records: Iterable[Record | Outline]) -> list[str]:
        """What is to be said where speeds were taken on another machine so far."""
        if self.sweep.spec.engine.kind == "ray":  # nodes time, wherever the driver is
            return []
        return taken_elsewhere(records, given_up=self.gives_up_unlike_machines)

    @property
    @abstractmethod
    def gives_up_unlike_machines(self) -> bool:
        """Whether what is timed on an unlike machine is given up."""

    @abstractmethod
    def only(self, rows: Collection[str]) -> Self:
        """The same with some rows alone to evaluate, which `must_have_rows` has seen, and the
        reference."""

    @abstractmethod
    def history(self, store: Store) -> History:
        """What the store holds."""

    @abstractmethod
    def schedule(self, history: History) -> Schedule:
        """What the driver asks what is next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedAblation(Prepared):
    """Rows to evaluate."""

    spec: AblationSpec
    rows: tuple[Candidate, ...]
    """Those that are evaluated, the reference first."""

    @property
    def gives_up_unlike_machines(self) -> bool:
        """No: the table says of each row where it was timed."""
        return False

    def only(self, rows: Collection[str]) -> Self:
        """What the others have stays in the table."""
        return replace(self, rows=tuple(chosen(self.rows, self.sweep, rows)))

    def history(self, store: Store) -> History:
        """What the store holds."""
        return History(objectives=(), full_budget=self.full_budget).take_store(store)

    def schedule(self, history: History) -> Schedule:
        """All rows through one phase before the next."""
        schedule = Schedule(
            history=history,
            strategy=Rows(self.rows, self.spec.seeds),
            setting=self.setting,
            stop_after=self.spec.failures.stop_after,
        )
        schedule.aim_at_all()
        return schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedSearch(Prepared):
    """A space, and who proposes from it."""

    spec: SearchSpec
    space: SearchSpace
    screen: Screen | None = None

    def calibrations(self) -> list[Calibration]:
        """Of its targets, as this machine's tables have them. Raises SpecError at `screening`
        where one was not calibrated."""
        targets = tuple(self.setting.targets_of(self.sweep.reference).values())
        return calibrations_of(targets, self.space, self.sweep.base)

    def screened_by(self, calibrations: Sequence[Calibration]) -> "PreparedSearch":
        """The same, with candidates dropped by these."""
        asked = self.spec.screening
        assert asked is not None
        screen = screen_of(
            calibrations,
            self.sweep.base,
            draws=asked.draws,
            counted_at=self.setting.counted_at(self.sweep.reference),
        )
        return replace(self, screen=screen)

    @property
    def gives_up_unlike_machines(self) -> bool:
        """Yes: fronts compare absolute speeds."""
        return True

    def only(self, rows: Collection[str]) -> Self:
        """It has none: candidates come as they are proposed."""
        return self

    def notes(self) -> list[str]:
        """Also what has to be said of its budget, and of what it wants."""
        cautions = cautions_about(self.setting.wanted)
        return [*Prepared.notes(self), *cautions, *about_budget(self.spec, self.full_budget)]

    def history(self, store: Store) -> History:
        """What the store holds, by the objectives' own targets."""
        history = History(
            objectives=resolved_objectives(self.spec.objectives, self.targets),
            constraints=resolved_constraints(self.spec.constraints, self.targets),
            full_budget=self.full_budget,
        )
        history.take_store(store)
        return history.await_again(store.records_set_aside())

    def schedule(self, history: History) -> Schedule:
        """A candidate at a time through all phases, as the strategy proposes."""
        asked = self.spec.strategy
        warm = warm_candidates(self.spec.warm_start, self.space)
        strategy = asked.strategy(self.space, warm=warm, full_budget=self.full_budget)
        schedule = Schedule(
            history=history,
            strategy=strategy if self.screen is None else strategy.sifted(self.screen),
            screen=self.screen,
            setting=self.setting,
            budget=self.spec.budget,
            first_budget=0.0 if self.setting.rungs else self.full_budget,
            seeds=asked.seeds,
            stop_after=self.spec.failures.stop_after,
        )
        schedule.resume()
        return schedule


def prepared(
    sweep: Sweep, *, checkpoints: Path | None = None
) -> PreparedAblation | PreparedSearch:
    """Settle a sweep on this machine.

    Args:
        checkpoints: a folder of its own for trainings that break off at a rung, which goes with
            the search's end; None where nothing is to run.

    Raises:
        SpecError: the space cannot be, an objective needs what the sweep lacks, the base lies
            outside the space where a strategy starts from it, timm lacks a row's model, or nobody
            prints results of the recipe that is named.
        MeasurementError: a target is not here.
    """
    spec = sweep.spec
    recipe_must_be_known(spec)
    if isinstance(spec, AblationSpec):
        return _ablation(sweep, spec)
    return _search(sweep, spec, checkpoints)


def _ablation(sweep: Sweep, spec: AblationSpec) -> PreparedAblation:
    absent = missing(sweep)
    _must_be_known(sweep)
    return PreparedAblation(
        sweep=sweep,
        spec=spec,
        setting=SweepSetting(sweep=sweep, reference_macs=reference_macs(sweep), absent=absent),
        full_budget=0.0 if spec.proxy is None else float(spec.proxy.presentations),
        rows=tuple(evaluated(sweep)),
    )


def _search(sweep: Sweep, spec: SearchSpec, checkpoints: Path | None) -> PreparedSearch:
    space = SearchSpace.from_spec(spec.space, sweep.base)
    setting = SweepSetting(sweep=sweep, reference_macs=reference_macs(sweep))
    needs = must_begin(spec, sweep.base, _timed_on(setting, sweep))
    if "energy_mj_per_image" in needs.wanted and spec.engine.kind != "ray":
        _energy_must_be_counted(setting.targets_of(sweep.reference).values())
    full = full_budget_of(spec, needs)
    rungs = spec.strategy.rungs_of(full)
    return PreparedSearch(
        sweep=sweep,
        spec=spec,
        setting=replace(
            setting,
            wanted=needs.wanted,
            rungs=rungs,
            checkpoints=checkpoints,
        ),
        full_budget=full,
        space=space,
    )


def _energy_must_be_counted(targets: Iterable[TimedOn]) -> None:
    """A search by energy has targets that count it; of a cluster's nodes nobody knows yet."""
    from evnas.measure.timing.energy import why_no_energy  # few searches ask for it

    for on in targets:
        why = "a command's output does not tell it"
        if on.command is None:
            why = why_no_energy(str(on.fields["device"]))
        if why:
            place = f"targets[{on.index}]"
            raise SpecError(f"energy_mj_per_image cannot be measured here: {why}", place)


def _timed_on(setting: SweepSetting, sweep: Sweep) -> tuple[TargetFields, ...]:
    on = setting.targets_of(sweep.reference).values()
    return tuple(TargetFields(**each.fields) for each in on)


def _must_be_known(sweep: Sweep) -> None:
    """Timm has the peers that rows name."""
    peers = [c for c in sweep.candidates if c.timm]
    if peers:
        from evnas.measure.models import must_be_a_peer  # heavy, and few sweeps have peers
    for candidate in peers:
        must_be_a_peer(candidate.timm, f"rows.{candidate.label}.timm")
