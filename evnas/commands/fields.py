"""What `evnas erf` does: effective receptive fields of architectures, or of rows of a study."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from evnas.arch.spec import ArchSpec
from evnas.blocks.backbone import build
from evnas.blocks.erf import effective_receptive_field, last_map_of
from evnas.commands.exporting import load_weights
from evnas.commands.named import arch_and_side
from evnas.errors import SpecError, nearest
from evnas.proxy.augment import evaluation_batch
from evnas.proxy.data import ProxyData
from evnas.record import Record
from evnas.report.frame.receptive_fields import ReceptiveField, keep_field
from evnas.report.page.erf_picture import area_fraction, reduce_field
from evnas.store import Store

BATCH = 4


@dataclass(frozen=True, slots=True)
class Subject:
    """A model whose field is taken; `row` is the study's record of it, if it is a row."""

    name: str
    arch: ArchSpec
    resolution: int
    weights: Path | None
    row: Record | None = None


def subjects(
    names: list[str], weights: list[Path], resolution: int | None, study: Path | None
) -> list[Subject]:
    """What the names mean: rows of the study, or architectures.

    Raises:
        SpecError: an unknown name, or weights for more models than there are.
    """
    if len(weights) > len(names):
        raise SpecError(f"--weights must be given once a name at most, got {len(weights)}")
    rows = _rows(study) if study is not None else {}
    files: list[Path | None] = [*weights, *[None] * (len(names) - len(weights))]
    found = []
    for name, file in zip(names, files, strict=True):
        if study is None:
            found.append(Subject(name, *arch_and_side(name, resolution), file))
        elif name not in rows:
            raise SpecError(f"{study}: has no row {name!r}{nearest(name, rows)}")
        else:
            arch = ArchSpec.from_dict(rows[name].arch)
            found.append(Subject(name, arch, resolution or 224, file, rows[name]))
    return found


def field_of(subject: Subject, data: ProxyData, images: int, seed: int) -> NDArray[np.float64]:
    """The effective receptive field (H, W) over the first held-out images."""
    model = build(subject.arch, seed=seed)
    if subject.weights is not None:
        load_weights(model, subject.weights)
    return effective_receptive_field(
        last_map_of(model), _batches(data, images, subject.resolution)
    )


def keep(
    study: Path,
    subject: Subject,
    field: NDArray[np.float64],
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
