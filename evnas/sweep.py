"""What a sweep file says, validated: rows of an ablation, or a space to search.

Every complaint names file, line and path. Nothing here runs or measures anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from evnas.errors import SpecError, nearest
from evnas.space.arch import ArchSpec, first_fault
from evnas.space.candidate import Candidate, candidate_of, named_arch
from evnas.space.catalog import Family
from evnas.space.located import Located, LocatedError, parse_yaml, read_yaml
from evnas.space.paths import assign, leaves, spell
from evnas.space.published import published_table

CONVENTIONS: Mapping[str, Family] = {
    "EfficientViM": "efficientvim",
    "VSSD": "vssd",
    "VMamba": "vmamba",
    "EfficientVMamba": "efficientvmamba",
}
"""A paper's own way of counting FLOPs."""
DATA_SETS = ("fashion-mnist-12k", "fashion-mnist")
_DEVICE = r"^(auto|cpu|cuda(:\d+)?)$"
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
_PATTERNS = {
    _DEVICE: "auto, cpu, cuda or cuda:N",
    _NAME: "letters, digits, '_', '.' and '-'",
}
_SHORT = {"dict_type": "must be a mapping", "string_type": "must be text"}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PublishedSpec(_Part):
    """The printed table that a sweep stands beside."""

    paper: str
    table: str = Field(coerce_numbers_to_str=True)
    convention: Family | None = None
    """How FLOPs are counted for comparison; the paper's own unless given."""

    @model_validator(mode="after")
    def _is_printed(self) -> Self:
        try:
            published_table(self.paper, self.table)
        except SpecError as e:
            raise ValueError(e.reason) from None
        return self


class TargetSpec(_Part):
    """What throughput is measured on; `evnas.measure.target` says what each field means."""

    device: str = Field(default="auto", pattern=_DEVICE)
    runtime: Literal["torch", "compile", "cuda_graph", "onnx"] = "torch"
    resolution: int = Field(default=224, ge=8, le=8192)
    batch_size: int | Literal["auto"] = "auto"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    form: Literal["plain", "deployed"] = "plain"
    budget_s: float = Field(default=8.0, gt=0)
    """Wall time of warm-up and rounds for one row."""


class FolderData(_Part):
    """An image folder in torchvision's layout: a folder a class, under train/ and val/ or not."""

    folder: str


class ProxySpec(_Part):
    """A short training on real images, the same for every row."""

    data: str | FolderData = "fashion-mnist-12k"
    resolution: int = Field(default=56, ge=8, le=1024)
    stem_stride: int = Field(default=4, ge=1, le=16)
    """The stem's total stride here: 4 at 56x56 gives stages the maps of 16 at 224x224."""
    width: float = Field(default=1.0, gt=0, le=4)
    """Every dim of every row times this."""
    epochs: int = Field(default=2, ge=1)
    images_per_epoch: int = Field(default=1600, ge=2)
    """Image presentations an epoch; no image comes twice before every image came once."""
    batch_size: int = Field(default=16, ge=2)
    lr: float = Field(default=2e-3, gt=0)
    """Peak learning rate."""
    precision: Literal["float32", "bfloat16"] = "float32"
    points_per_epoch: int = Field(default=2, ge=1)
    """Points of the learning curve an epoch."""
    curve_images: int = Field(default=500, ge=1)
    """Held-out images behind every point but the last, which takes all."""
    device: str = Field(default="auto", pattern=_DEVICE)

    @model_validator(mode="after")
    def _has_steps(self) -> Self:
        if self.images_per_epoch // self.batch_size < self.points_per_epoch:
            raise ValueError(
                f"an epoch of {self.images_per_epoch} images must hold at least "
                f"points_per_epoch = {self.points_per_epoch} batches of {self.batch_size}"
            )
        return self

    @property
    def presentations(self) -> int:
        """Images that a whole training shows: a Record's budget."""
        return self.epochs * (self.images_per_epoch // self.batch_size) * self.batch_size


class EngineSpec(_Part):
    """Who runs the phases. `local`: worker processes here; `ray`: a Ray cluster."""

    kind: Literal["local", "ray"] = "local"
    workers: int | Literal["auto"] = "auto"
    """Of `local`: processes at once; auto is one a GPU, or one on a machine without."""
    timeout_s: float = Field(default=86400.0, gt=0)
    """A phase that takes longer ends as `timeout`."""
    address: str = "auto"
    resources: dict[str, float] = Field(default_factory=dict)


class SweepSpec(_Part):
    """A validated sweep file."""

    name: str = Field(pattern=_NAME)
    """Names the study's folder under results/."""
    title: str = ""
    base: str | dict[str, Any]
    """A catalogue name, a path to an architecture's YAML, or an architecture spelt out."""
    published: PublishedSpec | None = None
    rows: dict[str, dict[str, Any] | None] = Field(default_factory=dict)
    """Row name -> changes to the base, by path; or `arch`, `timm`, `resolution`, `note`."""
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    targets: tuple[TargetSpec, ...] = (TargetSpec(),)
    proxy: ProxySpec | None = None
    engine: EngineSpec = EngineSpec()

    @model_validator(mode="after")
    def _has_work(self) -> Self:
        if not self.rows:
            raise ValueError("a sweep needs rows (an ablation)")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must differ, got {list(self.seeds)}")
        return self

    def to_dict(self) -> dict[str, Any]:
        """The resolved sweep: every default spelt out; itself a sweep."""
        return self.model_dump(mode="json")

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

    @property
    def reference(self) -> Candidate:
        """The row that ratios and differences refer to: the base's own, else the first."""
        own = [c for c in self.candidates if c.is_base and not c.absent]
        return (own or [c for c in self.candidates if not c.absent] or list(self.candidates))[0]

    def identity(self) -> dict[str, Any]:
        """What must not change when a study is continued: the sweep less names and engine."""
        resolved = self.spec.to_dict()
        for free in ("title", "engine", "name"):
            del resolved[free]
        return {**resolved, "digests": {c.label: c.digest for c in self.candidates}}


def load_sweep(
    path: Path, *, overrides: Sequence[str] = (), quick: bool = False, name: str | None = None
) -> Sweep:
    """Read and validate a sweep file.

    Args:
        path: the YAML file.
        overrides: `path=value` texts of `--set`, applied in order.
        quick: cut down to a first look, under the name `<name>_quick`.
        name: another name for the study.

    Raises:
        LocatedError: with file and line, for whatever is wrong in the file.
        SpecError: for an override that cannot hold.
    """
    located = read_yaml(path)
    spec = _validated(located)
    _data_is_here(spec, located)
    for text in overrides:
        spec = _overridden(spec, text)
        _data_is_here(spec, Located(f"--set {text}", {}))
    if quick:
        spec = quickened(spec)
    if name is not None:
        spec = _revalidated(spec.to_dict() | {"name": name}, "--name")
    return Sweep(spec, _candidates(spec, located))


def sweep_of(data: Mapping[str, Any], *, source: str = "sweep") -> Sweep:
    """A sweep from plain data, such as what a store holds."""
    located = Located(source, dict(data))
    spec = _validated(located)
    return Sweep(spec, _candidates(spec, located))


def quickened(spec: SweepSpec) -> SweepSpec:
    """The same rows for a first look: short measurements, a quarter of the width, few images."""
    raw = spec.to_dict()
    raw["name"] += "_quick"
    raw["seeds"] = raw["seeds"][:1]
    for target in raw["targets"]:
        target["budget_s"] = min(2.0, target["budget_s"])
    if raw["proxy"] is not None:
        raw["proxy"] |= {
            "width": min(0.25, raw["proxy"]["width"]),
            "epochs": 1,
            "images_per_epoch": min(800, raw["proxy"]["images_per_epoch"]),
        }
    return SweepSpec.model_validate(raw)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """`path: old -> new` wherever two identities of a sweep differ."""
    left, right = (dict(leaves(side)) for side in (old, new))
    places = [*left, *(place for place in right if place not in left)]
    return [
        f"{spell(place)}: {left.get(place, 'nothing')!r} -> {right.get(place, 'nothing')!r}"
        for place in places
        if left.get(place) != right.get(place) or (place in left) != (place in right)
    ]


def _validated(located: Located) -> SweepSpec:
    try:
        return SweepSpec.model_validate(located.data)
    except ValidationError as e:
        raise located.blame(_fault(e, located.data)) from None


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
        return SweepSpec.model_validate(raw)
    except ValidationError as e:
        raise LocatedError(_fault(e, raw), where) from None


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


def _candidates(spec: SweepSpec, located: Located) -> tuple[Candidate, ...]:
    try:
        base = _base(spec.base, Path(located.source).parent)
    except SpecError as e:
        raise located.blame(SpecError(e.reason, f"base.{e.path}" if e.path else "base")) from None
    printed = {}
    if spec.published is not None:
        printed = published_table(spec.published.paper, spec.published.table)
    found: list[Candidate] = []
    for label, row in spec.rows.items():
        try:
            candidate = candidate_of(label, row or {}, base)
            if printed and candidate.published not in printed:
                raise SpecError(
                    f"{spec.published and spec.published.paper} prints no row "
                    f"{candidate.published!r} in this table"
                    f"{nearest(candidate.published, printed)}; `published: NAME` in the row "
                    "names another"
                )
        except SpecError as e:
            path = f"rows.{label}.{e.path}" if e.path else f"rows.{label}"
            raise located.blame(SpecError(e.reason, path)) from None
        found.append(candidate)
    return tuple(found)


def _base(base: str | Mapping[str, Any], folder: Path) -> ArchSpec:
    if not isinstance(base, str):
        return ArchSpec.from_dict(base)
    if not base.endswith((".yaml", ".yml")):
        return named_arch(base)
    located = read_yaml(folder / base if (folder / base).exists() else Path(base))
    try:
        return ArchSpec.from_dict(located.data)
    except SpecError as e:
        raise located.blame(e) from None


def _fault(error: ValidationError, data: Any) -> SpecError:
    """The first complaint, with the keys that this sweep part knows."""
    fault = error.errors(include_url=False)[0]
    told = first_fault(error, data)
    if fault["type"] in _SHORT:
        return SpecError(f"{_SHORT[fault['type']]}, got {fault['input']!r:.60}", told.path)
    if told.path.startswith("proxy.data."):
        return SpecError(
            f"must be one of {', '.join(DATA_SETS)} or {{folder: PATH}}, got {fault['input']!r}",
            "proxy.data",
        )
    if fault["type"] == "string_pattern_mismatch":
        must = _PATTERNS.get(fault["ctx"]["pattern"], fault["ctx"]["pattern"])
        return SpecError(f"must be {must}, got {fault['input']!r}", told.path)
    if fault["type"] == "extra_forbidden":
        known = _keys(SweepSpec, fault["loc"][:-1])
        name = str(fault["loc"][-1])
        return SpecError(
            f"unknown key{nearest(name, known)} (known here: {', '.join(known)})", told.path
        )
    return told


def _keys(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """Names of the fields of the part of a model that `loc` points at."""
    for part in loc:
        if part in model.model_fields:
            annotation = model.model_fields[str(part)].annotation
            inner = [t for t in _types(annotation) if issubclass(t, BaseModel)]
            model = inner[0] if inner else model
    return list(model.model_fields)


def _types(annotation: Any) -> list[type]:
    parts = getattr(annotation, "__args__", ())
    if not parts:
        return [annotation] if isinstance(annotation, type) else []
    return [found for part in parts for found in _types(part)]


def write_resolved(spec: SweepSpec, path: Path) -> None:
    """Write the resolved sweep as YAML."""
    path.write_text(yaml.safe_dump(spec.to_dict(), sort_keys=False, allow_unicode=True))
