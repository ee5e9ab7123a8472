"""Specs of Optuna's samplers; Optuna itself, which takes a second, loads with the strategy."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from evnas.arch.spec import ArchSpec
from evnas.search.propose import Strategy
from evnas.search.strategies.first import after
from evnas.space.space import SearchSpace
from evnas.sweep.strategy_spec import StrategySpec


class SamplerSpec(StrategySpec):
    """Knobs of a sampler of Optuna's; `kind` is its name."""

    population: int = Field(default=40, ge=4, le=100_000)
    """Parents kept by the genetic ones."""
    startup: int | None = Field(default=None, ge=2, le=1_000_000)
    """Complete trials before a model is asked; 24 unless given."""

    def strategy(
        self, space: SearchSpace, *, warm: Sequence[tuple[str, ArchSpec]], full_budget: float
    ) -> Strategy:
        """Warm starts, then what the sampler asks for."""
        from evnas.search.strategies.optuna_ask import OptunaAsk

        ask = OptunaAsk(
            space=space,
            seed=self.seed,
            sampler=self.kind,
            population=self.population,
            startup=self.startup or 24,
        )
        return after(warm, ask)


class TpeSpec(SamplerSpec):
    """Tree-structured Parzen estimators."""

    kind: Literal["tpe"] = "tpe"


class Nsga2Spec(SamplerSpec):
    """NSGA-II."""

    kind: Literal["nsga2"] = "nsga2"


class Nsga3Spec(SamplerSpec):
    """NSGA-III."""

    kind: Literal["nsga3"] = "nsga3"


class GpSpec(SamplerSpec):
    """A Gaussian process."""

    kind: Literal["gp"] = "gp"
