"""Cells of the proxy: top-1 and its difference to the reference row."""

from collections.abc import Sequence

from evnas.papers.published import PublishedRow
from evnas.record import Record
from evnas.report.frame.accuracy import mean_top1, paired_by_seed, top1_difference
from evnas.report.table.cells import Cell, data_name, interval_cell, parse_number
from evnas.report.table.row_records import RowRecords, ending_status
from evnas.report.table.verdicts import Verdict, against_difference, not_comparable
from evnas.stats.interval import Interval
from evnas.sweep.candidate import Candidate
from evnas.sweep.parts import ProxySpec
from evnas.sweep.trainings import at_chance
from evnas.words import counted


def proxy_cells(
    results: RowRecords,
    candidate: Candidate,
    proxy: ProxySpec,
    *,
    row: PublishedRow | None,
    base: PublishedRow | None,
) -> dict[str, Cell]:
    """`top1_percent` and `top1_difference` of one row; `base` is the reference as printed."""
    records = results.of(candidate, "proxy")
    text = row.printed.get("top1", "") if row else ""
    status = ending_status(records, candidate)
    verdict = _beside_imagenet(proxy, text, status) if text and records else Verdict()
    base_records = results.of(results.sweep.reference, "proxy")
    noise = results.noise
    difference = top1_difference(records, base_records, noise)
    mine, theirs = (r.number("top1") if r else None for r in (row, base))
    printed = f"{mine - theirs:+.1f}" if mine is not None and theirs is not None else ""
    apart = Verdict()
    if difference and printed and candidate != results.sweep.reference:
        seeds = len(paired_by_seed(records, base_records))  # fewer than asked while a sweep runs
        smallest = noise.smallest_difference(seeds) if noise is not None else 0.0
        apart = _beside_printed(difference, printed, (records, base_records), smallest)
    return {
        "top1_percent": interval_cell(mean_top1(records), text, verdict, status),
        "top1_difference": interval_cell(difference, printed, apart, status),
    }


def _beside_printed(
    difference: Interval,
    printed: str,
    rows: tuple[Sequence[Record], Sequence[Record]],
    smallest: float,
) -> Verdict:
    if any(map(at_chance, rows)):
        return not_comparable("one of the two rows is at chance here")
    return against_difference(difference, float(printed), smallest=smallest)


def _beside_imagenet(proxy: ProxySpec, text: str, status: str) -> Verdict:
    if parse_number(text) is not None:
        epochs = counted(proxy.epochs, "epoch")
        here = f"{epochs} of {data_name(proxy.data)} here"
        return not_comparable(f"ImageNet in print, {here}")
    # Table C prints NaN for a training that diverged
    if status == "diverged":
        return Verdict("matches", "diverged")
    return Verdict("differs", "(the training here did not diverge)")
