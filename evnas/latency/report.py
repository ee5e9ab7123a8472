"""A space calibrated on a target of this machine, and what is said of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from evnas.errors import MeasurementError
from evnas.latency.calibration import Calibration, calibrate, calibration_in, must_be_calibrated
from evnas.latency.design import design_of
from evnas.latency.measuring import Measurer, TargetMeasurer, must_be_predictable
from evnas.latency.parts import part_of_dict
from evnas.latency.table import LatencyTable, Timed
from evnas.latency.validation import cross_validated
from evnas.measure.counting.flops import count
from evnas.measure.target import Target
from evnas.measure.timing.cpu_limits import heed_quota
from evnas.measure.timing.device_lock import device_lock_for
from evnas.space.space import SearchSpace
from evnas.sweep.parts import TargetSpec
from evnas.sweep.sweep import Sweep


def settled_target(sweep: Sweep, spec: TargetSpec) -> Target:
    """A target on this machine with `auto` settled, as searches settle it.

    Raises:
        MeasurementError: its device is not here, or parts cannot be timed on it.
    """
    heed_quota()
    here = target_of(spec)
    macs = float(count(sweep.base, here.resolution).macs["exact"])
    return here.with_batch(macs, budget_s=spec.budget_of(search=False))


def calibrated(
    sweep: Sweep,
    space: SearchSpace,
    spec: TargetSpec,
    *,
    minutes: float | None = None,
    say: Callable[[str], None] = lambda text: None,
    measurer: Measurer | None = None,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Measure what is lacking, fit, and say how well it does, as plain data.

    Args:
        measurer: in place of this machine's.
        folder: of tables; that of the user's cache unless given.

    Raises:
        MeasurementError: too little could be measured for a fit.
    """
    target = settled_target(sweep, spec)
    table = LatencyTable.of_target(target, folder=folder)
    design = design_of(space, sweep.base, target.resolution)
    if measurer is None:
        measurer = TargetMeasurer(target, device_lock=device_lock_for(target.device, say))
    progress = calibrate(design, table, measurer, target, minutes=minutes, say=say)
    found = calibration_in(table, design.networks, target)
    predictor = must_be_calibrated(found, "the same command goes on")
    ways = cross_validated(predictor)
    return {
        **about(found),
        "measured": progress.measured,
        "known": progress.known,
        "left": progress.left,
        "refused": list(progress.refused),
        "seconds": progress.seconds,
        "table": str(table.file),
        "cross_validated": {name: way.to_dict() for name, way in ways.items()},
    }


def about(calibration: Calibration) -> dict[str, Any]:
    """What it is and is made from, in short."""
    return {
        "id": calibration.id,
        "target": calibration.target,
        "of": dict(calibration.of),
        "parts": len(calibration.parts),
        "networks": len(calibration.networks),
    }


def table_rows(spec: TargetSpec, *, folder: Path | None = None) -> dict[str, Any]:
    """A target's table as plain data: what it holds for, its file, and an entry a measurement.

    Args:
        folder: of tables; that of the user's cache unless given.

    Raises:
        MeasurementError: nothing was measured on this target yet, or parts cannot be.
    """
    heed_quota()
    target = target_of(spec)
    table = LatencyTable.of_target(target, folder=folder)
    if not table.entries:
        raise MeasurementError(
            f"nothing was measured yet on {', '.join(f'{k} {v}' for k, v in table.of.items())}: "
            f"evnas calibrate FILE --target {target.runtime} does"
        )
    entries = sorted((_row(timed) for timed in table.entries.values()), key=_order)
    return {"of": dict(table.of), "table": str(table.file), "entries": entries}


def target_of(spec: TargetSpec) -> Target:
    """A target on this machine, its batch as the file says or `auto`.

    Raises:
        MeasurementError: its device is not here, or parts cannot be timed on it.
    """
    target = Target(
        device=spec.named_device,
        runtime=spec.named_runtime,
        resolution=spec.side(),
        precision=spec.precision,
        form=spec.form,
        mode=spec.mode,
    )
    here = must_be_predictable(target).resolved()
    batch = spec.batch_on(here.device_type)
    return replace(here, batch_size=batch if isinstance(batch, int) else "auto")


def _row(timed: Timed) -> dict[str, Any]:
    part = part_of_dict(timed.what["part"]) if "part" in timed.what else None
    return {
        "kind": "network" if part is None else part.kind,
        "group": "" if part is None else part.group,
        "batch_size": timed.batch_size,
        "resolution": timed.what["resolution"] if part is None else part.shape[1],
        "latency_ms": timed.latency_ms,
        "anchor_ms": timed.anchor_ms,
        "samples": timed.samples,
        "macs": timed.macs,
        "refused": timed.refused,
        "numbers": {} if part is None else dict(part.numbers),
        "arch": timed.what["network"] if part is None else part.arch.to_dict(),
    }


def _order(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["kind"], row["group"], row["batch_size"], sorted(row["numbers"].items())
