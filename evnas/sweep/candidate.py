"""One row of an ablation as data: an ArchSpec made from a base, or a peer by its timm name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evnas.arch.catalog import entry
from evnas.arch.changes import what_changed
from evnas.arch.paths import assign, parse, resolve, spell
from evnas.arch.spec import ArchSpec
from evnas.errors import SpecError, nearest
from evnas.runtime import BatchSize
from evnas.sweep.parts import MOST_IMAGES, TargetSpec

ROW_KEYS = ("arch", "timm", "absent", "resolution", "batch_size", "published", "note")
"""Keys of a row that are not paths into the base."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What one row evaluates."""

    label: str
    arch: ArchSpec | None
    """None for a peer or an absent row."""
    timm: str = ""
    absent: str = ""
    """Why this printed row cannot be evaluated here; it is shown as printed."""
    resolution: int | None = None
    """In place of the targets' own."""
    batch_size: int | None = None
    """In place of the targets' own."""
    printed_batch: int | None = None
    """The printed row's own."""
    published: str
    """The printed row's name."""
    note: str = ""
    is_base: bool = False

    @property
    def digest(self) -> str:
        """Names the architecture in the store; "" when absent."""
        if self.arch is not None:
            return self.arch.digest
        return f"timm:{self.timm}" if self.timm else ""

    def to_dict(self) -> dict[str, Any]:
        """The architecture as a Record keeps it."""
        return {"timm": self.timm} if self.arch is None else self.arch.to_dict()

    def changes(self, base: ArchSpec) -> str:
        """What the row is beside a base, in a few words: `mixer sa, head.fusion none`; `base` of
        the base itself, a peer's name, nothing of an absent row."""
        if self.absent:
            return ""
        images = {"resolution": self.resolution, "batch": self.batch_size}
        timed = [f"{name} {value}" for name, value in images.items() if value is not None]
        own = [f"timm {self.timm}"] if self.arch is None else what_changed(base, self.arch)
        return ", ".join([*own, *timed]) or "base"

    def same_work(self, other: "Candidate") -> bool:
        """Whether evaluating one evaluates the other."""
        mine, its = (
            (c.digest, c.resolution, c.batch_size, c.printed_batch) for c in (self, other)
        )
        return mine == its

    def batch_on(self, device_type: str, target: TargetSpec) -> BatchSize:
        """Its images at once on a target, which means a device of that kind."""
        batch = self.batch_size or target.batch_on(device_type)
        return batch if batch != "printed" else self.printed_batch or "auto"


def candidate_of(label: str, row: Mapping[str, Any], base: ArchSpec) -> Candidate:
    """The candidate that a row of a sweep means.

    Args:
        row: `arch`, `timm` or `absent`, the other `ROW_KEYS`, and path -> value changes.

    Raises:
        SpecError: its path starts inside the row.
    """
    given = {key: row[key] for key in ROW_KEYS if key in row}
    changes = {path: value for path, value in row.items() if path not in ROW_KEYS}
    sources = [key for key in ("arch", "timm", "absent") if key in given]
    if len(sources) > 1:
        raise SpecError(f"a row has one of arch, timm and absent, got {' and '.join(sources)}")
    if changes and sources and sources[0] != "arch":
        path = next(iter(changes))
        raise SpecError(f"a row with {sources[0]} takes no changes", path)
    start = _given_arch(given["arch"]) if "arch" in given else base
    arch = None if sources and sources[0] != "arch" else changed(start, changes)
    return Candidate(
        label=label,
        arch=arch,
        timm=_text(given, "timm"),
        absent=_text(given, "absent"),
        resolution=_count(given, "resolution", most=8192),
        batch_size=_count(given, "batch_size", most=MOST_IMAGES),
        published=_text(given, "published") or label,
        note=_text(given, "note"),
        is_base=arch == base,
    )


def _given_arch(value: object) -> ArchSpec:
    """What a row's `arch` says: a name of the catalogue, or all fields spelt out."""
    if not isinstance(value, Mapping):
        return named_arch(_text({"arch": value}, "arch"), "arch")
    try:
        return ArchSpec.from_dict(dict(value))
    except SpecError as e:
        raise SpecError(e.reason, f"arch.{e.path}" if e.path else "arch") from None


def named_arch(name: str, path: str = "") -> ArchSpec:
    """An architecture of the catalogue; complaints stand at `path`."""
    try:
        return entry(name).arch
    except SpecError as e:
        raise SpecError(e.reason, path) from None


def changed(arch: ArchSpec, changes: Mapping[str, Any]) -> ArchSpec:
    """`arch` with path -> value changes. A complaint stands at the change that caused it."""
    raw = arch.to_dict()
    for path, value in changes.items():
        if not path.isidentifier() and "." not in path and "[" not in path:
            raise SpecError("is neither a path nor a key of a row", path)
        if parse(path)[0] not in raw:
            known = [*ROW_KEYS, *raw]
            raise SpecError(f"unknown key{nearest(path, known)}", path)
        assign(raw, path, value)
    try:
        return ArchSpec.from_dict(raw)
    except SpecError as e:
        raise SpecError(*_placed(e, raw, changes)) from None


def _placed(
    error: SpecError, raw: Mapping[str, Any], changes: Mapping[str, Any]
) -> tuple[str, str]:
    """Reason and path of a fault in the changed form, put on the last change that touches it."""
    for path in reversed(list(changes)):
        for place in map(spell, resolve(raw, path)):
            if error.path and (error.path.startswith(place) or place.startswith(error.path)):
                reason = error.reason if error.path == path else f"{error.path} {error.reason}"
                return reason, path
    if not error.path and changes:
        return error.reason, list(changes)[-1]
    return error.reason, error.path


def _text(given: Mapping[str, Any], key: str) -> str:
    value = given.get(key, "")
    if not isinstance(value, str):
        raise SpecError(f"must be text, got {value!r}", key)
    return value


def _count(given: Mapping[str, Any], key: str, *, most: int) -> int | None:
    value = given.get(key)
    if value is not None and (type(value) is not int or not 1 <= value <= most):
        raise SpecError(f"must be a whole number from 1 to {most}, got {value!r}", key)
    return value
