"""The cells of one row of an ablation table: measured, printed, verdict."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evnas.record import Interval, Record
from evnas.report.accuracy import top1, top1_difference
from evnas.report.verdicts import Verdict, against_reference, as_printed, not_comparable
from evnas.space.candidate import Candidate
from evnas.space.published import PublishedRow
from evnas.sweep import Sweep

LEAST_ROUNDS = 5
"""Below, an interval says nothing and no verdict is given on a ratio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A measured quantity beside the printed one."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    """The 95 % interval, where there is one."""
    published: str = ""
    verdict: Verdict = field(default_factory=Verdict)
    status: str = ""
    """How it ended when there is no value: `diverged`, `oom`, ..."""


@dataclass(slots=True)
class Results:
    """Records of a study, found again by row."""

    sweep: Sweep
    records: Sequence[Record]
    by_label: dict[str, list[Record]] = field(init=False)

    def __post_init__(self) -> None:
        self.by_label = {}
        for record in self.records:
            self.by_label.setdefault(record.label, []).append(record)

    def of(self, candidate: Candidate, phase: str) -> list[Record]:
        """Its records, or those of the equal row that was evaluated in its place."""
        for other in self.sweep.candidates:
            same = other.digest == candidate.digest if phase == "proxy" else False
            if candidate.digest and (same or other.same_work(candidate)):
                found = [r for r in self.by_label.get(other.label, []) if r.phase == phase]
                if found:
                    return found
        return []

    def speed(self, candidate: Candidate, target: int) -> Record | None:
        """Its record on one of the sweep's targets."""
        found = self.of(candidate, "speed")
        return next((r for r in found if r.details.get("target_index") == target), None)


def cells_of(
    results: Results, candidate: Candidate, printed: Mapping[str, PublishedRow]
) -> dict[str, Cell]:
    """Column key -> cell of one row; `printed` holds the published rows by name."""
    row = printed.get(candidate.published)
    base = printed.get(results.sweep.reference.published)
    cells = _counted(results, candidate, row)
    for i in range(len(results.sweep.spec.targets)):
        cells |= _timed(results, candidate, i, row, base)
    if results.sweep.spec.proxy is not None:
        cells |= _trained(results, candidate, row, base)
    return cells


def _counted(results: Results, candidate: Candidate, row: PublishedRow | None) -> dict[str, Cell]:
    records = results.of(candidate, "count")
    values = records[0].values if records else {}
    status = _status(records, candidate)
    flops = values.get("macs", values.get("macs_exact"))
    cells = {
        "params_m": _count_cell(_scaled(values.get("params"), 1e6), row, "params_m", status),
        "flops_g": _count_cell(_scaled(flops, 1e9), row, "flops_g", status),
    }
    if results.sweep.spec.convention is not None:
        exact = _scaled(values.get("macs_exact"), 1e9)
        cells["flops_exact_g"] = Cell(value=exact, status="" if exact is not None else status)
    return cells


def _count_cell(value: float | None, row: PublishedRow | None, quantity: str, status: str) -> Cell:
    text = row.printed.get(quantity, "") if row else ""
    if value is None:
        return Cell(published=text, status=status)
    verdict = as_printed(value, text) if number(text) is not None else Verdict()
    return Cell(value=value, published=text, verdict=verdict)


def _timed(
    results: Results,
    candidate: Candidate,
    target: int,
    row: PublishedRow | None,
    base: PublishedRow | None,
) -> dict[str, Cell]:
    record = results.speed(candidate, target)
    behind = f"@{target}" if target else ""
    text = row.printed.get("throughput_img_s", "") if row else ""
    ratio_text = _ratio_text(row, base)
    status = _status([record] if record else [], candidate)
    if record is None or record.status != "complete":
        return {
            f"throughput_img_s{behind}": Cell(published=text, status=status),
            f"throughput_ratio{behind}": Cell(published=ratio_text, status=status),
        }
    speed = record.measurements["throughput_img_s"].interval()
    verdict = Verdict()
    if text and row is not None:
        where = record.target.split("-")[0]
        batch = record.measurements["throughput_img_s"].conditions.get("batch_size")
        there = f"{row.device or 'another machine'}, batch {row.batch or 'unknown'}"
        verdict = not_comparable(f"{there} in print; {where}, batch {batch} here")
    ratio = _ratio(record)
    ratio_verdict = Verdict()
    if candidate.resolution not in (None, results.sweep.reference.resolution) and ratio_text:
        ratio_verdict = not_comparable("printed at another resolution than the reference's")
    elif ratio_text and _rounds(record) < LEAST_ROUNDS:
        ratio_verdict = not_comparable(
            f"fewer than {LEAST_ROUNDS} rounds were measured; raise budget_s"
        )
    elif ratio_text and candidate != results.sweep.reference:
        ratio_verdict = against_reference(ratio, float(ratio_text), neutral=1.0)
    return {
        f"throughput_img_s{behind}": _interval_cell(speed, text, verdict),
        f"throughput_ratio{behind}": _interval_cell(ratio, ratio_text, ratio_verdict),
    }


def _rounds(record: Record) -> int:
    ratio = record.measurements.get("throughput_ratio")
    return len(ratio.samples) if ratio else LEAST_ROUNDS


def _ratio(record: Record) -> Interval:
    measured = record.measurements.get("throughput_ratio")
    return measured.interval() if measured else Interval(1.0, 1.0, 1.0)


def _trained(
    results: Results,
    candidate: Candidate,
    row: PublishedRow | None,
    base: PublishedRow | None,
) -> dict[str, Cell]:
    records = results.of(candidate, "proxy")
    reference = results.of(results.sweep.reference, "proxy")
    text = row.printed.get("top1", "") if row else ""
    found = top1(records)
    status = _status(records, candidate)
    proxy = results.sweep.spec.proxy
    assert proxy is not None
    apart = not_comparable(
        f"ImageNet in print, {proxy.epochs} epochs of {data_name(proxy.data)} here"
    )
    if text and number(text) is None:  # Table C prints NaN for a training that diverged
        same = status == "diverged"
        ended = "diverged" if same else "the training here did not diverge"
        apart = Verdict("matches", "diverged") if same else Verdict("differs", f"({ended})")
    if not records:
        apart = Verdict()
    difference = top1_difference(records, reference)
    mine, theirs = (r.number("top1") if r else None for r in (row, base))
    printed = f"{mine - theirs:+.1f}" if mine is not None and theirs is not None else ""
    verdict = Verdict()
    if difference and printed and candidate != results.sweep.reference:
        verdict = against_reference(difference, float(printed), neutral=0.0)
    return {
        "top1_percent": _interval_cell(found, text, apart if text else Verdict(), status),
        "top1_difference": _interval_cell(difference, printed, verdict, status),
    }


def _interval_cell(
    found: Interval | None, published: str, verdict: Verdict, status: str = ""
) -> Cell:
    if found is None:
        return Cell(published=published, verdict=verdict, status=status)
    return Cell(
        value=found.mid, low=found.low, high=found.high, published=published, verdict=verdict
    )


def _ratio_text(row: PublishedRow | None, base: PublishedRow | None) -> str:
    mine, theirs = (r.number("throughput_img_s") if r else None for r in (row, base))
    return f"{mine / theirs:.3f}" if mine and theirs else ""


def _status(records: Sequence[Record], candidate: Candidate) -> str:
    """How a phase ended that gave no value."""
    if candidate.absent:
        return "absent"
    ended = [r.status for r in records if r.status != "complete"]
    return ended[0] if ended else ("" if records else "not run")


def data_name(data: object) -> str:
    """A data set's name, without the path of a folder."""
    return data if isinstance(data, str) else "an image folder"


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit


def number(text: str) -> float | None:
    """A printed cell as a finite number, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
