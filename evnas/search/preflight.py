"""What must hold before a search begins; `check` and `space` ask it too, and load no torch for it
unless a target's name depends on the machine."""

import re
import shlex
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from evnas.arch.spec import ArchSpec
from evnas.errors import SpecError, nearest
from evnas.predict.printed import known_recipes
from evnas.record import TargetFields
from evnas.search.state.objectives import is_trained, resolved_objectives
from evnas.space.space import SearchSpace
from evnas.sweep.constraints import resolved_constraints
from evnas.sweep.search_spec import SearchSpec
from evnas.sweep.spec import AblationSpec
from evnas.sweep.sweep import Sweep
from evnas.tables import PHASES, chooses, found_by, left_out_phases, phase_order, quantity_of
from evnas.words import counted

_BATCH = re.compile(r"@([\w.]+-)*b\d")
"""A target that is called by its batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a search's objectives and constraints ask for."""

    trains: bool
    wanted: frozenset[str]
    """Quantities that an objective or constraint names."""


def must_begin(spec: SearchSpec, base: ArchSpec, targets: Sequence[TargetFields]) -> Needs:
    """A search whose file is valid can be begun.

    Args:
        base: the architecture that its space changes.
        targets: its own, as far as they are settled.

    Raises:
        SpecError: an objective or constraint names no target of these, a warm start holds nothing
            for the space, or the strategy lacks what it starts from.
    """
    needs = needs_of(spec, targets)
    asked = spec.strategy
    if spec.warm_start and asked.own_rows:
        raise SpecError(f"{asked.kind} proposes its own rows and no others", "warm_start")
    if spec.screening is not None:
        _must_be_screenable(spec)
    proxy, full = spec.proxy, full_budget_of(spec, needs)
    found = found_by()
    whole = sorted(name for name in needs.wanted if PHASES.get(found[name]).trains_whole)
    if whole and asked.rungs_of(full):
        raise SpecError(
            f"{whole[0]} is of whole trainings, and {asked.kind} breaks them off at rungs; "
            "use strategy: evolution",
            "strategy",
        )
    if asked.needs_training and not full:
        raise SpecError(f"{asked.kind} needs an objective that training gives", "strategy")
    if proxy is not None:
        _must_be_whole_epochs(asked.rungs_of(full), full / proxy.epochs)
    space = SearchSpace.from_spec(spec.space, base)
    from evnas.search.strategies.warm import warm_candidates  # with stores, which rows do without

    warm = warm_candidates(spec.warm_start, space)
    asked.strategy(space, warm=warm, full_budget=full)
    return needs


def full_budget_of(spec: SearchSpec, needs: Needs) -> float:
    """Image presentations of a whole training; 0 where nothing is trained."""
    return float(spec.proxy.presentations) if spec.proxy is not None and needs.trains else 0.0


def cautions_about(wanted: Collection[str]) -> list[str]:
    """What phases have to say where one of their quantities is wanted."""
    asked = {found_by()[name] for name in wanted}
    cautions = [PHASES.get(name).caution for name in phase_order() if name in asked]
    return [caution for caution in cautions if caution]


def about_budget(spec: SearchSpec, full_budget: float) -> list[str]:
    """Sentences about a budget that ends nothing, or before anything is finished.

    Args:
        full_budget: image presentations of a whole training; 0 where nothing is trained.
    """
    budget, found = spec.budget, []
    least = spec.strategy.least_trials(full_budget)
    if budget.trials is not None and budget.trials < least:
        found.append(
            f"budget.trials is {budget.trials}, and {spec.strategy.kind} finishes a training only "
            f"with {counted(least, 'candidate')} that meet all constraints or more: give at least "
            "so many"
        )
    if budget.trials is None and budget.minutes is None and budget.device_minutes is None:
        found.append(
            "budget.patience alone says nothing of when the search ends: it goes on while the "
            "hypervolume grows; trials, minutes or device_minutes beside it would bound it"
        )
    return found


def needs_of(spec: SearchSpec, targets: Sequence[TargetFields]) -> Needs:
    """What objectives and constraints ask for. Raises SpecError where one names no target."""
    names = [o.metric for o in resolved_objectives(spec.objectives, targets)]
    names += [q for c in resolved_constraints(spec.constraints, targets) for q in c.quantities]
    return Needs(
        trains=any(is_trained(name) for name in names),
        wanted=frozenset(quantity_of(name) for name in names),
    )


def recipe_must_be_known(spec: AblationSpec | SearchSpec) -> None:
    """The recipe that predictions are for, where one is named, is one that they can know.

    Raises:
        SpecError: no printed architecture that predictions rest on is trained so, or the sweep
            is compared with that very paper, whose rows are held out.
    """
    name = spec.predict.recipe if spec.predict is not None else ""
    known = known_recipes()
    if name and name not in known:
        raise SpecError(
            f"no recipe is named {name!r}{nearest(name, sorted(known))} "
            f"(known: {', '.join(sorted(known))}; leave it out for one of your own)",
            "predict.recipe",
        )
    beside = spec.published.paper if isinstance(spec, AblationSpec) and spec.published else ""
    if name and name == beside:
        raise SpecError(
            f"{name} is the paper that the rows are compared with, so its printed rows are held "
            "out and its recipe is not known; leave it out",
            "predict.recipe",
        )


def _must_be_screenable(spec: SearchSpec) -> None:
    """Raises SpecError where no calibration could be of any use."""
    if spec.strategy.own_rows:
        reason = f"{spec.strategy.kind} measures each of its own rows, so nothing is screened"
        raise SpecError(reason, "screening")
    if spec.engine.kind != "local":
        reason = (
            "a calibration is of this machine, so screening needs engine local, got "
            f"{spec.engine.kind}"
        )
        raise SpecError(reason, "screening")
    named = [t for t in spec.targets if not t.by_command and t.mode == "inference"]
    if all(chooses(target.runtime) for target in named):
        raise SpecError(
            "a calibration is of one runtime, and no target names one (runtime best takes another "
            "for each candidate): name one, such as targets: [{runtime: openvino}]",
            "screening",
        )


def _must_be_whole_epochs(budgets: Sequence[float], images_per_epoch: float) -> None:
    broken = [b for b in budgets if b < images_per_epoch or b % images_per_epoch]
    if broken:
        raise SpecError(
            f"a rung must be whole epochs of {images_per_epoch:g} image presentations, got "
            f"{broken[0]:g}; nine proxy.epochs give rungs of 1, 3 and 9",
            "strategy.rungs",
        )


def targets_of(sweep: Sweep) -> list[TargetFields]:
    """The targets on this machine, as far as it has their devices."""
    if all(spec.is_settled for spec in sweep.spec.targets):
        return [spec.spelt() for spec in sweep.spec.targets]
    from evnas.search.setting import targets_here  # torch knows what `auto` means here

    return targets_here(sweep)


def one_and_the_same(targets: Sequence[TargetFields]) -> list[str]:
    """A sentence for each that stands several times."""
    found, ids = [], [target.id for target in targets]
    for name in dict.fromkeys(ids):
        places = [f"targets[{i}]" for i, other in enumerate(ids) if other == name]
        if len(places) > 1:
            found.append(
                f"{' and '.join(places)} are one target here, {name}: it is timed once, with the "
                f"budget_s of {places[0]}"
            )
    return found


def checked(sweep: Sweep) -> list[str]:
    """What `check` says beyond the file's own validity: sentences about phases that cannot be
    loaded, targets, values of the space that no architecture has, what is wanted, and the budget.

    Raises:
        SpecError: with its place in the file, where a search could not be begun.
    """
    targets = [spec.spelt() for spec in sweep.spec.targets]
    notes: list[str] = []
    try:
        recipe_must_be_known(sweep.spec)
        if _machine_decides(sweep):
            targets = targets_of(sweep)
        if isinstance(sweep.spec, SearchSpec):
            needs = must_begin(sweep.spec, sweep.base, targets)
            from evnas.space.dead import dead_values

            space = SearchSpace.from_spec(sweep.spec.space, sweep.base)
            notes = [str(dead) for dead in dead_values(space)]
            notes += cautions_about(needs.wanted)
            notes += about_budget(sweep.spec, full_budget_of(sweep.spec, needs))
    except SpecError as e:
        raise sweep.document.blame(e) from None
    notes = [*left_out_phases(), *one_and_the_same(targets), *notes]
    return [*notes, *_absent_programs(sweep)]


def _absent_programs(sweep: Sweep) -> list[str]:
    """A sentence for each command whose program is not found on this machine."""
    found = []
    for i, spec in enumerate(sweep.spec.targets):
        program = shlex.split(spec.command)[0] if spec.by_command else ""
        if program and shutil.which(program) is None:
            found.append(f"targets[{i}].command: the program {program!r} is not found here")
    return found


def _machine_decides(sweep: Sweep) -> bool:
    """Whether the file alone cannot tell which target a name means, or whether two are one.

    That takes torch. Names such as `@cpu` are settled by targets that spell their devices out.
    """
    targets, wanted = sweep.spec.targets, sweep.spec.named_quantities
    if all(spec.is_settled for spec in targets):
        return False
    devices = [spec.device for spec in targets]
    if "auto" in devices and len(set(devices)) > 1:
        return True
    named = any("@" in text for text in wanted)
    return named and ("auto" in devices or any(_BATCH.search(text) for text in wanted))
