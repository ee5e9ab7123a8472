"""What every sweep file says, and the kind whose rows it spells out: an ablation."""

from abc import abstractmethod
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from evnas.arch.catalog import Family
from evnas.sweep.parts import (
    CONVENTIONS,
    NAME,
    EngineSpec,
    FailuresSpec,
    PredictSpec,
    ProxySpec,
    PublishedSpec,
    Seed,
    SweepPart,
    TargetSpec,
)
from evnas.words import counted


def _none_is_null(value: Any) -> Any:
    return None if value == "none" else value


OPEN = "\0"
"""In plain data, a runtime that nobody named: no file and no command line can say so."""


class SweepSpec(SweepPart):
    """What both kinds of sweep say; a file is an `AblationSpec` or a `SearchSpec`."""

    name: str = Field(pattern=NAME)
    """Names the study's folder under results/."""
    title: str = ""
    """Heads tables and pages."""
    base: str | dict[str, Any]
    """A catalogue name, a path to an architecture's YAML, or an architecture spelt out."""
    published: PublishedSpec | None = None
    """The printed table that the rows stand beside."""
    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1)
    """Of an ablation's trainings: each row is trained once a seed."""
    targets: tuple[TargetSpec, ...] = (TargetSpec(),)
    """What speed is measured on; [] measures none."""
    predict: PredictSpec | None = None
    """Every candidate's ImageNet top-1 is predicted; a search that names it needs no such key."""
    proxy: Annotated[ProxySpec | None, BeforeValidator(_none_is_null)] = None
    """A short training of every candidate; `none` trains nothing."""
    engine: EngineSpec = EngineSpec()
    """Who runs it: processes here, or a Ray cluster."""
    failures: FailuresSpec = FailuresSpec()
    """What is done about work that ends badly."""
    quick: dict[str, Any] = Field(default_factory=dict)
    """Path -> value: what `--quick` sets in this file beyond what it makes of any."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must differ, got {list(self.seeds)}")
        if self.published is None and any(target.as_printed for target in self.targets):
            raise ValueError("a target's batch_size printed needs `published`, which is not given")
        by_id: dict[str, tuple[int, TargetSpec]] = {}
        for i, target in enumerate(self.targets):
            if target.by_command:
                first, other = by_id.setdefault(target.spelt().id, (i, target))
                if (other.command, other.parse) != (target.command, target.parse):
                    raise ValueError(
                        f"targets[{first}] and targets[{i}] are both {target.spelt().id}, by "
                        "other commands, and only one would be run: give each its own name"
                    )
        return self

    def to_dict(self) -> dict[str, Any]:
        """The resolved sweep: every default spelt out; itself a sweep."""
        return self.model_dump(mode="json")

    def with_open_runtimes(self) -> dict[str, Any]:
        """The same with `OPEN` for each runtime that nobody named: form and device choose it."""
        raw = self.to_dict()
        for target, plain in zip(self.targets, raw["targets"], strict=True):
            if "runtime" not in target.model_fields_set:
                plain["runtime"] = OPEN
        return raw

    @property
    def resolution(self) -> int:
        """Where rows are counted that name no resolution of their own."""
        return self.targets[0].resolution if self.targets else 224

    @property
    def convention(self) -> Family | None:
        """The counting convention that the published figures follow."""
        if self.published is None:
            return None
        return self.published.convention or CONVENTIONS.get(self.published.paper)

    @property
    @abstractmethod
    def in_words(self) -> str:
        """What it is, in a few words: `3 rows`, `a search by evolution`."""

    @property
    @abstractmethod
    def named_quantities(self) -> tuple[str, ...]:
        """Texts that name quantities, `@TARGET` included: objectives and constraints."""


class AblationSpec(SweepSpec):
    """A sweep of rows, each of them evaluated in full."""

    rows: dict[str, dict[str, Any] | None] = Field(min_length=1)
    """Row name -> changes to the base, by path; or `arch`, `timm`, `resolution`, `note`."""

    @property
    def in_words(self) -> str:
        """How many rows there are."""
        return counted(len(self.rows), "row")

    @property
    def named_quantities(self) -> tuple[str, ...]:
        """None: rows are evaluated, nothing is sought."""
        return ()
