"""Rows of a study with their figures, and how far two figures of one kind lie apart.

Figures are compared only where they are of one kind: counts at one resolution, speeds on one
target of machines alike, trainings of one recipe and length. Where that is not so the reason
stands in place of a difference.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from evnas.errors import EvnasError
from evnas.record import Machine, Record
from evnas.report.frame.accuracy import mean_over_seeds, top1_difference
from evnas.report.frame.columns import describe_column, scale_count
from evnas.report.frame.study_reader import StudyReader
from evnas.stats.interval import Interval
from evnas.stats.power import SeedNoise, known_noise
from evnas.sweep.parts import ProxySpec
from evnas.sweep.sweep import differences, sweep_of
from evnas.tables import PHASES

IMAGES = "images"
DRAWS = 2000
"""Of a bootstrap of the difference of two medians."""


@dataclass(slots=True, kw_only=True)
class Figure:
    """One quantity of one row: counted, or sampled, or of training seeds."""

    value: float
    samples: tuple[float, ...] = ()
    """Of a speed: all rounds of all its measurements."""
    by_seed: Mapping[int, Record] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    """What must be the same for two of them to be of one kind."""
    machines: frozenset[Machine | None] = frozenset()


@dataclass(slots=True, kw_only=True)
class Row:
    """One trial of one study."""

    label: str
    digest: str
    status: str = "complete"
    figures: dict[str, Figure] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Compared:
    """One study: its name and its rows, in the order in which they began."""

    name: str
    folder: str
    rows: list[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureDifference:
    """A later study's figure less the first one's."""

    quantity: str
    first: float
    other: float
    difference: Interval | None
    """With its 95 % bounds, NaN where a single sample or seed gives none; None where the two are
    not of one kind."""
    reason: str = ""
    """Why they are not."""


def read_study(folder: Path) -> Compared:
    """All rows of a study with what they found. Raises StoreError where it cannot be read."""
    reader = StudyReader(folder)
    try:
        reader.read_all()
        sweep, images = reader.sweep, reader.meta("images") or {}
        records = [record for _, record in reader.store.records()]
    finally:
        reader.close()
    text = reader.frame.text
    rows = {
        (label, digest): Row(label=label, digest=digest, status=status)
        for label, digest, status in zip(
            text["label"], text["digest"], text["status"], strict=True
        )
    }
    of_row: dict[tuple[str, str], list[Record]] = {key: [] for key in rows}
    for record in records:
        of_row[record.label, record.digest].append(record)
    about = _about(sweep, images.get("fingerprint", ""))
    for key, row in rows.items():
        row.figures = _figures(of_row[key], about)
    return Compared(name=folder.name, folder=str(folder), rows=list(rows.values()))


def _about(sweep: Mapping[str, Any], images: str) -> dict[str, dict[str, Any]]:
    """Of each phase what the sweep says that its figures hang on.

    Args:
        images: the fingerprint of what was trained on; "" where it was not noted.
    """
    usual = ProxySpec().model_dump(mode="json")  # what an older study did not say yet
    proxy = {k: v for k, v in {**usual, **(sweep.get("proxy") or {})}.items() if k != "device"}
    try:
        reference = sweep_of(sweep).reference.digest
    except EvnasError:  # a base beside a file that is not here
        reference = ""
    return {"proxy": {"proxy": proxy, IMAGES: images}, "reference": {"reference": reference}}


def _figures(records: Sequence[Record], about: Mapping[str, dict[str, Any]]) -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    longest = max((r.budget for r in records if r.phase == "proxy"), default=0.0)
    for record in records:
        if record.status not in ("complete", "infeasible"):
            continue
        if record.phase == "speed":
            _take_speed(record, found, about["reference"])
        elif record.phase != "proxy" or record.budget == longest:
            _take_values(record, found, about["proxy"])
    return {key: figure for key, figure in found.items() if describe_column(key).better}


def _take_speed(record: Record, found: dict[str, Figure], reference: dict[str, Any]) -> None:
    for name, measured in record.measurements.items():
        key = f"{name}@{record.target}"
        before = found.get(key)
        samples = (*(before.samples if before else ()), *measured.samples)
        machines = (before.machines if before else frozenset()) | {record.machine}
        about = reference if name.endswith("ratio") else {}
        found[key] = Figure(
            value=statistics.median(samples), samples=samples, about=about, machines=machines
        )


def _take_values(record: Record, found: dict[str, Figure], proxy: dict[str, Any]) -> None:
    for name, value in record.values.items():
        key, number = scale_count(name, value)
        if not _is_of_seeds(record.phase):
            about = {k: v for k, v in record.details.items() if k in ("resolution", "convention")}
            found[key] = Figure(value=number, about=about)
            continue
        before = found.get(key)
        seeds = {**(before.by_seed if before else {}), record.seed: record}
        values = [r.values[name] for r in seeds.values()]
        mean = sum(values) / len(values)
        about = {**proxy, "budget": record.budget} | _handed_down(record)
        found[key] = Figure(value=mean, by_seed=seeds, about=about)


def _is_of_seeds(phase: str) -> bool:
    return phase in PHASES.usable() and PHASES.get(phase).per_seed


def _handed_down(record: Record) -> dict[str, Any]:
    """Through which trainings the weights came that a training began with; {} from scratch."""
    return {key: record.details[key] for key in ("inherited_from", "lineage")
            if key in record.details}  # fmt: skip


def differences_of(first: Row, other: Row) -> list[FigureDifference]:
    """Of every quantity that both rows have."""
    return [
        _difference(key, figure, other.figures[key])
        for key, figure in first.figures.items()
        if key in other.figures
    ]


def _difference(key: str, first: Figure, other: Figure) -> FigureDifference:
    reason = unlike(first, other)
    found = None if reason else apart(key, first, other)
    if found is None and not reason:
        reason = "they have no seed in common"
    return FigureDifference(
        quantity=key, first=first.value, other=other.value, difference=found, reason=reason
    )


def unlike(first: Figure, other: Figure) -> str:
    """Why two figures are not of one kind, or ""."""
    seen = {about.get(IMAGES) for about in (first.about, other.about)} - {None, ""}
    if len(seen) > 1:
        return "trained on other images"
    mine, its = ({k: v for k, v in f.about.items() if k != IMAGES} for f in (first, other))
    if changes := differences(mine, its):
        return changes[0]
    if not first.samples or "reference" in first.about:
        return ""
    machines = first.machines | other.machines
    known = [machine for machine in machines if machine is not None]
    if len(known) < len(machines):
        return "the machine that timed one of them is not known"
    if not all(machine.is_like(known[0]) for machine in known):
        return f"timed on several machines: {', '.join(sorted(map(str, known)))}"
    return ""


def apart(key: str, first: Figure, other: Figure) -> Interval | None:
    """`other` less `first`; None where seeds of both are wanted and none is common."""
    whole = other.value - first.value
    if first.samples:
        return _between_medians(first.samples, other.samples)
    if not first.by_seed:
        return Interval(whole, whole, whole)
    common = sorted(first.by_seed.keys() & other.by_seed.keys())
    mine, its = ([f.by_seed[s] for s in common] for f in (other, first))
    if key == "top1_percent" and all("held_out_images" in r.values for r in (*mine, *its)):
        lone = len(common) == 1
        noise = _shipped_noise(mine, first.about.get("proxy", {})) if lone else None
        return top1_difference(mine, its, noise)
    each = [a.values[key] - b.values[key] for a, b in zip(mine, its, strict=True)]
    if len(each) > 1:
        return mean_over_seeds(each)
    return Interval(float("nan"), each[0], float("nan")) if each else None


def _shipped_noise(trainings: Sequence[Record], proxy: Mapping[str, Any]) -> SeedNoise | None:
    """Between seeds, for rows of one each, which show none of their own."""
    shown = max(r.values.get("train_images", r.budget) for r in trainings)
    return known_noise([], presentations=shown, data=proxy.get("data"))


def _between_medians(first: Sequence[float], other: Sequence[float]) -> Interval:
    """Difference of medians with bounds of the percentile bootstrap (Efron 1979), seed fixed."""
    middle = statistics.median(other) - statistics.median(first)
    if len(first) < 2 or len(other) < 2:
        return Interval(float("nan"), middle, float("nan"))
    rng = np.random.default_rng(0)
    drawn = [
        np.median(np.asarray(s)[rng.integers(len(s), size=(DRAWS, len(s)))], axis=1)
        for s in (first, other)
    ]
    low, high = np.percentile(drawn[1] - drawn[0], [2.5, 97.5])
    return Interval(float(low), middle, float(high))
