"""What a sweep leaves beside its store: the table in every form, and the page."""

from pathlib import Path

from evnas.report.ablation import Ablation, ablation
from evnas.report.page import write_report
from evnas.report.tables import as_csv, as_latex, as_markdown
from evnas.store import Store
from evnas.sweep import sweep_of


def table_of(folder: Path) -> Ablation:
    """The ablation table of a study.

    Raises:
        StoreError: no study is there.
    """
    with Store.read(folder / "study.db") as store:
        records = [record for _, record in store.records()]
        sweep = sweep_of(store.meta("sweep"), source=str(folder / "study.db"))
        return ablation(sweep, records, store.meta("environment") or {})


def write_outcome(folder: Path) -> Ablation:
    """Write table.md, table.csv, table.tex and the page into a study's folder."""
    table = table_of(folder)
    (folder / "table.md").write_text(as_markdown(table))
    (folder / "table.csv").write_text(as_csv(table))
    (folder / "table.tex").write_text(as_latex(table))
    write_report(folder)
    return table
