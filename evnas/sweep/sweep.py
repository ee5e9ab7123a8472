"""What a sweep file says, validated: rows of an ablation, or a space to search.

Every complaint names file, line and path. Nothing here runs or measures anything.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from evnas.arch.paths import Concrete, assign, get, leaves, spell
from evnas.arch.spec import ArchSpec
from evnas.errors import SpecError, nearest
from evnas.files import shown, write_whole
from evnas.papers.published import PublishedRow, published_table
from evnas.registry import PluginError
from evnas.sweep.candidate import Candidate, candidate_of, named_arch
from evnas.sweep.described import DescribedSchema
from evnas.sweep.file_paths import RULE, beside, is_arch_file
from evnas.sweep.messages import sweep_message, unknown_key
from evnas.sweep.parts import FolderSpec, known_data
from evnas.sweep.quick import quick_form
from evnas.sweep.search_spec import SEARCH_KEYS, SearchSpec
from evnas.sweep.shipped import sweep_file
from evnas.sweep.spec import OPEN, AblationSpec, SweepSpec
from evnas.sweep.validate import validate_search
from evnas.sweep.yaml_lines import YamlDocument, YamlSpecError, parse_yaml, read_arch, read_yaml
from evnas.tables import DATASETS

_AN_ARCHITECTURE = (
    "must be a sweep's file, this one spells an architecture out: `evnas show {}` shows it, and a "
    "sweep may name it as its base"
)
_EITHER = (
    "a sweep has either rows (an ablation) or space, strategy, objectives and budget (a search), "
    "got {}"
)


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep ready to run: the spec and what its rows mean."""

    spec: AblationSpec | SearchSpec
    candidates: tuple[Candidate, ...]
    """Of an ablation, a row each; none of a search."""
    base: ArchSpec
    document: YamlDocument
    """The file that it was read from, to say where a fault found later stands."""

    @property
    def reference(self) -> Candidate:
        """The row that ratios and differences refer to: the base's own, else the first."""
        if not self.candidates:
            return Candidate(label="base", arch=self.base, published="", is_base=True)
        return reference_of(self.candidates)

    def identity(self) -> dict[str, Any]:
        """What must not change when a study is continued: the sweep less names, engine and what
        is done about failures."""
        resolved = self.spec.to_dict()
        for free in ("title", "engine", "failures", "name", "quick"):
            del resolved[free]
        resolved["targets"] = [target.identity() for target in self.spec.targets]
        resolved["proxy"] = self.spec.proxy.identity() if self.spec.proxy else None
        if self.spec.predict is None:  # studies from before there were predictions go on
            del resolved["predict"]
        if resolved.get("screening", True) is None:  # likewise
            del resolved["screening"]
        return {**resolved, "digests": {c.label: c.digest for c in self.candidates}}


def reference_of(rows: Sequence[Candidate]) -> Candidate:
    """The base's own row, else the first that can be had; of one row or more."""
    own = [c for c in rows if c.is_base and not c.absent]
    return (own or [c for c in rows if not c.absent] or list(rows))[0]


def load_sweep(
    path: Path, *, overrides: Sequence[str] = (), quick: bool = False, name: str | None = None
) -> Sweep:
    """Read and validate a sweep file.

    Args:
        path: the YAML file, or the name of a sweep that comes with evnas (`table_c`).
        overrides: `path=value` texts of `--set`, applied in order, after `quick`.
        quick: cut down to a first look, under the name `<name>_quick`.
        name: another name for the study.

    Raises:
        YamlSpecError: with file and line, for whatever is wrong in the file.
        SpecError: for an override that cannot hold.
    """
    path = sweep_file(path)
    document = _with_paths(read_yaml(path), path.parent)
    spec = _validated(document)
    _data_is_here(spec, document)
    if quick:
        try:
            spec = quickened(spec)
        except SpecError as e:
            raise document.blame(e) from None
    for text in overrides:
        spec = _overridden(spec, text)
        _data_is_here(spec, YamlDocument(f"--set {text}", {}))
    places = {text.partition("=")[0].strip(): f"--set {text}" for text in overrides}
    words = {place: word for text in overrides for place, word in _words_of(text).items()}
    document = replace(document, overridden=places, words={**document.words, **words})
    if name is not None:
        spec = _revalidated(spec.with_open_runtimes() | {"name": name}, "--name")
    return _sweep(spec, document)


def sweep_of(data: Mapping[str, Any], *, source: str = "sweep") -> Sweep:
    """A sweep from plain data, such as what a store holds; relative paths lie in the working
    directory."""
    document = _with_paths(YamlDocument(source, dict(data)), Path())
    return _sweep(_validated(document), document)


def quickened(spec: AblationSpec | SearchSpec) -> AblationSpec | SearchSpec:
    """The same sweep for a first look. Raises SpecError for what its `quick` cannot set."""
    raw = quick_form(spec)
    for path, value in raw.pop("quick").items():
        try:
            assign(raw, path, value)
            _validated(YamlDocument("--quick", _without_open_runtimes(raw)))
        except SpecError as e:
            raise SpecError(e.reason, f"quick.{path}") from None
    return _validated(YamlDocument("--quick", _without_open_runtimes(raw)))


def must_have_rows(sweep: Sweep, labels: Iterable[str]) -> None:
    """Raises SpecError where some of the labels are not of rows that are evaluated."""
    rows = {candidate.label: candidate for candidate in sweep.candidates}
    for label in labels:
        if not rows:
            raise SpecError(f"--row {label}: a search has no rows; leave it out")
        if label not in rows:
            known = ", ".join(rows)
            raise SpecError(f"--row must be a row of the table, one of {known}, got {label!r}")
        if rows[label].absent:
            raise SpecError(f"--row {label}: the row is absent ({rows[label].absent})")


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """`path: old -> new` wherever two identities of a sweep differ; what one side lacks is
    nothing, without the marks that a string has."""
    left, right = (dict(leaves(side)) for side in (old, new))
    places = [*left, *(place for place in right if place not in left)]

    def shown(side: Mapping[Concrete, Any], place: Concrete) -> str:
        return repr(side[place]) if place in side else "nothing"

    return [
        f"{spell(place)}: {shown(left, place)} -> {shown(right, place)}"
        for place in places
        if left.get(place) != right.get(place) or (place in left) != (place in right)
    ]


def _with_paths(document: YamlDocument, folder: Path) -> YamlDocument:
    try:
        return replace(document, data=beside(document.data, folder))
    except SpecError as e:
        raise document.blame(e) from None


def _validated(document: YamlDocument) -> AblationSpec | SearchSpec:
    kind = _kind_of(document)
    other = SEARCH_KEYS if kind is AblationSpec else ("rows",)  # these say nothing, if they stand
    data = {key: value for key, value in document.data.items() if key not in other}
    try:
        return kind.model_validate(data)
    except ValidationError as e:
        raise document.blame(sweep_message(e, data, kind)) from None


def _kind_of(document: YamlDocument) -> type[AblationSpec] | type[SearchSpec]:
    """Which kind of sweep a file means, by what it says."""
    data = document.data
    searches = any(data.get(key) is not None for key in SEARCH_KEYS)
    if searches and data.get("rows"):
        raise document.blame(SpecError(_EITHER.format("both")))
    if searches:
        return SearchSpec
    if "rows" in data:
        return AblationSpec
    arch = data.get("arch", data)
    if isinstance(arch, Mapping) and "stages" in arch:
        raise document.blame(SpecError(_AN_ARCHITECTURE.format(document.source)))
    known = [*AblationSpec.model_fields, *SEARCH_KEYS]
    for key in data:
        if key not in known:  # it may be `rows`, mistyped
            raise document.blame(SpecError(unknown_key(key, known), key))
    raise document.blame(SpecError(_EITHER.format("neither")))


def _data_is_here(spec: SweepSpec, document: YamlDocument) -> None:
    data = spec.proxy.data if spec.proxy else None
    if isinstance(data, FolderSpec) and not Path(data.folder).is_dir():
        reason = f"must be a folder of images, {shown(data.folder)!r} is not there; {RULE}"
        raise document.blame(SpecError(reason, "proxy.data.folder"))
    if isinstance(data, str) and data not in DATASETS:
        reason = f"{known_data()}, got {data!r}{nearest(data, DATASETS)}"
        raise document.blame(SpecError(reason, "proxy.data"))
    if isinstance(data, str):
        try:
            DATASETS.must_load(data)
        except PluginError as e:
            raise document.blame(SpecError(str(e), "proxy.data")) from None


def _revalidated(
    raw: Mapping[str, Any], where: str, words: Mapping[str, tuple[str, str]] | None = None
) -> AblationSpec | SearchSpec:
    try:
        return _validated(YamlDocument(where, _without_open_runtimes(raw), words=words or {}))
    except YamlSpecError as e:
        raise YamlSpecError(SpecError(e.reason, e.path), where) from None


def _overridden(spec: SweepSpec, text: str) -> AblationSpec | SearchSpec:
    path, equals, value = text.partition("=")
    where = f"--set {text}"
    if not equals:
        raise SpecError(f"{where}: must be path=value, such as proxy.epochs=4")
    raw = spec.with_open_runtimes()
    given = parse_yaml(f"value: {value}", source=where).data["value"]
    try:
        _must_change_something(raw, path.strip(), given)
        if _is_another_kind(raw, path.strip(), given):
            assign(raw, path.strip(), None)  # else it would be laid over keys of the old kind
        assign(raw, path.strip(), given)
        raw = beside(raw, Path())  # those of the file are absolute already
    except SpecError as e:
        raise e if isinstance(e, YamlSpecError) else YamlSpecError(e, where) from None
    return _revalidated(raw, where, _words_of(text))


def _without_open_runtimes(raw: Mapping[str, Any]) -> dict[str, Any]:
    """What `with_open_runtimes` gave and was changed since, as a file would say it: so another
    device or form chooses its runtime again."""
    targets = raw.get("targets")
    if not isinstance(targets, list):
        return dict(raw)
    return {**raw, "targets": [_without_open_runtime(target) for target in targets]}


def _without_open_runtime(target: Any) -> Any:
    if not isinstance(target, Mapping) or target.get("runtime") != OPEN:
        return target
    return {key: value for key, value in target.items() if key != "runtime"}


def _words_of(text: str) -> dict[str, tuple[str, str]]:
    """What a `--set` says otherwise than Python would, by its place in the sweep."""
    path, _, value = text.partition("=")
    words = parse_yaml(f"value: {value}", source=f"--set {text}").words
    return {path.strip() + place.removeprefix("value"): word for place, word in words.items()}


def _is_another_kind(raw: Mapping[str, Any], path: str, given: Any) -> bool:
    """Whether this is `{kind: random}` for a strategy of another kind, which shares no keys."""
    stands = raw.get("strategy")
    if path != "strategy" or stands is None or not isinstance(given, Mapping):
        return False
    return bool(given.get("kind", stands["kind"]) != stands["kind"])


def _must_change_something(raw: Mapping[str, Any], path: str, given: Any) -> None:
    """A mapping is laid over the one that stands there: an empty one would be ignored."""
    if given == {} and any(here and isinstance(here, Mapping) for here in get(raw, path)):
        raise SpecError(
            "must name the keys that change, since the others stay, got {}; take keys out in the "
            "file",
            path,
        )


def _sweep(spec: AblationSpec | SearchSpec, document: YamlDocument) -> Sweep:
    try:
        base = _base(spec.base)
    except SpecError as e:
        if isinstance(e, YamlSpecError):
            raise
        raise document.blame(SpecError(e.reason, f"base.{e.path}" if e.path else "base")) from None
    except PluginError as e:
        raise document.blame(SpecError(str(e), "base")) from None
    if is_arch_file(spec.base):  # so that the study needs its file no more
        spec = spec.model_copy(update={"base": base.to_dict()})
    if isinstance(spec, AblationSpec):
        return Sweep(spec, tuple(_rows(spec, base, document)), base, document)
    try:
        validate_search(spec, base)
        strategy = spec.strategy.with_files_read()
    except YamlSpecError:  # a fault inside another file
        raise
    except SpecError as e:
        raise document.blame(e) from None
    except PluginError as e:
        raise document.blame(SpecError(str(e), "space")) from None
    spec = spec.model_copy(update={"strategy": strategy})
    return Sweep(spec, (), base, document)


def _rows(spec: AblationSpec, base: ArchSpec, document: YamlDocument) -> Iterator[Candidate]:
    table = spec.published
    printed = published_table(table.paper, table.table) if table is not None else {}
    for label, row in spec.rows.items():
        try:
            yield _row(label, row or {}, base=base, printed=printed)
        except SpecError as e:
            path = f"rows.{label}.{e.path}" if e.path else f"rows.{label}"
            raise document.blame(SpecError(e.reason, path)) from None
        except PluginError as e:
            raise document.blame(SpecError(str(e), f"rows.{label}")) from None


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


def _base(base: str | Mapping[str, Any]) -> ArchSpec:
    if not isinstance(base, str):
        return ArchSpec.from_dict(base)
    if not is_arch_file(base):
        return named_arch(base)
    if not Path(base).is_file():
        raise SpecError(f"must be a name or a file, {shown(base)!r} is not there; {RULE}")
    return read_arch(Path(shown(base)))


def write_resolved(spec: SweepSpec, path: Path) -> None:
    """Write the resolved sweep as YAML."""
    text = yaml.safe_dump(spec.to_dict(), sort_keys=False, allow_unicode=True)
    write_whole(path, text)


def sweep_schema() -> dict[str, Any]:
    """The JSON schema of sweep files, of either kind, for editors."""
    either: TypeAdapter[AblationSpec | SearchSpec] = TypeAdapter(AblationSpec | SearchSpec)
    return either.json_schema(schema_generator=DescribedSchema)
