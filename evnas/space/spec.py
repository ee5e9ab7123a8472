"""A space as a sweep's YAML has it: what may vary, and over which domains."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
)

from evnas.space.domains import Value


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class IntBounds(_Spec):
    """`{low, high, step}`, ends included."""

    low: int
    """The least value."""
    high: int
    """The largest value."""
    step: int = Field(default=1, ge=1)
    """Between two values."""


class FloatBounds(_Spec):
    """`{low, high, step}`, ends included."""

    low: float
    """The least value."""
    high: float
    """The largest value."""
    step: float = Field(gt=0)
    """Between two values."""


class IntDomain(_Spec):
    """Whole numbers: `{int: {low: 64, high: 256, step: 32}}`."""

    int: IntBounds
    """Its bounds."""


class FloatDomain(_Spec):
    """Numbers: `{float: {low: 1.0, high: 4.0, step: 0.5}}`."""

    float: FloatBounds
    """Its bounds."""


class EachDomain(_Spec):
    """Each stage for itself."""

    each: "DomainSpec"
    """What each of the places may hold."""


class SharedDomain(_Spec):
    """One value for all stages."""

    shared: "DomainSpec"
    """What all of the places may hold."""


class IncreasingDomain(_Spec):
    """A value a stage, never smaller than that of the stage before."""

    increasing: "DomainSpec"
    """What they may hold, in order."""


class DecreasingDomain(_Spec):
    """A value a stage, never larger than that of the stage before."""

    decreasing: "DomainSpec"
    """What they may hold, in falling order."""


class ChoiceDomain(_Spec):
    """One branch of several: label -> what holds in it, by paths relative to the axis.

    At a `mixer` or `stem` the label is its kind, unless the branch sets `kind` itself. A list or
    a domain makes an axis that exists only in this branch; a scalar is fixed there; `mix` names
    fragments to take in.
    """

    choice: "dict[str, dict[str, DomainSpec]]" = Field(min_length=1)
    """Label -> what holds in that branch."""


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
