"""Whether measured columns of an ablation table order its rows as printed ones do."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from evnas.report.table.cells import parse_number
from evnas.report.table.predicted_cells import PREDICTED
from evnas.report.table.rows import TableColumn, TableRow
from evnas.stats.rank_correlation import Agreement, kendall
from evnas.sweep.sweep import Sweep


@dataclass(frozen=True, slots=True)
class Ranking:
    """Whether a measured quantity orders the rows as a printed one does."""

    name: str
    agreement: Agreement | None
    """Kendall's tau with its interval and n; None for fewer than three rows that have both."""
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Why rows with both have no place among the others -> their labels."""

    def __str__(self) -> str:
        behind = "".join(
            f", without {', '.join(labels)} ({why})" for why, labels in self.left_out.items()
        )
        if self.agreement is None:
            return f"{self.name}: too few rows with both{behind}"
        a = self.agreement
        return f"{self.name}: tau {a.tau:+.2f} [{a.low:+.2f}, {a.high:+.2f}], n = {a.n}{behind}"


def compare_rankings(
    sweep: Sweep, columns: Sequence[TableColumn], lines: Sequence[TableRow]
) -> list[Ranking]:
    """Measured against printed speed and memory, proxy against printed top-1, FLOPs against both.

    Where every row has the same images, rows are ranked by their ratio to the reference, taken in
    alternation with it: the order of the absolute figures would hold the machine's drift too.
    """
    found = []
    for name, mine, theirs in _pairs(sweep, columns, lines):
        printed = [parse_number(line.cells[theirs].published) for line in lines]
        if any(value is not None for value in printed):
            cells = [line.cells[mine] for line in lines]
            measured = [None if cell.unranked else cell.value for cell in cells]
            out: dict[str, list[str]] = {}
            for line, cell, value in zip(lines, cells, printed, strict=True):
                if cell.unranked and None not in (cell.value, value):
                    out.setdefault(cell.unranked, []).append(line.label)
            found.append(Ranking(name, kendall(measured, printed), out))
    return found


def _pairs(
    sweep: Sweep, columns: Sequence[TableColumn], lines: Sequence[TableRow]
) -> Iterator[tuple[str, str, str]]:
    """Name, key of the measured column, key of the column whose printed figures order."""
    alike = all(c.resolution is None and c.batch_size is None for c in sweep.candidates)
    keys = {column.key for column in columns}
    for column in columns:
        quantity, at, target = column.key.partition("@")
        name = f"measured {column.head} against published"
        mode = "train_" if quantity.startswith("train_") else ""
        rate, ratio = f"{mode}throughput_img_s", f"{mode}throughput_ratio"
        if quantity == rate and f"{ratio}{at}{target}" in keys:
            yield name, f"{ratio if alike else rate}{at}{target}", column.key
        elif quantity == "peak_ratio" or (
            quantity == "throughput_ratio" and not _is_printed("throughput_img_s", lines)
        ):
            yield name, column.key, column.key
    if sweep.spec.proxy is not None:
        yield "proxy top-1 against published top-1", "top1_percent", "top1_percent"
    if sweep.spec.predict is not None:
        yield "predicted top-1 against published top-1", PREDICTED, PREDICTED
    if "throughput_img_s" in keys:
        yield "FLOPs against published images/s", "flops_g", "throughput_img_s"
    accuracy = next((key for key in ("top1_percent", PREDICTED) if key in keys), "")
    if accuracy and (sweep.spec.proxy is not None or sweep.spec.predict is not None):
        yield "FLOPs against published top-1", "flops_g", accuracy


def _is_printed(key: str, lines: Sequence[TableRow]) -> bool:
    return any(key in line.cells and line.cells[key].published for line in lines)
