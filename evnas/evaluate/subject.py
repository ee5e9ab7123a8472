"""What is evaluated: weights with their architecture, or an exported file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evnas.arch.catalog import Entry, catalog, entry
from evnas.arch.paths import edit
from evnas.arch.spec import ArchSpec
from evnas.blocks.fill import is_classifier
from evnas.blocks.official import load_official, read_checkpoint
from evnas.blocks.unwrap import unwrapped
from evnas.errors import DataError, SpecError
from evnas.evaluate.exported import said_by
from evnas.evaluate.formats import ONNX, must_not_run_code
from evnas.train.checkpoint import TrainedWeights, load_checkpoint
from evnas.train.loaders import View

USUAL_RESOLUTION = 224
"""Of weights that say none, of architectures that the catalogue has not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A model that answers, with what is recorded beside its weights."""

    name: str
    file: Path
    arch: ArchSpec | None = None
    """None of an exported file that does not say it."""
    state: Mapping[str, Any] = field(default_factory=dict)
    """The state dict under any names; empty of an exported file."""
    view: View = field(default_factory=lambda: View(resolution=USUAL_RESOLUTION))
    """How it was shown images; where nothing is recorded, as the releases do it."""
    classes: tuple[str, ...] = ()
    """Names of its classes, in the order of the logits; () where they are not recorded."""
    origin: Mapping[str, Any] = field(default_factory=dict)
    """The study's trial that it is; empty where it is none."""

    @property
    def is_exported(self) -> bool:
        """Whether it is a file that runs as it is, not weights."""
        return self.file.suffix == ONNX

    @property
    def known(self) -> Entry | None:
        """The catalogue's entry of this very architecture."""
        return None if self.arch is None else _entry_of(self.arch)


def subject_of(file: Path, arch: ArchSpec | None = None, *, name: str = "") -> Subject:
    """A training's folder or weights file, a state dict of `arch`, or an exported file.

    Args:
        arch: of weights that do not say theirs; those that do must be of it.
        name: as results call it; "" for the path.

    Raises:
        DataError: the file cannot be read, would run code, or is of another architecture.
        SpecError: nobody says the architecture.
    """
    name = name or str(file)
    must_not_run_code(file)
    if file.suffix == ONNX:
        return _of_onnx(file, name)
    if file.is_dir() or says_its_architecture(file):
        return _of_training(load_checkpoint(file), arch, name)
    if arch is None:
        raise SpecError(
            f"{file} does not say its architecture; name it with --arch NAME_OR_FILE or "
            "--from STUDY --pick WISH"
        )
    state = unwrapped(read_checkpoint(file))
    arch = _of_classes(arch, _classes_in(state) or arch.num_classes)
    return Subject(name=name, file=file, arch=arch, state=state, view=_usual_view(arch))


def official_subject(name: str, file: Path) -> Subject:
    """A release's weights, checked to be those of a published architecture.

    Raises:
        SpecError: no architecture has that name, or none was released.
        DataError: the file cannot be read, or is not of this architecture.
    """
    found = entry(name)
    return Subject(
        name=found.name,
        file=file,
        arch=found.arch,
        state=load_official(name, file).state_dict(),
        view=_usual_view(found.arch),
    )


def _of_training(found: TrainedWeights, arch: ArchSpec | None, name: str) -> Subject:
    if arch is not None and _of_classes(arch, found.arch.num_classes) != found.arch:
        raise DataError(
            f"{found.path} holds weights of the architecture {found.arch.digest}, and "
            f"{arch.digest} was named"
        )
    return Subject(
        name=name,
        file=found.path,
        arch=found.arch,
        state=found.state_dict(),
        view=View(
            resolution=found.resolution,
            crop_fraction=found.crop_fraction,
            interpolation=found.interpolation,
            mean=found.mean,
            std=found.std,
        ),
        classes=found.classes,
        origin=found.origin,
    )


def _of_onnx(file: Path, name: str) -> Subject:
    """By what it says of itself; one of another program says little."""
    said = said_by(file)
    arch = said.get("arch")
    fields: dict[str, Any] = {
        key: said[key] for key in ("crop_fraction", "interpolation") if key in said
    }
    for key in {"mean", "std"} & said.keys():
        fields[key] = tuple(said[key])
    return Subject(
        name=name,
        file=file,
        arch=None if arch is None else ArchSpec.from_dict(arch),
        view=View(resolution=int(said.get("resolution") or USUAL_RESOLUTION), **fields),
        classes=tuple(said.get("classes") or ()),
        origin=said.get("from") or {},
    )


def says_its_architecture(file: Path) -> bool:
    """Whether weights are of a training. Raises DataError where the file cannot be read."""
    held = read_checkpoint(file)
    return "format" in held and isinstance(held.get("arch"), Mapping)


def _usual_view(arch: ArchSpec) -> View:
    known = _entry_of(arch)
    return View(resolution=known.resolution if known else USUAL_RESOLUTION)


def _entry_of(arch: ArchSpec) -> Entry | None:
    return next((found for found in catalog().values() if found.arch == arch), None)


def _of_classes(arch: ArchSpec, classes: int) -> ArchSpec:
    return arch if arch.num_classes == classes else edit(arch, {"num_classes": classes})


def _classes_in(state: Mapping[str, Any]) -> int:
    """Rows of a classifier under our names; 0 where there is none."""
    rows = [v.shape[0] for k, v in state.items() if is_classifier(k) and k.endswith("weight")]
    return int(rows[0]) if rows else 0
