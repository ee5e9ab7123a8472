"""A search as a sweep's YAML has it: space, strategy, objectives, constraints, budget, confirm."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializeAsAny,
    field_validator,
    model_validator,
)

from evnas.errors import SpecError
from evnas.registry import PluginError
from evnas.space.expressions import parse_expression
from evnas.space.spec import (
    ChoiceDomain,
    DecreasingDomain,
    EachDomain,
    IncreasingDomain,
    SharedDomain,
    SpaceSpec,
    _Spec,
)
from evnas.sweep.spec import SweepSpec
from evnas.sweep.strategy_spec import StrategySpec, strategy_spec
from evnas.tables import found_by, quantity_must_load, quantity_of

Sense = Literal["max", "min"]


for _model in (EachDomain, SharedDomain, IncreasingDomain, DecreasingDomain, ChoiceDomain):
    _model.model_rebuild()


class ObjectiveSpec(_Spec):
    """One thing to maximise or minimise."""

    metric: str
    """`throughput_img_s`, `latency_ms`, `peak_mib`, `top1_percent`, `params_m`, `macs_g`, or any
    name that a record's values or measurements carry; `NAME@TARGET` takes one target."""
    goal: Sense
    """Which way is better."""

    @field_validator("metric")
    @classmethod
    def _is_measured(cls, name: str) -> str:
        try:
            quantity_must_load(quantity_of(name))
        except PluginError as e:
            raise ValueError(str(e)) from None
        return name


class BudgetSpec(_Spec):
    """When to stop; whichever comes first. At least one must be given."""

    trials: int | None = Field(default=None, ge=1, le=100_000_000)
    """Candidates that were proposed."""
    minutes: float | None = Field(default=None, gt=0, le=1e8)
    """Wall-clock that was searched, over all runs of the study."""
    device_minutes: float | None = Field(default=None, gt=0, le=1e10)
    """Sum of what phases took."""
    patience: int | None = Field(default=None, ge=1, le=100_000_000)
    """Trials without a gain of hypervolume, those that failed among them; what breaks a
    constraint does not count, up to `evnas.search.budget.HOPELESS` in a row."""

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if all(x is None for x in (self.trials, self.minutes, self.device_minutes, self.patience)):
            raise ValueError("budget needs one of trials, minutes, device_minutes, patience")
        return self

    def extended(self, *, trials: int, minutes: float) -> Self:
        """The same with more.

        Args:
            trials: so many more candidates.
            minutes: so much longer, of those minutes that the budget counts.

        Raises:
            SpecError: the budget does not count what it is to have more of.
        """
        more: dict[str, float] = {}
        if trials:
            more["trials"] = self._counted("trials") + trials
        if minutes:
            key = "device_minutes" if self.minutes is None else "minutes"
            more[key] = self._counted(key) + minutes
        return self.model_validate(self.model_dump() | more)

    def _counted(self, key: str) -> float:
        value: float | None = getattr(self, key)
        if value is None:
            has = ", ".join(name for name, kept in self.model_dump().items() if kept is not None)
            wish = "minutes" if key.endswith("minutes") else key
            raise SpecError(f"budget must count {wish} to have more of them, it has {has}")
        return value


class ConfirmSpec(_Spec):
    """The final front, measured and trained again before it is printed."""

    seeds: int = Field(default=3, ge=1, le=1000)
    """Seeds in all, that of the search included."""


class ScreeningSpec(_Spec):
    """Candidates are dropped unmeasured where a calibration (`evnas calibrate`) predicts that they
    surely break a constraint or are dominated."""

    draws: int = Field(default=16, ge=1, le=4096)
    """Proposals that are looked at for each candidate, at most; 1 looks at candidates alone."""


class WarmStartSpec(_Spec):
    """Candidates to begin with; exactly one of the three."""

    published: bool = False
    """Every catalogue entry that lies in the space."""
    study: str = ""
    """The study.db of an earlier search: its complete trials, best fronts first."""
    csv: str = ""
    """A CSV whose columns are paths (`stages[0].dim`), each row a change to the base."""
    most: int = Field(default=20, ge=1, le=100_000)
    """Candidates that are taken of it, at most."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum((self.published, bool(self.study), bool(self.csv))) != 1:
            raise ValueError("a warm start must name one of published, study, csv")
        return self


def _with_best(target: Any) -> Any:
    if not isinstance(target, Mapping) or target.get("mode") == "training":
        return target
    if "command" in target:  # which runs the model elsewhere
        return target
    return {"runtime": "best", **target}


def _condition(text: str) -> str:
    try:
        parse_expression(text, list(found_by()))
    except SpecError as e:
        raise ValueError(f"{text!r:.90}: {e.reason}") from None
    return text


class SearchSpec(SweepSpec):
    """A sweep that looks for architectures in a space."""

    space: SpaceSpec
    """What may vary around the base."""
    strategy: Annotated[SerializeAsAny[StrategySpec], BeforeValidator(strategy_spec)]
    """Who proposes; the kind's name alone is short for `{kind: NAME}`."""
    objectives: tuple[ObjectiveSpec, ...] = Field(min_length=2, max_length=4)
    """What the front is of; `{METRIC: max, METRIC: min}` for short."""
    constraints: tuple[Annotated[str, AfterValidator(_condition)], ...] = ()
    """Conditions such as `params_m <= 12`; what breaks one ends as infeasible."""
    budget: BudgetSpec
    """When the search ends."""
    confirm: ConfirmSpec | None = None
    """How often the final front is taken again."""
    warm_start: tuple[WarmStartSpec, ...] = ()
    """Candidates to begin with."""
    screening: ScreeningSpec | None = None
    """None measures every candidate."""

    @model_validator(mode="before")
    @classmethod
    def _in_the_best_runtime(cls, data: Any) -> Any:
        """Targets that name no runtime mean the fastest of the machine. One that trains, and where
        peak memory is asked for, which exporters do not tell, means torch."""
        if not isinstance(data, Mapping):
            return data
        asked = str([data.get("objectives"), data.get("constraints")])
        targets = data.get("targets", [{}])
        if "peak_mib" in asked or not isinstance(targets, list | tuple):
            return data
        return {**data, "targets": [_with_best(target) for target in targets]}

    @field_validator("objectives", mode="before")
    @classmethod
    def _short_objectives(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return [{"metric": metric, "goal": goal} for metric, goal in value.items()]
        return value

    @field_validator("objectives")
    @classmethod
    def _differ(cls, value: tuple[ObjectiveSpec, ...]) -> tuple[ObjectiveSpec, ...]:
        names = [o.metric for o in value]
        if len(set(names)) != len(names):
            raise ValueError(f"objectives must differ, got {names}")
        return value

    @property
    def in_words(self) -> str:
        """Who proposes."""
        return f"a search by {self.strategy.kind}"

    @property
    def named_quantities(self) -> tuple[str, ...]:
        """Metrics of the objectives, then the constraints as they are written."""
        return (*(o.metric for o in self.objectives), *self.constraints)


SEARCH_KEYS = tuple(key for key in SearchSpec.model_fields if key not in SweepSpec.model_fields)
"""What a search's file has in place of rows."""
