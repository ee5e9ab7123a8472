"""From `strategy:` of a sweep to the strategy."""

from collections.abc import Sequence
from pathlib import Path

from evnas.errors import SpecError
from evnas.search.propose import Strategy
from evnas.search.strategies.drawing import Ablation, Grid, Random, one_at_a_time
from evnas.search.strategies.evolution import Evolution
from evnas.search.strategies.halving import Halving
from evnas.search.strategies.warm import After, seeds
from evnas.space.arch import ArchSpec
from evnas.space.catalog import entry
from evnas.space.located import LocatedError, read_arch
from evnas.space.search_spec import StrategySpec
from evnas.space.space import SearchSpace


def build_strategy(
    spec: StrategySpec,
    space: SearchSpace,
    *,
    warm: Sequence[tuple[str, ArchSpec]] = (),
    full_budget: float = 0.0,
) -> Strategy:
    """The strategy of a search.

    Args:
        spec: as the sweep has it.
        space: where it proposes.
        warm: candidates to begin with, with their origins.
        full_budget: image presentations of a whole proxy training.
    """
    strategy = _bare(spec, space, full_budget)
    first = list(warm)
    if spec.kind in ("evolution", "mo_asha"):
        first += seeds(space)
    if not first or spec.kind in ("ablation", "one_at_a_time"):
        return strategy
    return After(first, strategy, budget=0.0 if spec.kind == "mo_asha" else None)


def _bare(spec: StrategySpec, space: SearchSpace, full_budget: float) -> Strategy:
    match spec.kind:
        case "random":
            return Random(space, spec.seed)
        case "grid":
            return Grid(space)
        case "ablation" | "one_at_a_time":
            return _around(spec, space)
        case "evolution":
            return _evolution(spec, space)
        case "mo_asha":
            return Halving(
                breeder=_evolution(spec, space),
                rungs=rungs(spec, full_budget),
                eta=spec.eta,
            )
        case sampler:
            # Optuna takes a second to import, so only those who ask for it pay
            from evnas.search.strategies.optuna_ask import OptunaAsk

            return OptunaAsk(
                space=space,
                seed=spec.seed,
                sampler=sampler,
                population=spec.population,
                startup=spec.startup or 24,
            )


def _evolution(spec: StrategySpec, space: SearchSpace) -> Evolution:
    return Evolution(
        space=space,
        seed=spec.seed,
        population=spec.population,
        startup=spec.startup or 12,
        screen=spec.screen,
    )


def _around(spec: StrategySpec, space: SearchSpace) -> Ablation:
    base = _base(spec, space)
    try:
        rows = one_at_a_time(space, base)
    except ValueError as e:
        name = spec.base or "the base"
        raise SpecError(f"{name} lies outside the space: {e}", "strategy.base") from None
    return Ablation(rows, seeds=tuple(range(spec.replicates)))


def _base(spec: StrategySpec, space: SearchSpace) -> ArchSpec:
    if not spec.base:
        return space.base
    try:
        is_file = spec.base.endswith((".yaml", ".yml"))
        return read_arch(Path(spec.base)) if is_file else entry(spec.base).arch
    except LocatedError:  # a fault inside that file
        raise
    except SpecError as e:
        raise SpecError(e.reason, "strategy.base") from None


def rungs(spec: StrategySpec, full_budget: float) -> tuple[float, ...]:
    """Trainings of `mo_asha`: as given, else a ninth, a third and the whole of the proxy."""
    if spec.rungs:
        if full_budget and spec.rungs[-1] != full_budget:
            raise SpecError(
                f"the last rung must be the whole proxy, {full_budget:g} presentations, "
                f"got {spec.rungs[-1]:g}",
                "strategy.rungs",
            )
        return spec.rungs
    return (full_budget / spec.eta**2, full_budget / spec.eta, full_budget)
