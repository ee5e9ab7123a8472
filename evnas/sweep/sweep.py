"""What a sweep file says, validated: rows of an ablation, or a space to search.

Every complaint names file, line and path. Nothing here runs or measures anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from evnas.arch.catalog import Family
from evnas.arch.paths import assign, leaves, spell
from evnas.arch.spec import ArchSpec
from evnas.errors import SpecError, nearest
from evnas.papers.published import PublishedRow, published_table
from evnas.sweep.candidate import Candidate, candidate_of, named_arch
from evnas.sweep.messages import sweep_message
from evnas.sweep.parts import (
    CONVENTIONS,
    DATA_SETS,
    NAME,
    EngineSpec,
    FolderData,
    ProxySpec,
    PublishedSpec,
    Seed,
    SweepPart,
    TargetSpec,
)
from evnas.sweep.quick import quick_form
from evnas.sweep.search_spec import SearchSpec
from evnas.sweep.validate import validate_search
from evnas.sweep.yaml_lines import Located, LocatedError, parse_yaml, read_arch, read_yaml

SEARCH_KEYS = tuple(SearchSpec.model_fields)


class SweepSpec(SweepPart):
    """A validated sweep file."""

    name: str = Field(pattern=NAME)
    """Names the study's folder under results/."""
    title: str = ""
    base: str | dict[str, Any]
    """A catalogue name, a path to an architecture's YAML, or an architecture spelt out."""
    published: PublishedSpec | None = None
    rows: dict[str, dict[str, Any] | None] = Field(default_factory=dict)
    """Row name -> changes to the base, by path; or `arch`, `timm`, `resolution`, `note`."""
    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1)
    targets: tuple[TargetSpec, ...] = (TargetSpec(),)
    proxy: ProxySpec | None = None
    engine: EngineSpec = EngineSpec()
    quick: dict[str, Any] = Field(default_factory=dict)
    """Path -> value: what `--quick` sets in this file beyond `evnas.sweep.quick`."""
    space: Any = None
    """This and the next six are the search part: `evnas.sweep.search_spec.SearchSpec`."""
    strategy: Any = None
    objectives: Any = None
    constraints: Any = None
    budget: Any = None
    confirm: Any = None
    warm_start: Any = None

    @model_validator(mode="after")
    def _has_work(self) -> Self:
        searches = any(getattr(self, name) is not None for name in SEARCH_KEYS)
        if searches == bool(self.rows):
            raise ValueError(
                "a sweep has either rows (an ablation) or space, strategy, objectives and budget "
                f"(a search), got {'both' if self.rows else 'neither'}"
            )
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must differ, got {list(self.seeds)}")
        if self.published is None and any(target.as_printed for target in self.targets):
            raise ValueError("a target's batch_size printed needs `published`, which is not given")
        return self

    def to_dict(self) -> dict[str, Any]:
        """The resolved sweep: every default spelt out; itself a sweep."""
        other = ("rows",) if self.space is not None else SEARCH_KEYS
        return self.model_dump(mode="json", exclude=set(other))

    @property
    def search(self) -> SearchSpec | None:
        """The search part, validated; None of an ablation."""
        if self.space is None:
            return None
        return SearchSpec.model_validate(search_part(self.to_dict()))

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


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep ready to run: the spec and what its rows mean."""

    spec: SweepSpec
    candidates: tuple[Candidate, ...]
    """Of an ablation, a row each; none of a search."""
    base: ArchSpec
    located: Located
    """The file that it was read from, to say where a fault found later stands."""

    @property
    def reference(self) -> Candidate:
        """The row that ratios and differences refer to: the base's own, else the first."""
        if not self.candidates:
            return Candidate(label="base", arch=self.base, published="", is_base=True)
        own = [c for c in self.candidates if c.is_base and not c.absent]
        return (own or [c for c in self.candidates if not c.absent] or list(self.candidates))[0]

    def identity(self) -> dict[str, Any]:
        """What must not change when a study is continued: the sweep less names and engine."""
        resolved = self.spec.to_dict()
        for free in ("title", "engine", "name", "quick"):
            del resolved[free]
        resolved["targets"] = [target.identity() for target in self.spec.targets]
        resolved["proxy"] = self.spec.proxy.identity() if self.spec.proxy else None
        return {**resolved, "digests": {c.label: c.digest for c in self.candidates}}


def load_sweep(
    path: Path, *, overrides: Sequence[str] = (), quick: bool = False, name: str | None = None
) -> Sweep:
    """Read and validate a sweep file.

    Args:
        path: the YAML file.
        overrides: `path=value` texts of `--set`, applied in order, after `quick`.
        quick: cut down to a first look, under the name `<name>_quick`.
        name: another name for the study.

    Raises:
        LocatedError: with file and line, for whatever is wrong in the file.
        SpecError: for an override that cannot hold.
    """
    located = read_yaml(path)
    spec = _validated(located)
    _data_is_here(spec, located)
    if quick:
        try:
            spec = quickened(spec)
        except SpecError as e:
            raise located.blame(e) from None
    for text in overrides:
        spec = _overridden(spec, text)
        _data_is_here(spec, Located(f"--set {text}", {}))
    if name is not None:
        spec = _revalidated(spec.to_dict() | {"name": name}, "--name")
    return _sweep(spec, located)


def sweep_of(data: Mapping[str, Any], *, source: str = "sweep") -> Sweep:
    """A sweep from plain data, such as what a store holds."""
    located = Located(source, dict(data))
    return _sweep(_validated(located), located)


def quickened(spec: SweepSpec) -> SweepSpec:
    """The same sweep for a first look. Raises SpecError for what its `quick` cannot set."""
    raw = quick_form(spec.to_dict())
    for path, value in raw.pop("quick").items():
        try:
            assign(raw, path, value)
            _validated(Located("--quick", raw))
        except SpecError as e:
            raise SpecError(e.reason, f"quick.{path}") from None
    return _validated(Located("--quick", raw))


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """`path: old -> new` wherever two identities of a sweep differ."""
    left, right = (dict(leaves(side)) for side in (old, new))
    places = [*left, *(place for place in right if place not in left)]
    return [
        f"{spell(place)}: {left.get(place, 'nothing')!r} -> {right.get(place, 'nothing')!r}"
        for place in places
        if left.get(place) != right.get(place) or (place in left) != (place in right)
    ]


def search_part(data: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a sweep that a search has in place of rows, those that are given."""
    return {key: data[key] for key in SEARCH_KEYS if data.get(key) is not None}


def _validated(located: Located) -> SweepSpec:
    model: type[BaseModel] = SweepSpec
    try:
        spec = SweepSpec.model_validate(located.data)
        if spec.rows:
            return spec
        model = SearchSpec
        search = SearchSpec.model_validate(search_part(located.data))
    except ValidationError as e:
        raise located.blame(sweep_message(e, located.data, model)) from None
    return spec.model_copy(update=search.model_dump(mode="json"))


def _data_is_here(spec: SweepSpec, located: Located) -> None:
    data = spec.proxy.data if spec.proxy else DATA_SETS[0]
    if isinstance(data, FolderData):
        if not Path(data.folder).is_dir():
            reason = f"must be a folder of images, got {data.folder!r}, which is not there"
            raise located.blame(SpecError(reason, "proxy.data.folder"))
    elif data not in DATA_SETS:
        must = f"must be one of {', '.join(DATA_SETS)} or {{folder: PATH}}"
        reason = f"{must}, got {data!r}{nearest(data, DATA_SETS)}"
        raise located.blame(SpecError(reason, "proxy.data"))


def _revalidated(raw: Mapping[str, Any], where: str) -> SweepSpec:
    try:
        return _validated(Located(where, dict(raw)))
    except LocatedError as e:
        raise LocatedError(SpecError(e.reason, e.path), where) from None


def _overridden(spec: SweepSpec, text: str) -> SweepSpec:
    path, equals, value = text.partition("=")
    where = f"--set {text}"
    if not equals:
        raise SpecError(f"{where}: must be path=value, such as proxy.epochs=4")
    raw = spec.to_dict()
    try:
        assign(raw, path.strip(), parse_yaml(f"value: {value}", source=where).data["value"])
    except SpecError as e:
        raise e if isinstance(e, LocatedError) else LocatedError(e, where) from None
    return _revalidated(raw, where)


def _sweep(spec: SweepSpec, located: Located) -> Sweep:
    try:
        base = _base(spec.base, Path(located.source).parent)
    except SpecError as e:
        if isinstance(e, LocatedError):
            raise
        raise located.blame(SpecError(e.reason, f"base.{e.path}" if e.path else "base")) from None
    table = spec.published
    printed = published_table(table.paper, table.table) if table is not None else {}
    found: list[Candidate] = []
    for label, row in spec.rows.items():
        try:
            found.append(_row(label, row or {}, base=base, printed=printed))
        except SpecError as e:
            path = f"rows.{label}.{e.path}" if e.path else f"rows.{label}"
            raise located.blame(SpecError(e.reason, path)) from None
    if spec.search is not None:
        try:
            validate_search(spec.search, base, trains=bool(spec.proxy), times=bool(spec.targets))
        except SpecError as e:
            raise located.blame(e) from None
    return Sweep(spec, tuple(found), base, located)


def _row(
    label: str, row: Mapping[str, Any], *, base: ArchSpec, printed: Mapping[str, PublishedRow]
) -> Candidate:
    candidate = candidate_of(label, row, base)
    row_in_print = printed.get(candidate.published)
    if printed and row_in_print is None:
        raise SpecError(
            f"the published table has no row {candidate.published!r}"
            f"{nearest(candidate.published, printed)}; `published: NAME` in the row names another"
        )
    return replace(candidate, printed_batch=row_in_print.batch) if row_in_print else candidate


def _base(base: str | Mapping[str, Any], folder: Path) -> ArchSpec:
    if not isinstance(base, str):
        return ArchSpec.from_dict(base)
    if not base.endswith((".yaml", ".yml")):
        return named_arch(base)
    return read_arch(folder / base if (folder / base).exists() else Path(base))


def write_resolved(spec: SweepSpec, path: Path) -> None:
    """Write the resolved sweep as YAML."""
    path.write_text(yaml.safe_dump(spec.to_dict(), sort_keys=False, allow_unicode=True))


def sweep_schema() -> dict[str, Any]:
    """The JSON schema of sweep files, the search part's included, for editors."""
    schema, search = SweepSpec.model_json_schema(), SearchSpec.model_json_schema()
    schema["properties"] |= search["properties"]
    schema["$defs"] |= search["$defs"]
    return schema
