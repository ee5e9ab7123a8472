"""What `evnas erf` does: effective receptive fields of architectures, or of rows of a study."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evnas.arch.spec import ArchSpec
from evnas.blocks.backbone import build
from evnas.blocks.erf import effective_receptive_field, last_map_of
from evnas.commands.exporting import as_trained, load_weights
from evnas.commands.named import Chosen, arch_and_side
from evnas.errors import SpecError, nearest
from evnas.proxy.augment import evaluation_batch
from evnas.proxy.data import ProxyData, load_data
from evnas.record import Record
from evnas.report.frame.receptive_fields import ReceptiveField, keep_field
from evnas.report.page.erf_picture import area_fraction, reduce_field
from evnas.store import Store
from evnas.tables import DATASETS

BATCH = 4
Field = NDArray[np.float64]
"""(H, W), values in [0, 1]."""


@dataclass(frozen=True, slots=True)
class FieldSubject:
    """A model whose field is taken; `row` is the study's record of it, if it is a row."""

    name: str
    arch: ArchSpec
    resolution: int
    weights: Path | None = None
    row: Record | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)
    """`{"from": ...}` of a picked trial."""


def wanted(names: Sequence[str], resolution: int | None, study: Path | None) -> list[FieldSubject]:
    """What the names mean: rows of the study, or architectures.

    Raises:
        SpecError: an unknown name.
    """
    rows = _rows(study) if study is not None else {}
    found = []
    for name in names:
        if study is None:
            found.append(FieldSubject(name, *arch_and_side(name, resolution)))
        elif name not in rows:
            raise SpecError(f"{study}: has no row {name!r}{nearest(name, rows)}")
        else:
            arch = ArchSpec.from_dict(rows[name].arch)
            found.append(FieldSubject(name, arch, resolution or 224, row=rows[name]))
    return found


def picked(trials: Sequence[Chosen]) -> list[FieldSubject]:
    """A study's trials, as they were picked."""
    return [
        FieldSubject(found.name, found.arch, found.resolution, origin=found.origin)
        for found in trials
    ]


def with_weights(subjects: Sequence[FieldSubject], weights: Sequence[Path]) -> list[FieldSubject]:
    """The same with weights in their order.

    Raises:
        SpecError: weights for more models than there are.
    """
    if len(weights) > len(subjects):
        raise SpecError(f"--weights must be given once per name at most, got {len(weights)}")
    files = [*weights, *[None] * (len(subjects) - len(weights))]
    return [replace(one, weights=file) for one, file in zip(subjects, files, strict=True)]


def taken(
    subjects: Sequence[FieldSubject],
    *,
    data: str,
    images: int,
    seed: int,
    study: Path | None = None,
) -> list[tuple[FieldSubject, Field]]:
    """The field (H, W) of each model; those of a study's rows are noted in it.

    Args:
        data: a named set, or a folder of images.
        images: held-out ones that a field is the mean over, at most.
        seed: of weights that are not given.
    """
    source = data if data in DATASETS else {"folder": data}
    found = []
    for subject in subjects:
        began = time.perf_counter()
        loaded = load_data(source, resolution=subject.resolution)
        field = field_of(subject, loaded, images, seed)
        if study is not None and subject.row is not None:
            used = min(images, len(loaded.held_out))
            seconds = time.perf_counter() - began
            keep(study, subject, field, data=data, images=used, seed=seed, seconds=seconds)
        found.append((subject, field))
    return found


def field_of(subject: FieldSubject, data: ProxyData, images: int, seed: int) -> Field:
    """The effective receptive field (H, W) over the first held-out images."""
    arch, weights, _ = as_trained(subject.arch, subject.weights)
    model = build(arch, seed=seed)
    if weights is not None:
        load_weights(model, weights)
    return effective_receptive_field(
        last_map_of(model), _batches(data, images, subject.resolution)
    )


def keep(
    study: Path,
    subject: FieldSubject,
    field: Field,
    *,
    data: str,
    images: int,
    seed: int,
    seconds: float,
) -> None:
    """Note the field in the study, where its page shows it.

    Raises:
        StoreError: the study cannot be written.
    """
    assert subject.row is not None
    found = ReceptiveField(
        label=subject.row.label,
        digest=subject.row.digest,
        resolution=subject.resolution,
        weights=subject.weights.name if subject.weights else "random",
        area_fraction=area_fraction(field),
        map=reduce_field(field),
        images=images,
        data=data,
        seed=None if subject.weights else seed,
        taken=time.time() - seconds,
        seconds=seconds,
    )
    with Store.append_to(study / "study.db") as store:
        keep_field(store, found)


def _rows(study: Path) -> dict[str, Record]:
    with Store.read(study / "study.db") as store:
        return {r.label: r for _, r in store.records() if "timm" not in r.arch}


def _batches(data: ProxyData, images: int, resolution: int) -> Iterator[torch.Tensor]:
    for start in range(0, min(images, len(data.held_out)), BATCH):
        stop = min(start + BATCH, images)
        yield evaluation_batch(data, start, stop, resolution=resolution)
