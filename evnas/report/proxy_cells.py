"""Cells of the proxy: top-1 and its difference to the reference row."""

from evnas.record import Interval
from evnas.report.accuracy import top1, top1_difference
from evnas.report.cells import Cell, data_name, interval_cell, number
from evnas.report.results import Results, ended
from evnas.report.verdicts import Verdict, against_reference, not_comparable
from evnas.space.candidate import Candidate
from evnas.space.published import PublishedRow
from evnas.space.sweep_parts import ProxySpec


def trained(
    results: Results,
    candidate: Candidate,
    proxy: ProxySpec,
    *,
    row: PublishedRow | None,
    base: PublishedRow | None,
) -> dict[str, Cell]:
    """`top1_percent` and `top1_difference` of one row; `base` is the reference as printed."""
    records = results.of(candidate, "proxy")
    text = row.printed.get("top1", "") if row else ""
    status = ended(records, candidate)
    verdict = _beside_imagenet(proxy, text, status) if text and records else Verdict()
    difference = top1_difference(records, results.of(results.sweep.reference, "proxy"))
    mine, theirs = (r.number("top1") if r else None for r in (row, base))
    printed = f"{mine - theirs:+.1f}" if mine is not None and theirs is not None else ""
    apart = Verdict()
    if difference and printed and candidate != results.sweep.reference:
        whole = float(printed)
        apart = against_reference(difference, Interval(whole, whole, whole), neutral=0.0)
    return {
        "top1_percent": interval_cell(top1(records), text, verdict, status),
        "top1_difference": interval_cell(difference, printed, apart, status),
    }


def _beside_imagenet(proxy: ProxySpec, text: str, status: str) -> Verdict:
    if number(text) is not None:
        here = f"{proxy.epochs} epochs of {data_name(proxy.data)} here"
        return not_comparable(f"ImageNet in print, {here}")
    # Table C prints NaN for a training that diverged
    if status == "diverged":
        return Verdict("matches", "diverged")
    return Verdict("differs", "(the training here did not diverge)")
