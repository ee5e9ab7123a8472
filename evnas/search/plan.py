"""From a sweep to its work, phase by phase, in the order in which it is done."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from evnas.measure.flops import count
from evnas.measure.target import DeviceMissing, Target
from evnas.record import Phase
from evnas.search.work import Work
from evnas.space.candidate import Candidate
from evnas.space.sweep_parts import TargetSpec
from evnas.sweep import Sweep

PHASES: tuple[Phase, ...] = ("count", "score", "speed", "proxy")


def evaluated(sweep: Sweep) -> list[Candidate]:
    """The rows that are evaluated: no absent one, and of equal rows the first."""
    found: list[Candidate] = []
    for candidate in sweep.candidates:
        if not candidate.absent and not any(candidate.same_work(other) for other in found):
            found.append(candidate)
    return found


def counts(sweep: Sweep) -> list[Work]:
    """The counting of every row, the reference first."""
    return [
        _work(sweep, candidate, "count", convention=sweep.spec.convention)
        for candidate in _reference_first(sweep)
    ]


def speeds(sweep: Sweep, reference_macs: float) -> list[Work]:
    """The timing of every row on every target, in alternation with the reference.

    Args:
        reference_macs: exact, of one image as counted; they settle `batch_size: auto` for all
            rows.

    Raises:
        MeasurementError: no target's device is here.
    """
    found: dict[str, dict[str, Work]] = {}
    absent = missing(sweep)
    for index, spec in enumerate(sweep.spec.targets):
        for candidate in _reference_first(sweep) if index not in absent else ():
            counted = counted_resolution(sweep, sweep.reference)
            target = settled(spec, candidate, macs=reference_macs, counted=counted)
            alone = candidate == sweep.reference
            work = _work(
                sweep,
                candidate,
                "speed",
                target=target.id,
                target_index=index,
                resolution=target.resolution,
                speed=target_fields(target) | {"budget_s": spec.budget_s},
                reference=None if alone else sweep.reference.to_dict(),
            )
            # two targets of a sweep may be one on this machine: `auto` and `cpu` where no GPU is
            found.setdefault(candidate.label, {}).setdefault(target.id, work)
    works = [work for of_row in found.values() for work in of_row.values()]
    return sorted(works, key=lambda work: work.target_index)


def proxies(sweep: Sweep) -> list[Work]:
    """The short training of every row, seed by seed; rows of one architecture share it."""
    proxy = sweep.spec.proxy
    if proxy is None:
        return []
    rows = {c.digest: c for c in reversed(_reference_first(sweep))}.values()
    return [
        _work(
            sweep,
            candidate,
            "proxy",
            seed=seed,
            budget=float(proxy.presentations),
            proxy=proxy.model_dump(mode="json"),
        )
        for seed in sweep.spec.seeds
        for candidate in reversed(rows)
    ]


def counted_resolution(sweep: Sweep, candidate: Candidate) -> int:
    """The resolution at which a row is counted: its own, else the first target's."""
    return candidate.resolution or sweep.spec.resolution


def missing(sweep: Sweep) -> dict[int, str]:
    """Targets whose device this machine lacks, by their place, with the reason; others go on.

    Raises:
        MeasurementError: no target is left, or one can be nowhere.
    """
    found = {}
    for index, spec in enumerate(sweep.spec.targets):
        try:
            settled(spec, sweep.reference, macs=1.0, counted=1)
        except DeviceMissing as e:
            found[index] = str(e)
    if found and len(found) == len(sweep.spec.targets):
        raise DeviceMissing(found[0])
    return found


def settled(spec: TargetSpec, candidate: Candidate, *, macs: float, counted: int) -> Target:
    """A target on this machine for one row, with `auto` settled.

    Args:
        macs: exact multiply-adds of the reference for one image of `counted` pixels a side.
    """
    target = Target(
        device=spec.device,
        runtime=spec.runtime,
        resolution=spec.side(candidate.resolution),
        precision=spec.precision,
        form=spec.form,
        mode=spec.mode,
    ).resolved()
    target = replace(target, batch_size=candidate.batch_on(target.device_type, spec))
    macs_each = macs * (target.resolution / counted) ** 2
    return target.with_batch(macs_each, budget_s=spec.budget_s)


def ids_here(sweep: Sweep) -> list[str]:
    """The targets' ids for the reference row; as the file spells one whose device is not here."""
    counted = counted_resolution(sweep, sweep.reference)
    macs = float(count(sweep.base, counted).macs["exact"])
    found = []
    for spec in sweep.spec.targets:
        try:
            found.append(settled(spec, sweep.reference, macs=macs, counted=counted).id)
        except DeviceMissing:
            found.append(spec.spelt_id())
    return found


def _reference_first(sweep: Sweep) -> list[Candidate]:
    rows = evaluated(sweep)
    return sorted(rows, key=lambda c: c != sweep.reference)


def target_fields(target: Target) -> dict[str, Any]:
    """A target as plain data, for `Work.speed`."""
    return asdict(target)


def _work(
    sweep: Sweep,
    candidate: Candidate,
    phase: Phase,
    *,
    seed: int = 0,
    budget: float = 0.0,
    target: str = "",
    target_index: int = 0,
    resolution: int | None = None,
    convention: str | None = None,
    speed: Mapping[str, Any] | None = None,
    reference: Mapping[str, Any] | None = None,
    proxy: Mapping[str, Any] | None = None,
) -> Work:
    return Work(
        label=candidate.label,
        digest=candidate.digest,
        arch=candidate.to_dict(),
        phase=phase,
        seed=seed,
        budget=budget,
        target=target,
        target_index=target_index,
        resolution=resolution or counted_resolution(sweep, candidate),
        convention=convention,
        speed=speed,
        reference=reference,
        proxy=proxy,
    )
