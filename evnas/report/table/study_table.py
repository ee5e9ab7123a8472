"""The ablation table of a study's folder, and what it has to predict published accuracy with."""

from collections.abc import Mapping
from pathlib import Path

from evnas.errors import StoreError
from evnas.report.table.ablation import AblationTable, build_ablation_table
from evnas.report.table.cells import parse_number
from evnas.store import Store
from evnas.sweep.sweep import sweep_of

RowValues = list[float | None]


def load_table(folder: Path) -> AblationTable | None:
    """The ablation table of a study; None of a search.

    Raises:
        StoreError: no study is there.
        SpecError: its rows name what no installed package knows.
    """
    with Store.read(folder / "study.db") as store:
        if not (store.meta("sweep") or {}).get("rows"):
            return None
        sweep = sweep_of(store.meta("sweep"), source=str(folder / "study.db"))
        if not sweep.candidates:
            return None
        records = [record for _, record in store.records()]
        return build_ablation_table(sweep, records, store.meta("environment") or {})


def load_predictors(folder: Path) -> tuple[Mapping[str, RowValues], RowValues]:
    """What a study has to predict the published top-1 with, a value a row, and that top-1.

    Raises:
        StoreError: no study is there, or it stands beside no published accuracy.
    """
    table = load_table(folder)
    keys = {"top1_percent": "proxy top-1", "flops_g": "flops", "params_m": "params"}
    known = {c.key for c in table.columns} if table is not None else set()
    if table is None or "top1_difference" not in known:
        raise StoreError(f"{folder}: must be an ablation with a proxy and a published table")
    truth = [parse_number(line.cells["top1_percent"].published) for line in table.lines]
    if all(value is None for value in truth):
        raise StoreError(f"{folder}: must stand beside a published table with top-1 in it")
    values = {name: [line.cells[key].value for line in table.lines] for key, name in keys.items()}
    return values, truth
