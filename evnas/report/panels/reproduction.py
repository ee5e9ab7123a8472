"""Published against measured, as the Reproduction panel shows it: cells, verdicts, ranks."""

from collections.abc import Collection
from typing import Any

from evnas.errors import EvnasError
from evnas.report.frame.study_reader import StudyReader
from evnas.report.table.ablation import AblationTable, build_ablation_table
from evnas.report.table.cells import Cell
from evnas.report.table.rows import TableColumn
from evnas.sweep.parts import PublishedSpec
from evnas.sweep.sweep import Sweep, sweep_of

_FIGURES = {
    "params_m": "Parameters, M",
    "flops_g": "FLOPs, G",
    "throughput_ratio": "Throughput, ratio to the reference row",
    "train_throughput_ratio": "Training throughput, ratio to the reference row",
    "peak_ratio": "Peak memory, ratio to the reference row",
    "top1_difference": "Top-1, difference to the reference row, points",
    "predicted_top1_percent": "Top-1 predicted, %",
    "predicted_top1_difference": "Top-1 predicted, difference to the reference row, points",
}


class ReproductionPanel:
    """The Reproduction panel."""

    name = "reproduction"
    script = ""

    def data(self, reader: StudyReader) -> dict[str, Any] | None:
        """The table beside print, as `compute_reproduction` gives it."""
        return compute_reproduction(reader) if reader.sweep.get("published") else None


PANEL = ReproductionPanel()


def compute_reproduction(reader: StudyReader) -> dict[str, Any] | None:
    """The panel's data; None for a study that reproduces no table.

    Returns:
        `source`: what is compared; `table`: cells with a verdict's kind; `taus`: rank
        correlations; `pairs`: published and measured figures of every row that has both.
    """
    read = table_of(reader)
    if read is None:
        return None
    published, table = read
    return {
        "source": f"{published.paper}, Table {published.table}, beside this machine. "
        + "; ".join(table.conditions),
        "table": _table(table),
        "taus": _taus(table),
        "pairs": [_pair(table, key, title) for key, title in _FIGURES.items() if _has(table, key)],
    }


def table_of(reader: StudyReader) -> tuple[PublishedSpec, AblationTable] | None:
    """What a study stands beside, and its table; None of a study that reproduces nothing."""
    sweep = ablation_of(reader)
    if sweep is None or sweep.spec.published is None:
        return None
    return sweep.spec.published, ablation_table(reader, sweep)


def ablation_of(reader: StudyReader) -> Sweep | None:
    """The sweep of a study of rows; None of another kind, or of one that this version no longer
    reads."""
    try:
        sweep = sweep_of(reader.sweep)
    except EvnasError:
        return None
    return sweep if sweep.candidates else None


def ablation_table(reader: StudyReader, sweep: Sweep) -> AblationTable:
    """Its table, of the records that there are."""
    with reader.lock:
        records = [record for _, record in reader.store.records()]
        environment = reader.store.meta("environment") or {}
    return build_ablation_table(sweep, records, environment)


def _table(table: AblationTable) -> dict[str, Any]:
    below = table.footnotes()
    return {
        "columns": ["Row", "Changed", *(column.head for column in table.columns)],
        "rows": [
            [
                {"text": line.label},
                {"text": line.changed},
                *(_cell(line.cells[c.key], c, below) for c in table.columns),
            ]
            for line in table.lines
        ],
    }


def _cell(cell: Cell, column: TableColumn, below: Collection[str]) -> dict[str, str]:
    """A cell's texts; `note` is a reason that stands below the table."""
    sign = "+" if column.signed else ""
    value = cell.status if cell.value is None else f"{cell.value:{sign}.{column.digits}f}"
    return {
        "measured": value,
        "interval": ""
        if cell.low is None or cell.high is None or cell.low == cell.high
        else f"{cell.low:{sign}.{column.digits}f} to {cell.high:{sign}.{column.digits}f}",
        "published": cell.published,
        "kind": cell.verdict.kind,
        "verdict": cell.verdict.kind if cell.verdict.reason in below else str(cell.verdict),
        "note": cell.verdict.reason if cell.verdict.reason in below else "",
    }


def _has(table: AblationTable, key: str) -> bool:
    known = {column.key for column in table.columns}
    return key in known and any(
        line.cells[key].value is not None and _is_number(line.cells[key].published)
        for line in table.lines
    )


def _pair(table: AblationTable, key: str, title: str) -> dict[str, Any]:
    points = []
    for line in table.lines:
        cell = line.cells[key]
        if cell.value is None or not _is_number(cell.published):
            continue
        points.append(
            {
                "label": line.label,
                "published": float(cell.published),
                "measured": cell.value,
                "low": cell.low,
                "high": cell.high,
            }
        )
    return {"name": key, "title": title, "points": points}


def _is_number(text: str) -> bool:
    try:
        return float(text) == float(text)
    except ValueError:
        return False


def _taus(table: AblationTable) -> list[dict[str, Any]]:
    """Measured against print, and beside it what counting FLOPs alone would have given."""
    return [
        {"name": rank.name, **{k: getattr(rank.agreement, k) for k in ("tau", "low", "high", "n")}}
        for rank in table.ranks
        if rank.agreement is not None
    ]
