"""Several models on several targets, side by side: the first alone, each other in alternation
with it; or each alone in larger and larger batches."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from evnas.errors import EvnasError
from evnas.measure.target import Target
from evnas.measure.timing.cpu_limits import heed_quota
from evnas.measure.timing.device_lock import unsaid
from evnas.phases.base import Workshop
from evnas.record import Record
from evnas.search.bench import Arch, Benched, Say, speed_of, target_for
from evnas.search.evaluate import Evaluator
from evnas.stats.interval import Interval
from evnas.sweep.parts import TargetSpec

RATE = "throughput_img_s"
LARGEST_BATCH = 4096
TELLING_SAMPLES = 5
"""Of fewer an interval says nothing, so that one slower batch may be chance."""


@dataclass(frozen=True, slots=True)
class BenchRow:
    """One model on one target."""

    name: str
    record: Record
    base: str = ""
    """The model that its ratio is to; "" where there is no ratio."""
    beside: tuple[str, ...] = ()
    """Sentences of named protocols."""

    @property
    def target(self) -> str:
        """The target's id."""
        return self.record.target

    @property
    def batch(self) -> int:
        """Images at once."""
        return int(self.record.details["target"]["batch_size"])

    @property
    def batch_timed(self) -> int:
        """The same, or where `halve_batch` is set and memory ended, the half of it that fitted."""
        halved = self.record.details.get("batch_halved")
        return self.batch if halved is None else int(halved["timed"])

    @property
    def resolution(self) -> int:
        """Side of the images in pixels."""
        return int(self.record.details["target"]["resolution"])

    def interval(self, quantity: str) -> Interval | None:
        """95 % around the median; None where it was not measured."""
        measurement = self.record.measurements.get(quantity)
        return None if measurement is None else measurement.interval()

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        benched = Benched(self.record, self.name, self.base).to_dict()
        batches = {"batch_size": self.batch, "batch_timed": self.batch_timed}
        return benched | batches | {"named_protocols": list(self.beside)}


@dataclass(slots=True)
class BenchGrid:
    """What was measured, in order."""

    first: str
    """The model that ratios are to."""
    rows: list[BenchRow] = field(default_factory=list)
    ended: dict[str, str] = field(default_factory=dict)
    """`NAME on TARGET WITHOUT BATCH` -> why larger batches were not tried."""
    missing: int = 0
    """Rows, or series of batches, that were asked for and are not done yet."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data: a row a model and target; ratios are of throughputs, to the first."""
        return {
            "ratio_of_throughputs_to": self.first,
            "rows": [row.to_dict() for row in self.rows],
            "batches_ended": dict(self.ended),
            "missing": self.missing,
        }


Heard = Callable[[BenchGrid], None]
"""Hears what there is: before anything is measured, and after each row."""


def unheard(grid: BenchGrid) -> None:
    """Nobody asks before the end."""


def grid_of(
    models: Mapping[str, Arch],
    specs: Sequence[TargetSpec],
    *,
    protocols: Sequence[str] = (),
    say: Say = unsaid,
    heard: Heard = unheard,
    evaluator: Evaluator | None = None,
) -> BenchGrid:
    """Measure each model on each target.

    Args:
        models: name -> architecture; the first is what the others are timed in alternation with.
        specs: targets, one for each batch and resolution.
        protocols: names of `PROTOCOLS` that are set beside ours.
        say: hears what is being measured.
        heard: hears what there is by now.

    Raises:
        MeasurementError: the first model cannot be counted, or a target is not here: before
            anything is measured.
    """
    heed_quota()
    first, reference = next(iter(models.items()))
    evaluator, workshop = evaluator or Evaluator(), Workshop()
    targets = [target_for(reference, spec, evaluator) for spec in specs]
    grid = BenchGrid(first, missing=len(models) * len(specs))
    heard(grid)
    for spec, target in zip(specs, targets, strict=True):
        base: Arch | None = None
        for name, arch in models.items():
            say(f"{name} on {target.id}")
            record = speed_of(arch, spec, target, evaluator, base=base, say=say)
            beside = _beside(arch, record, target, protocols, workshop, say)
            ratio_to = first if "throughput_ratio" in record.measurements else ""
            grid.rows.append(BenchRow(name, record, ratio_to, beside))
            grid.missing -= 1
            heard(grid)
            if name == first and record.status == "complete":
                base = arch
    return grid


def batches_of(
    models: Mapping[str, Arch],
    specs: Sequence[TargetSpec],
    *,
    say: Say = unsaid,
    heard: Heard = unheard,
    evaluator: Evaluator | None = None,
) -> BenchGrid:
    """Throughput of each model alone against the batch, doubled from the target's own (1 where it
    is `auto`) until throughput surely falls, memory ends, or it cannot be measured."""
    heed_quota()
    evaluator = evaluator or Evaluator()
    grid = BenchGrid(next(iter(models)), missing=len(models) * len(specs))
    heard(grid)
    for spec in specs:
        start = spec.batch_size if isinstance(spec.batch_size, int) else 1
        for name, arch in models.items():
            best: BenchRow | None = None
            slower = 0  # of the batches since the best
            for batch in _doubled(start):
                sized = spec.model_copy(update={"batch_size": batch, "halve_batch": False})
                target = target_for(arch, sized, evaluator)
                say(f"{name} on {target.id}")
                row = BenchRow(name, speed_of(arch, sized, target, evaluator, say=say))
                grid.rows.append(row)
                slower = slower + 1 if _is_slower(row, best) else 0
                place = f"{name} on {'-'.join(_without_batch(target))}"
                grid.ended[place] = _why_no_larger(row, best, slower)
                heard(grid)
                if grid.ended[place]:
                    break
                best = row if best is None or _rate(row).mid > _rate(best).mid else best
            else:
                grid.ended[place] = f"batch {LARGEST_BATCH} is the largest that is tried"
            grid.missing -= 1
            heard(grid)
    return grid


def _why_no_larger(row: BenchRow, best: BenchRow | None, slower: int) -> str:
    if row.interval(RATE) is None:
        reason = row.record.error.strip().rpartition("\n")[2]
        return f"batch {row.batch} ended {row.record.status}: {reason}"
    if best is not None and slower and _tells(row) and _tells(best):
        return f"batch {row.batch} is slower than the best before it"
    if slower > 1:
        return f"batches {row.batch // 2} and {row.batch} are slower than the best before them"
    return ""


def _is_slower(row: BenchRow, best: BenchRow | None) -> bool:
    """Whether a batch's throughput lies below the best one's, as far as the intervals tell."""
    rate = row.interval(RATE)
    return best is not None and rate is not None and rate.high < _rate(best).low


def _rate(row: BenchRow) -> Interval:
    """Of a batch that was timed."""
    return row.record.measurements[RATE].interval()


def _tells(row: BenchRow) -> bool:
    return len(row.record.measurements[RATE].samples) >= TELLING_SAMPLES


def _doubled(start: int) -> Iterator[int]:
    while start <= LARGEST_BATCH:
        yield start
        start *= 2


def _without_batch(target: Target) -> list[str]:
    return [part for part in target.fields.parts if part != f"b{target.batch_size}"]


def _beside(
    arch: Arch,
    record: Record,
    target: Target,
    protocols: Sequence[str],
    workshop: Workshop,
    say: Say,
) -> tuple[str, ...]:
    """What named protocols say of the same call, of a model that was measured."""
    if not protocols or record.status != "complete":
        return ()
    if target.by_command:
        return (f"{', '.join(protocols)}: nobody but its command can time it",)
    from evnas.measure.stopwatch import stopwatch_for
    from evnas.measure.timing.device_lock import device_lock_for
    from evnas.measure.timing.named_protocols import how_far, time_as
    from evnas.phases.speed import SpeedTask, ready_model, taken_by

    ours, found = record.measurements["throughput_img_s"].interval(), list[str]()
    before_others = record.details["conditions"].get("raised_rounds", 0) > 0
    batch = record.details.get("batch_halved", {}).get("timed", target.batch_size)
    runtime = taken_by(record) or target.runtime  # what `best` took then
    on = replace(target, runtime=runtime, batch_size=batch)
    task = SpeedTask(target=asdict(on), budget_s=0.0, resolution=on.resolution)
    try:
        timed = ready_model(arch, task, on, workshop)
        images = len(timed.images)
        for name in protocols:
            with device_lock_for(on.host_device, say).measuring():
                theirs = time_as(
                    name, timed.call, images=images, stopwatch=stopwatch_for(on.host_device)
                )
            found += how_far(theirs, ours, images=images, before_others=before_others)
    except EvnasError as e:  # what was measured by ours is not lost
        return (*found, f"{', '.join(protocols)}: {e}")
    return tuple(found)


def widened(
    specs: Sequence[TargetSpec], *, batches: Sequence[int], resolutions: Sequence[int]
) -> list[TargetSpec]:
    """Each target at each batch and resolution that is listed; at its own where none is."""
    return [
        spec.model_copy(update={"batch_size": batch, "resolution": side})
        for spec in specs
        for side in resolutions or (spec.resolution,)
        for batch in batches or (spec.batch_size,)
    ]
