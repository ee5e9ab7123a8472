"""The ablation table of a study's folder, and what it has to predict published accuracy with."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evnas.errors import StoreError
from evnas.report.table.ablation import AblationTable, build_ablation_table
from evnas.report.table.cells import parse_number
from evnas.stats.ladder import FLOPS, PARAMS, SIZE, LadderLine, ladder
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedRows:
    """What a study has to order its rows by, and the printed top-1."""

    columns: Mapping[str, RowValues]
    """Name -> a value per row; `FLOPs`, `params`, and what the study trained or predicted."""
    truth: RowValues


_RANKERS = {
    "flops_g": FLOPS,
    "params_m": PARAMS,
    "top1_percent": "proxy top-1",
    "predicted_top1_percent": "predicted top-1",
}


def load_ranked_rows(folder: Path) -> RankedRows:
    """The rows of an ablation beside a table that prints top-1.

    Raises:
        StoreError: no study is there, or it is none of that kind.
    """
    table = load_table(folder)
    found = None if table is None else ranked_rows(table)
    if found is None:
        raise StoreError(
            f"{folder}: must be an ablation with proxy or predict, beside a published table with "
            "top-1 in it"
        )
    return found


def ranked_rows(table: AblationTable) -> RankedRows | None:
    """The same of a table; None where nothing in it orders rows by accuracy, or in print."""
    known = {c.key for c in table.columns}
    if not known & {"top1_difference", "predicted_top1_percent"}:
        return None
    accuracy = "top1_percent" if "top1_percent" in known else "predicted_top1_percent"
    truth = [parse_number(line.cells[accuracy].published) for line in table.lines]
    if all(value is None for value in truth):
        return None
    columns = {
        name: [line.cells[key].value for line in table.lines]
        for key, name in _RANKERS.items()
        if key in known
    }
    return RankedRows(columns=columns, truth=truth)


def pooled_ladder(folders: Sequence[Path]) -> tuple[LadderLine, ...]:
    """Every column of the studies on all pairs of rows, pairs of one study, and equal FLOPs.

    Raises:
        StoreError: as `load_ranked_rows`.
    """
    studies = {folder.name: load_ranked_rows(folder) for folder in folders}
    return ladder_of(studies)


def ladder_of(studies: Mapping[str, RankedRows]) -> tuple[LadderLine, ...]:
    """The ladder over the rows of all studies, by name."""
    names = [
        name for name in _RANKERS.values() if any(name in s.columns for s in studies.values())
    ]
    columns: dict[str, list[float | None]] = {name: [] for name in names}
    truth: list[float | None] = []
    groups: list[str] = []
    for study_name, study in studies.items():
        truth += study.truth
        groups += [study_name] * len(study.truth)
        for name in names:
            columns[name] += study.columns.get(name, [None] * len(study.truth))
    size = [
        None if flops is None or params is None else flops * params
        for flops, params in zip(columns[FLOPS], columns[PARAMS], strict=True)
    ]
    return ladder(
        {**columns, SIZE: size},
        truth,
        groups=groups,
        macs=[value or math.nan for value in columns[FLOPS]],
        baselines=(FLOPS, SIZE),
    )
