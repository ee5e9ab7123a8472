"""What a study leaves beside its store: the table in every form, and the page."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evnas.errors import StoreError
from evnas.report.ablation import Ablation, ablation
from evnas.report.cells import number
from evnas.report.page import write_report
from evnas.report.tables import as_csv, as_latex, as_markdown
from evnas.store import Store
from evnas.sweep import sweep_of

Column = list[float | None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Files that were written, and the table in them; a search has none."""

    files: list[Path]
    table: Ablation | None


def table_of(folder: Path) -> Ablation | None:
    """The ablation table of a study; None of a search.

    Raises:
        StoreError: no study is there.
    """
    with Store.read(folder / "study.db") as store:
        sweep = sweep_of(store.meta("sweep"), source=str(folder / "study.db"))
        if not sweep.candidates:
            return None
        records = [record for _, record in store.records()]
        return ablation(sweep, records, store.meta("environment") or {})


def write_outcome(folder: Path, out: Path | None = None) -> Outcome:
    """Write table.md, table.csv, table.tex and the page, into the study's folder or `out`."""
    out = out or folder
    out.mkdir(parents=True, exist_ok=True)
    table = table_of(folder)
    files: list[Path] = []
    if table is not None:
        for suffix, text in (
            ("md", as_markdown(table)),
            ("csv", as_csv(table)),
            ("tex", as_latex(table)),
        ):
            files.append(out / f"table.{suffix}")
            files[-1].write_text(text)
    return Outcome([*files, *write_report(folder, out)], table)


def predictors_of(folder: Path) -> tuple[Mapping[str, Column], Column]:
    """What a study has to predict the published top-1 with, a value a row, and that top-1.

    Raises:
        StoreError: no study is there, or it stands beside no published accuracy.
    """
    table = table_of(folder)
    keys = {"top1_percent": "proxy top-1", "flops_g": "flops", "params_m": "params"}
    known = {c.key for c in table.columns} if table is not None else set()
    if table is None or "top1_difference" not in known:
        raise StoreError(f"{folder}: must be an ablation with a proxy and a published table")
    truth = [number(line.cells["top1_percent"].published) for line in table.lines]
    if all(value is None for value in truth):
        raise StoreError(f"{folder}: must stand beside a published table with top-1 in it")
    values = {name: [line.cells[key].value for line in table.lines] for key, name in keys.items()}
    return values, truth
