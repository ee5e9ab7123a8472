"""The papers' printed tables: rows of data beside this file, looked up by paper, table, row.

Numbers are kept as printed, since how many digits stand there decides what `matches` means.
"""

import csv
import functools
import importlib.resources
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from evnas.errors import SpecError, nearest

QUANTITIES = (
    "params_m",
    "flops_g",
    "throughput_img_s",
    "train_throughput_img_s",
    "memory_mb",
    "top1",
)
LATENCIES: Mapping[str, str] = {
    "gpu_ms_per_img": "RTX 3090, batch 256",
    "cpu_ms_per_batch": "EPYC 7742, batch 16",
    "mobile_ms_per_img": "iPhone 16, batch 1",
}
"""Latency -> what it was measured on; EfficientViM Table E alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRow:
    """One printed row; `printed` holds the cells that are not empty, as text."""

    paper: str
    table: str
    row: str
    model: str
    change: str
    resolution: int | None
    """None where the table does not say (EfficientViM Table E)."""
    batch: int | None
    device: str
    printed: Mapping[str, str]
    note: str

    def number(self, quantity: str) -> float | None:
        """A printed cell as a number; None where nothing, `OOM` or `NaN` is printed."""
        try:
            value = float(self.printed.get(quantity, ""))
        except ValueError:
            return None
        return value if math.isfinite(value) else None


def prints_as(value: float, printed: str) -> bool:
    """Whether `value` rounds to exactly the text `printed`, at its number of digits."""
    digits = Decimal(printed)
    return Decimal(repr(value)).quantize(digits) == digits


@functools.cache
def published_rows() -> tuple[PublishedRow, ...]:
    """All rows, in the file's order.

    Source: the tables of EfficientViM (arXiv 2411.15241), VSSD (2407.18559), VMamba (2401.10166)
    and EfficientVMamba (2403.09977).
    """
    tables = [_row(raw) for raw in _read("tables.csv")]
    return (*tables, *(_latency_row(raw) for raw in _read("efficientvim_table_e_latency.csv")))


def _read(name: str) -> list[dict[str, str]]:
    text = importlib.resources.files("evnas.papers").joinpath("data", name).read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))


def _row(raw: Mapping[str, str]) -> PublishedRow:
    return PublishedRow(
        paper=raw["paper"],
        table=raw["table"],
        row=raw["row"],
        model=raw["model"],
        change=raw["change"],
        resolution=int(raw["resolution"]),
        batch=int(raw["batch"]) if raw["batch"] else None,
        device=raw["device"],
        printed={q: raw[q] for q in QUANTITIES if raw[q]},
        note=raw["note"],
    )


def _latency_row(raw: Mapping[str, str]) -> PublishedRow:
    columns = {
        "gpu_ms_per_img": "gpu_ms_per_img_rtx3090_bs256",
        "cpu_ms_per_batch": "cpu_ms_epyc7742_bs16",
        "mobile_ms_per_img": "mobile_ms_iphone16_bs1",
        "top1": "top1",
    }
    return PublishedRow(
        paper="EfficientViM",
        table="E",
        row=raw["model"],
        model=raw["model"],
        change="",
        resolution=None,
        batch=None,
        device="RTX 3090, EPYC 7742, iPhone 16",
        printed={name: raw[column] for name, column in columns.items()},
        note=f"distilled: {raw['top1_distilled']}" if raw["top1_distilled"] else "",
    )


def published_table(paper: str, table: str) -> dict[str, PublishedRow]:
    """Row name -> row of one table. Raises SpecError for a table nobody printed."""
    rows = {r.row: r for r in published_rows() if (r.paper, r.table) == (paper, table)}
    if not rows:
        papers = sorted({r.paper for r in published_rows()})
        tables = sorted({r.table for r in published_rows() if r.paper == paper})
        reason = (
            f"tables of {paper} are {', '.join(tables)}, got {table!r}"
            if tables
            else f"paper must be one of {', '.join(papers)}, got {paper!r}{nearest(paper, papers)}"
        )
        raise SpecError(reason, "published")
    return rows


def published_row(paper: str, table: str, row: str) -> PublishedRow:
    """One row. Raises SpecError with the nearest name when there is none."""
    rows = published_table(paper, table)
    if row not in rows:
        raise SpecError(
            f"{paper} Table {table} has no row {row!r}{nearest(row, rows)}", "published"
        )
    return rows[row]


def published_top1(place: tuple[str, str, str] | None) -> float | None:
    """Top-1 in percent of a model, by the (paper, table, row) that prints its size.

    Where that row prints none, the paper's rows of the same model and size are asked, in order
    (VMamba prints sizes and accuracies apart); None when no row prints one.
    """
    if place is None:
        return None
    row = published_row(*place)
    found = [r.number("top1") for r in (row, *published_rows()) if _same_model(r, row)]
    return next((top1 for top1 in found if top1 is not None), None)


def _same_model(a: PublishedRow, b: PublishedRow) -> bool:
    sizes = [r.number("params_m") for r in (a, b)]
    return (a.paper, a.model) == (b.paper, b.model) and (
        a == b or (None not in sizes and round(sizes[0] or 0) == round(sizes[1] or 0))
    )
