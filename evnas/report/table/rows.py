"""Columns of an ablation table, and the cells of one row under them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evnas.papers.published import LATENCIES, PublishedRow
from evnas.report.table.cells import Cell, parse_number, print_only
from evnas.report.table.predicted_cells import DIFFERENCE, PREDICTED, predicted_cells
from evnas.report.table.proxy_cells import proxy_cells
from evnas.report.table.row_records import RowRecords, ending_status
from evnas.report.table.speed_cells import (
    TimedRow,
    latency,
    latency_targets,
    peak,
    peak_ratio,
    throughput,
    throughput_ratio,
)
from evnas.report.table.verdicts import Verdict, as_printed
from evnas.sweep.candidate import Candidate
from evnas.sweep.sweep import Sweep


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One quantity of the table."""

    key: str
    """`params_m`, `flops_g`, `throughput_img_s`, `throughput_ratio`, `peak_mib`, `peak_ratio`,
    `train_throughput_img_s`, `train_throughput_ratio`, `top1_percent`, `top1_difference`,
    `predicted_top1_percent`, `predicted_top1_difference`, a printed latency's name; where nothing
    is printed and rows have several resolutions `latency_ms_per_img`. Those of a mode's second
    target and on have `@N` behind, N from the place among all targets, counted
    from 0."""
    head: str
    digits: int
    signed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """One row of the table."""

    label: str
    changed: str
    """Its differences to the base, shortened: `mixer sa, head.fusion none`."""
    note: str
    cells: Mapping[str, Cell]


PER_IMAGE = "latency_ms_per_img"
_LATENCY_COLUMNS = (
    TableColumn("gpu_ms_per_img", "GPU latency (ms/image)", 3),
    TableColumn("cpu_ms_per_batch", "CPU latency (ms/batch)", 1),
    TableColumn("mobile_ms_per_img", "phone latency (ms/image)", 1),
)
_PRINTED_COLUMNS: Mapping[str, TableColumn] = {
    "throughput_img_s": TableColumn("throughput_img_s", "images/s", 1),
    "train_throughput_img_s": TableColumn("train_throughput_img_s", "training images/s", 1),
    "memory_mb": TableColumn("peak_mib", "peak memory (MiB)", 0),
    "top1": TableColumn("top1_percent", "top-1 (%)", 1),
}
"""Printed quantity -> its column, measured or not."""


def list_columns(sweep: Sweep, printed: Mapping[str, PublishedRow]) -> list[TableColumn]:
    """What the sweep measures, and beside it all that the published rows print."""
    wanted = _quantities(sweep, printed)
    found = [TableColumn("params_m", "params (M)", 1), TableColumn("flops_g", "FLOPs (G)", 3)]
    if sweep.spec.convention is not None:
        found.append(TableColumn("flops_exact_g", "FLOPs, exact (G)", 3))
    for target in range(len(sweep.spec.targets)):
        found += _columns_on(sweep, target, wanted)
    found += [column for column in _LATENCY_COLUMNS if column.key in wanted]
    if sweep.spec.proxy is not None:
        less = f"top-1 less {sweep.reference.label}"
        found.append(_PRINTED_COLUMNS["top1"])
        found.append(TableColumn("top1_difference", less, 1, signed=True))
    if sweep.spec.predict is not None:
        less = f"top-1 predicted, less {sweep.reference.label}"
        found.append(TableColumn(PREDICTED, "top-1 predicted (%)", 1))
        found.append(TableColumn(DIFFERENCE, less, 1, signed=True))
    here = {column.key for column in found}
    return found + [
        column
        for quantity, column in _PRINTED_COLUMNS.items()
        if quantity in wanted and column.key not in here
    ]


def _columns_on(sweep: Sweep, target: int, wanted: set[str]) -> list[TableColumn]:
    behind = _behind(sweep, target)
    on = f", target {target + 1}" if len(_of_same_mode(sweep, target)) > 1 else ""
    ratio = f"ratio to {sweep.reference.label}"
    if sweep.spec.targets[target].mode == "training":
        return [
            TableColumn(f"train_throughput_img_s{behind}", f"training images/s{on}", 1),
            TableColumn(f"train_throughput_ratio{behind}", f"training, {ratio}{on}", 3),
        ]
    found = [
        TableColumn(f"throughput_img_s{behind}", f"images/s{on}", 1),
        TableColumn(f"throughput_ratio{behind}", f"{ratio}{on}", 3),
    ]
    if "memory_mb" in wanted:
        found.append(TableColumn(f"peak_mib{behind}", f"peak memory (MiB){on}", 0))
        found.append(TableColumn(f"peak_ratio{behind}", f"memory, {ratio}{on}", 3))
    if against_resolution(sweep):
        found.append(TableColumn(f"{PER_IMAGE}{behind}", f"latency (ms/image){on}", 2))
    return found


def against_resolution(sweep: Sweep) -> bool:
    """Whether a sweep asks how speed changes with the resolution, beside no printed table."""
    sides = {c.resolution or sweep.spec.resolution for c in sweep.candidates if not c.absent}
    return sweep.spec.published is None and len(sides) > 1


def _behind(sweep: Sweep, target: int) -> str:
    """What stands behind the keys of a target's columns: nothing for its mode's first one."""
    return "" if _of_same_mode(sweep, target)[0] == target else f"@{target}"


def _of_same_mode(sweep: Sweep, target: int) -> list[int]:
    targets = sweep.spec.targets
    return [i for i, other in enumerate(targets) if other.mode == targets[target].mode]


def _quantities(sweep: Sweep, printed: Mapping[str, PublishedRow]) -> set[str]:
    """What is printed in any of the sweep's rows."""
    rows = [printed[c.published] for c in sweep.candidates if c.published in printed]
    return {quantity for row in rows for quantity in row.printed}


def fill_cells(
    results: RowRecords,
    candidate: Candidate,
    *,
    printed: Mapping[str, PublishedRow],
    columns: Sequence[TableColumn],
) -> dict[str, Cell]:
    """Column key -> cell of one row; `printed` holds the published rows by name."""
    row = printed.get(candidate.published)
    cells = count_cells(results, candidate, row)
    sources = latency_targets(results)
    for target in range(len(results.sweep.spec.targets)):
        timed = TimedRow(results, candidate, target, printed)
        latencies = [q for q, source in sources.items() if source == target]
        cells |= _timed(timed, latencies, behind=_behind(results.sweep, target))
    for quantity in LATENCIES:
        if quantity not in sources:
            cells[quantity] = print_only(row.printed.get(quantity, "") if row else "")
    proxy = results.sweep.spec.proxy
    base = printed.get(results.sweep.reference.published)
    if proxy is not None:
        cells |= proxy_cells(results, candidate, proxy, row=row, base=base)
    if results.sweep.spec.predict is not None:
        cells |= predicted_cells(results, candidate, row=row, base=base)
    for quantity, column in _PRINTED_COLUMNS.items():
        text = row.printed.get(quantity, "") if row else ""
        cells.setdefault(column.key, print_only(text))
    return {column.key: cells[column.key] for column in columns}


def _timed(timed: TimedRow, latencies: Sequence[str], *, behind: str) -> dict[str, Cell]:
    printed = timed.printed_ratio(timed.quantity)
    for quantity in latencies:
        printed = printed or timed.printed_ratio(quantity, inverse=True)
    if timed.spec.mode == "training":
        return {
            f"train_throughput_img_s{behind}": throughput(timed),
            f"train_throughput_ratio{behind}": throughput_ratio(timed, printed),
        }
    return {
        f"throughput_img_s{behind}": throughput(timed),
        f"throughput_ratio{behind}": throughput_ratio(timed, printed),
        f"peak_mib{behind}": peak(timed),
        f"peak_ratio{behind}": peak_ratio(timed),
        f"{PER_IMAGE}{behind}": latency(timed, PER_IMAGE),
        **{quantity: latency(timed, quantity) for quantity in latencies},
    }


def count_cells(
    results: RowRecords, candidate: Candidate, row: PublishedRow | None
) -> dict[str, Cell]:
    """`params_m`, `flops_g` and, where the paper counts its own way, `flops_exact_g`."""
    records = results.of(candidate, "count")
    values = records[0].values if records else {}
    status = ending_status(records, candidate)
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
    verdict = as_printed(value, text) if parse_number(text) is not None else Verdict()
    return Cell(value=value, published=text, verdict=verdict)


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit
