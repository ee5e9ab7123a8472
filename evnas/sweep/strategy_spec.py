"""`strategy:` of a sweep: each kind is a class of its own, with its own knobs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import ConfigDict, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema, InitErrorDetails, ValidationError

from evnas.arch.spec import ArchSpec
from evnas.errors import nearest
from evnas.sweep.described import DescribedSchema
from evnas.sweep.numbers import NumbersAreNumbers
from evnas.tables import STRATEGIES

if TYPE_CHECKING:
    from evnas.space.space import SearchSpace  # it reads the spec of a space, beside this one

ONCE_COMMON: Mapping[str, Any] = {
    "population": 40,
    "startup": None,
    "screen": 64,
    "eta": 3,
    "rungs": [],
    "base": "",
    "replicates": 1,
}
"""Knobs that every kind was once written with, at their defaults: older studies have them."""
VERSION = "version"
"""The knob of a kind that proposes otherwise than it did: studies from before it have 1."""
RENAMED: Mapping[object, str] = {"ablation": "one_at_a_time"}
"""Kinds of older studies."""


class StrategySpec(NumbersAreNumbers):
    """Who proposes. A subclass names its `kind`, holds its knobs and makes the strategy.

    What a search does for it is declared here, so that nobody asks for its name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: str
    """Who proposes."""
    seed: int = Field(default=0, ge=-(2**63), lt=2**63)
    """Of its randomness: the same seed proposes the same."""

    needs_training: ClassVar[bool] = False
    """Whether it works only where an objective is trained."""
    own_rows: ClassVar[bool] = False
    """Whether it proposes rows around a base: no warm start, and effects are tested at its end."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds that each candidate is trained with."""
        return (0,)

    def rungs_of(self, full_budget: float) -> tuple[float, ...]:
        """Image presentations at which trainings break off, the last being the whole; () where
        each is trained to its end at once.

        Raises:
            SpecError: they do not fit a whole training.
        """
        return ()

    def with_files_read(self) -> Self:
        """The same with what its files hold in place of their paths, so that a study needs them no
        more and knows when they change."""
        return self

    def least_trials(self, full_budget: float) -> int:
        """Candidates without which no training comes to its end.

        Args:
            full_budget: image presentations of a whole training; 0 where nothing is trained.
        """
        return 1

    def strategy(
        self, space: "SearchSpace", *, warm: Sequence[tuple[str, ArchSpec]], full_budget: float
    ) -> Any:
        """The `evnas.search.propose.Strategy`.

        Args:
            space: where it proposes.
            warm: candidates to begin with, with their origins.
            full_budget: image presentations of a whole training; 0 where nothing is trained.

        Raises:
            SpecError: it lacks what it starts from.
        """
        raise NotImplementedError(f"{type(self).__name__} makes no strategy")

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Of the base: any kind that is known, or its name alone."""
        if cls is not StrategySpec:
            return handler(core_schema)
        kinds = STRATEGIES.usable()
        whole = [
            kind.model_json_schema(schema_generator=DescribedSchema) for kind in kinds.values()
        ]
        return {"anyOf": [{"enum": list(kinds), "type": "string"}, *whole]}


def strategy_spec(data: Any) -> StrategySpec:
    """A strategy from plain data: `evolution`, or a mapping with `kind`.

    Raises:
        ValueError: nobody registered its kind; pydantic's ValidationError for its knobs.
    """
    if isinstance(data, StrategySpec):
        return data
    raw = {"kind": data} if isinstance(data, str) else data
    if not isinstance(raw, Mapping):
        raise ValueError(f"must be a strategy's name or a mapping with its kind, got {data!r}")
    name = raw.get("kind")
    if name not in STRATEGIES:
        raise _unknown(name)
    STRATEGIES.must_be_valid(str(name))
    kind: type[StrategySpec] = STRATEGIES.get(str(name))
    return kind.model_validate(less_common(raw, kind))


def _unknown(name: object) -> ValidationError:
    """A fault that pydantic places at `kind`."""
    if name is None:
        return ValidationError.from_exception_data(
            "strategy", [InitErrorDetails(type="missing", loc=("kind",), input=None)]
        )
    renamed = RENAMED.get(name) if isinstance(name, str) else None
    hint = f"; it is called {renamed}" if renamed else nearest(str(name), STRATEGIES)
    reason = ValueError(f"must be one of {', '.join(STRATEGIES)}, got {name!r}{hint}")
    fault = InitErrorDetails(type="value_error", loc=("kind",), input=name, ctx={"error": reason})
    return ValidationError.from_exception_data("strategy", [fault])


def less_common(raw: Mapping[str, Any], kind: type[StrategySpec]) -> dict[str, Any]:
    """Without knobs of other kinds that say nothing."""
    return {
        key: value
        for key, value in raw.items()
        if key in kind.model_fields
        or key not in ONCE_COMMON
        or value not in (ONCE_COMMON[key], tuple(ONCE_COMMON["rungs"]))
    }


def as_written_now(raw: Mapping[str, Any]) -> dict[str, Any]:
    """An older study's `strategy` as it is written now; one that is not known stays."""
    name = RENAMED.get(str(raw.get("kind")), str(raw.get("kind")))
    renamed = {**raw, "kind": name}
    if name not in STRATEGIES:
        return renamed
    kind = STRATEGIES.get(name)
    first = {VERSION: 1} if VERSION in kind.model_fields else {}
    return less_common(first | renamed, kind)
