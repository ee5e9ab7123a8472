"""Cells of what is counted: parameters and FLOPs."""

from evnas.report.cells import Cell, number
from evnas.report.results import Results, ended
from evnas.report.verdicts import Verdict, as_printed
from evnas.space.candidate import Candidate
from evnas.space.published import PublishedRow


def counted(results: Results, candidate: Candidate, row: PublishedRow | None) -> dict[str, Cell]:
    """`params_m`, `flops_g` and, where the paper counts its own way, `flops_exact_g`."""
    records = results.of(candidate, "count")
    values = records[0].values if records else {}
    status = ended(records, candidate)
    flops = values.get("macs", values.get("macs_exact"))
    cells = {
        "params_m": _cell(_scaled(values.get("params"), 1e6), row, "params_m", status),
        "flops_g": _cell(_scaled(flops, 1e9), row, "flops_g", status),
    }
    if results.sweep.spec.convention is not None:
        exact = _scaled(values.get("macs_exact"), 1e9)
        cells["flops_exact_g"] = Cell(value=exact, status="" if exact is not None else status)
    return cells


def _cell(value: float | None, row: PublishedRow | None, quantity: str, status: str) -> Cell:
    text = row.printed.get(quantity, "") if row else ""
    if value is None:
        return Cell(published=text, status=status)
    verdict = as_printed(value, text) if number(text) is not None else Verdict()
    return Cell(value=value, published=text, verdict=verdict)


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit
