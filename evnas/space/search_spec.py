"""The search part of a sweep's YAML: space, strategy, objectives, constraints, budget, confirm."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    SerializeAsAny,
    Tag,
    field_validator,
    model_validator,
)

from evnas.errors import SpecError, nearest
from evnas.space.domains import Value
from evnas.space.expressions import parse_expression
from evnas.space.strategy_spec import StrategySpec, strategy_spec
from evnas.tables import found_by

Goal = Literal["max", "min"]


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class IntBounds(_Spec):
    """`{low, high, step}`, ends included."""

    low: int
    high: int
    step: int = Field(default=1, ge=1)


class FloatBounds(_Spec):
    """`{low, high, step}`, ends included."""

    low: float
    high: float
    step: float = Field(gt=0)


class IntDomain(_Spec):
    """Whole numbers: `{int: {low: 64, high: 256, step: 32}}`."""

    int: IntBounds


class FloatDomain(_Spec):
    """Numbers: `{float: {low: 1.0, high: 4.0, step: 0.5}}`."""

    float: FloatBounds


class EachDomain(_Spec):
    """Each stage for itself."""

    each: "DomainSpec"


class SharedDomain(_Spec):
    """One value for all stages."""

    shared: "DomainSpec"


class IncreasingDomain(_Spec):
    """A value a stage, never smaller than that of the stage before."""

    increasing: "DomainSpec"


class DecreasingDomain(_Spec):
    """A value a stage, never larger than that of the stage before."""

    decreasing: "DomainSpec"


class ChoiceDomain(_Spec):
    """One branch of several: label -> what holds in it, by paths relative to the axis.

    At a `mixer` or `stem` the label is its kind, unless the branch sets `kind` itself. A list or
    a domain makes an axis that exists only in this branch; a scalar is fixed there; `mix` names
    fragments to take in.
    """

    choice: "dict[str, dict[str, DomainSpec]]" = Field(min_length=1)


_BY_KEY = ("int", "float", "each", "shared", "increasing", "decreasing", "choice")


def _which(value: Any) -> str | None:
    if isinstance(value, list | tuple):
        return "list"
    if isinstance(value, str | int | float):
        return "scalar"
    if isinstance(value, Mapping):
        return next((key for key in _BY_KEY if key in value), None)
    return next((key for key in _BY_KEY if hasattr(value, key)), None)


DomainSpec = Annotated[
    Annotated[list[Value], Field(min_length=1), Tag("list")]
    | Annotated[Value, Tag("scalar")]
    | Annotated[IntDomain, Tag("int")]
    | Annotated[FloatDomain, Tag("float")]
    | Annotated[EachDomain, Tag("each")]
    | Annotated[SharedDomain, Tag("shared")]
    | Annotated[IncreasingDomain, Tag("increasing")]
    | Annotated[DecreasingDomain, Tag("decreasing")]
    | Annotated[ChoiceDomain, Tag("choice")],
    Discriminator(
        _which,
        custom_error_type="domain",
        custom_error_message=(
            "must be a list of values, {int: ...}, {float: ...}, {choice: ...}, or one of these "
            "under each, shared, increasing or decreasing"
        ),
    ),
]
for _model in (EachDomain, SharedDomain, IncreasingDomain, DecreasingDomain, ChoiceDomain):
    _model.model_rebuild()


class SpaceSpec(_Spec):
    """What a search may vary. The sweep's `base` is the architecture that it varies."""

    set: dict[str, Any] = {}
    """Fixed changes to the base, path -> value."""
    fragments: dict[str, dict[str, DomainSpec]] = {}
    """Named groups of axes, to be mixed in here or in branches."""
    mix: tuple[str, ...] = ()
    """Fragments whose axes are axes of the space."""
    axes: dict[str, DomainSpec] = {}
    """Path -> domain. `stages.count` is the number of stages."""
    require: tuple[str, ...] = ()
    """Conditions across fields that every architecture of the space meets."""


class ObjectiveSpec(_Spec):
    """One thing to maximise or minimise."""

    metric: str
    """`throughput_img_s`, `latency_ms`, `peak_mib`, `top1_percent`, `params_m`, `macs_g`, or any
    name that a record's values or measurements carry; `NAME@TARGET` takes one target."""
    goal: Goal

    @field_validator("metric")
    @classmethod
    def _is_measured(cls, name: str) -> str:
        metric = name.partition("@")[0]
        known = found_by()
        if metric not in known:
            raise ValueError(f"nothing measures {metric!r}{nearest(metric, known)}")
        return name


class BudgetSpec(_Spec):
    """When to stop; whichever comes first. At least one must be given."""

    trials: int | None = Field(default=None, ge=1)
    minutes: float | None = Field(default=None, gt=0)
    """Wall-clock, over all runs of the study."""
    device_minutes: float | None = Field(default=None, gt=0)
    """Sum of what phases took."""
    patience: int | None = Field(default=None, ge=1)
    """Trials without a gain of hypervolume."""

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if all(x is None for x in (self.trials, self.minutes, self.device_minutes, self.patience)):
            raise ValueError("budget needs one of trials, minutes, device_minutes, patience")
        return self


class ConfirmSpec(_Spec):
    """The final front, measured and trained again before it is printed."""

    seeds: int = Field(default=3, ge=1)
    """Seeds in all, that of the search included."""


class WarmStart(_Spec):
    """Candidates to begin with; exactly one of the three."""

    published: bool = False
    """Every catalogue entry that lies in the space."""
    study: str = ""
    """The study.db of an earlier search: its complete trials, best fronts first."""
    csv: str = ""
    """A CSV whose columns are paths (`stages[0].dim`), each row a change to the base."""
    most: int = Field(default=20, ge=1)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum((self.published, bool(self.study), bool(self.csv))) != 1:
            raise ValueError("a warm start must name one of published, study, csv")
        return self


def _condition(text: str) -> str:
    try:
        parse_expression(text, list(found_by()))
    except SpecError as e:
        raise ValueError(f"{text!r}: {e.reason}") from None
    return text


class SearchSpec(_Spec):
    """All of the search part, as a sweep mounts it."""

    space: SpaceSpec
    strategy: Annotated[SerializeAsAny[StrategySpec], BeforeValidator(strategy_spec)]
    """A kind of `evnas.tables.STRATEGIES`; its name alone is short for `{kind: NAME}`."""
    objectives: tuple[ObjectiveSpec, ...] = Field(min_length=2, max_length=4)
    constraints: tuple[Annotated[str, AfterValidator(_condition)], ...] = ()
    budget: BudgetSpec
    confirm: ConfirmSpec | None = None
    warm_start: tuple[WarmStart, ...] = ()

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


def search_schema() -> dict[str, Any]:
    """The JSON schema of the search part, for editors."""
    return SearchSpec.model_json_schema()
