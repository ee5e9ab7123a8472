"""Cells of what is timed on a target: throughput, in inference or training, memory, latency.

Absolute figures of another machine are not comparable; a ratio to the reference row, of both
under one protocol, is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from evnas.papers.published import LATENCIES, PublishedRow
from evnas.record import Measurement, Record
from evnas.report.table.cells import Cell, interval_cell
from evnas.report.table.row_records import RowRecords, batch_timed, ending_status
from evnas.report.table.verdicts import Verdict, against_reference, not_comparable, printed_ratio
from evnas.stats.interval import Interval
from evnas.sweep.candidate import Candidate
from evnas.sweep.parts import TargetSpec
from evnas.words import counted

LEAST_ROUNDS = 5
"""Below, an interval says nothing and no verdict is given on a ratio."""
LARGEST_DOUBT = 0.05
"""How far a ratio's interval may reach from it to either side where others disturbed its rounds:
beyond, nothing is told by a printed ratio that lies within."""

PublishedRows = Mapping[str, PublishedRow]


@dataclass(frozen=True, slots=True)
class TimedRow:
    """One row on one target, with all that its cells are made of."""

    results: RowRecords
    candidate: Candidate
    target: int
    printed: PublishedRows
    """The table's rows by name."""

    @property
    def spec(self) -> TargetSpec:
        """The target as the sweep says it."""
        return self.results.sweep.spec.targets[self.target]

    @property
    def quantity(self) -> str:
        """The printed throughput that is measured here."""
        training = self.spec.mode == "training"
        return "train_throughput_img_s" if training else "throughput_img_s"

    @property
    def record(self) -> Record | None:
        """Its speed, if it came to an end."""
        record = self.results.speed(self.candidate, self.target)
        return record if record is not None and record.status == "complete" else None

    @property
    def status(self) -> str:
        """How it ended when there is no speed."""
        record = self.results.speed(self.candidate, self.target)
        return ending_status([record] if record else [], self.candidate)

    def text(self, quantity: str) -> str:
        """What the row prints."""
        row = self.printed.get(self.candidate.published)
        return row.printed.get(quantity, "") if row else ""

    @property
    def beside(self) -> Candidate | None:
        """The reference's row at this row's resolution and batch."""
        return self.results.reference_beside(self.candidate, self.target)

    def printed_ratio(self, quantity: str, *, inverse: bool = False) -> Interval | None:
        """The row's printed figure over the reference's, or the other way round."""
        against = self.beside or self.results.sweep.reference
        base = self.printed.get(against.published)
        mine, theirs = self.text(quantity), base.printed.get(quantity, "") if base else ""
        return printed_ratio(theirs, mine) if inverse else printed_ratio(mine, theirs)


def throughput(timed: TimedRow) -> Cell:
    """Images a second."""
    text, record = timed.text(timed.quantity), timed.record
    if record is None:
        return Cell(published=text, status=timed.status)
    found = timed.results.throughput(timed.candidate, record).interval()
    return interval_cell(found, text, _elsewhere(timed, record) if text else Verdict())


def throughput_ratio(timed: TimedRow, printed: Interval | None) -> Cell:
    """To the reference, in alternation with it at the row's resolution and batch."""
    text, record = _printed_text(printed), timed.record
    if record is None:
        return Cell(published=text, status=timed.status)
    measured = record.measurements.get("throughput_ratio")
    ratio = measured.interval() if measured else Interval(1.0, 1.0, 1.0)
    apart = _apart(timed, record) if printed is not None else ""
    too_few = measured is not None and len(measured.samples) < LEAST_ROUNDS
    verdict = Verdict()
    if printed is None or _is_reference(timed):
        pass
    elif apart:
        verdict = not_comparable(apart)
    elif too_few:
        verdict = not_comparable(f"fewer than {LEAST_ROUNDS} rounds were measured; raise budget_s")
    elif measured is not None and (disturbed := disturbed_rounds(measured)):
        verdict = Verdict("cannot tell", disturbed)
    else:
        verdict = against_reference(ratio, printed, neutral=1.0)
    unranked = "other resolutions in print" if timed.beside is None else ""
    if too_few:
        unranked = unranked or "too few rounds"
    return replace(interval_cell(ratio, text, verdict), unranked=unranked)


def disturbed_rounds(ratio: Measurement) -> str:
    """How many rounds others disturbed, where too few are quiet and the interval is wide."""
    rounds = len(ratio.samples)
    quiet = ratio.conditions.get("quiet_rounds", rounds)  # not counted in older records
    found = ratio.interval()
    doubt = max(found.high - found.mid, found.mid - found.low)
    if quiet >= LEAST_ROUNDS or doubt <= LARGEST_DOUBT * found.mid:
        return ""
    return f"others disturbed {rounds - quiet} of {counted(rounds, 'round')}"


def peak(timed: TimedRow) -> Cell:
    """Peak memory of one forward in MiB, beside the MB in print."""
    text, record = timed.text("memory_mb"), timed.record
    if record is None or "peak_mib" not in record.values:
        return Cell(published=text, status=timed.status or "not measured")
    verdict = _elsewhere(timed, record) if text else Verdict()
    return Cell(value=record.values["peak_mib"], published=text, verdict=verdict)


def peak_ratio(timed: TimedRow) -> Cell:
    """To the reference's own peak at the row's resolution and batch."""
    printed, record, beside = timed.printed_ratio("memory_mb"), timed.record, timed.beside
    base = timed.results.speed(beside, timed.target) if beside else None
    peaks = [r.values.get("peak_mib") if r else None for r in (record, base)]
    if not (peaks[0] and peaks[1]):
        return Cell(published=_printed_text(printed), status=timed.status or "not measured")
    if record is not None and base is not None and batch_timed(record) != batch_timed(base):
        return Cell(published=_printed_text(printed), status="at another batch")
    ratio = peaks[0] / peaks[1]
    verdict = Verdict()
    if printed is not None and record is not None and not _is_reference(timed):
        apart = _apart(timed, record) or _other_batch(timed, record)
        exactly = Interval(ratio, ratio, ratio)
        verdict = (
            not_comparable(apart) if apart else against_reference(exactly, printed, neutral=1.0)
        )
    return Cell(value=ratio, published=_printed_text(printed), verdict=verdict)


def latency(timed: TimedRow, quantity: str) -> Cell:
    """Milliseconds an image (`..._per_img`) or a batch."""
    text, record = timed.text(quantity), timed.record
    if record is None:
        return Cell(published=text, status=timed.status)
    rate = timed.results.throughput(timed.candidate, record).interval()
    batch = batch_timed(record)
    ms = 1e3 * (1 if quantity.endswith("_per_img") else batch)
    each = Interval(ms / rate.high, ms / rate.mid, ms / rate.low)
    here = f"{_device(record)}, batch {batch} here"
    verdict = not_comparable(f"{LATENCIES[quantity]} in print; {here}") if text else Verdict()
    return interval_cell(each, text, verdict)


def halved_batches(results: RowRecords, candidate: Candidate) -> str:
    """At which batch a row was timed where the one that was asked for did not fit."""
    found = []
    for target in range(len(results.sweep.spec.targets)):
        record = results.speed(candidate, target)
        halved = {} if record is None else record.details.get("batch_halved", {})
        if halved:
            several = len(results.sweep.spec.targets) > 1
            where = f" on target {target + 1}" if several else ""
            found.append(
                f"timed at batch {halved['timed']}{where}: {2 * halved['timed']} did not fit into "
                f"memory, {halved['asked']} was asked for"
            )
    return "; ".join(found)


def latency_targets(results: RowRecords) -> dict[str, int]:
    """Printed latency, of a forward -> the target that measures it, of those that one does."""
    targets = results.sweep.spec.targets
    forwards = [i for i, target in enumerate(targets) if target.mode == "inference"]
    found = {}
    for i in reversed(forwards):
        if results.device(i).startswith("cuda"):
            found["gpu_ms_per_img"] = i
        elif results.device(i) == "cpu":
            found["cpu_ms_per_batch"] = i
    named = [i for i in forwards if targets[i].device == "cpu"]
    if named:  # rather than an `auto` that a machine without a GPU takes for a CPU
        found["cpu_ms_per_batch"] = named[0]
    return found


def _is_reference(timed: TimedRow) -> bool:
    return timed.candidate.digest == timed.results.sweep.reference.digest


def _apart(timed: TimedRow, record: Record) -> str:
    """Why the row's ratio is no ratio of two printed figures; "" where it is one."""
    if timed.beside is None:
        return "printed at another resolution than the reference's"
    there = timed.printed[timed.candidate.published].resolution
    here = record.on.resolution if record.on is not None else there
    return f"printed at {there}, measured at {here}" if there and there != here else ""


def _other_batch(timed: TimedRow, record: Record) -> str:
    """Weights do not grow with the batch, so the ratio of two memories does not keep."""
    there, here = timed.printed[timed.candidate.published].batch, batch_timed(record)
    if there is None or there == here:
        return ""
    return f"printed at batch {there}, measured at {here}, where weights are another share"


def _printed_text(printed: Interval | None) -> str:
    return f"{printed.mid:.3f}" if printed else ""


def _elsewhere(timed: TimedRow, record: Record) -> Verdict:
    row = timed.printed[timed.candidate.published]
    there = f"{row.device or 'another machine'}, batch {row.batch or 'unknown'}"
    here = f"{_device(record)}, batch {batch_timed(record)} here"
    return not_comparable(f"{there} in print; {here}")


def _device(record: Record) -> str:
    return record.on.parts[0] if record.on is not None else record.target
