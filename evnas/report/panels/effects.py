"""What each row or axis changes, beside the reference, with its interval: the Effects panel."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from evnas.report.frame.accuracy import mean_over_seeds
from evnas.report.frame.columns import describe_column
from evnas.report.frame.objectives import Objective
from evnas.report.frame.snapshot import Snapshot
from evnas.report.frame.study_reader import StudyReader
from evnas.report.panels.reproduction import ablation_of, ablation_table
from evnas.report.table.ablation import AblationTable
from evnas.sweep.strategy_spec import RENAMED
from evnas.tables import quantity_of

_RATIOS = ("throughput_ratio", "train_throughput_ratio", "peak_ratio")
_DIFFERENCES = ("top1_difference", "predicted_top1_difference")


class EffectsPanel:
    """The Effects panel."""

    name = "effects"
    script = ""

    def data(self, reader: StudyReader) -> list[dict[str, Any]] | None:
        """A figure a quantity: `title`, `none` (the value of no effect), `digits`, and `rows` of
        `label`, `changed`, `value`, `low` and `high`, bounds None where there are none.

        Of an ablation these are its table's: in alternation with the reference, and image by image
        or seed by seed. Of `one_at_a_time` they are seed by seed where the base and the axis moved
        have two seeds or more, and else of both their errors, taken as independent. None of any
        other study.
        """
        sweep = ablation_of(reader)
        if sweep is not None:
            return list(_of_table(ablation_table(reader, sweep))) or None
        if _strategy(reader.sweep) != "one_at_a_time":
            return None
        columns, aims = reader.columns(), reader.objectives()
        with reader.lock:
            return list(_of_origins(columns, aims, reader.frame.seeds_of)) or None


def _strategy(sweep: Mapping[str, Any]) -> str:
    """What a search is run by, under its present name; whether or not it is installed."""
    raw = sweep.get("strategy")
    name = raw.get("kind") if isinstance(raw, Mapping) else raw
    return str(RENAMED.get(name, name))


def _of_table(table: AblationTable) -> Iterator[dict[str, Any]]:
    for column in table.columns:
        name = quantity_of(column.key)
        if name not in (*_RATIOS, *_DIFFERENCES):
            continue
        rows = [
            {"label": line.label, "changed": line.changed}
            | {"value": cell.value, "low": cell.low, "high": cell.high}
            for line in table.lines
            if (cell := line.cells[column.key]).value is not None and line.label != table.reference
        ]
        if rows:
            none = 1 if name in _RATIOS else 0
            yield {"title": column.head, "none": none, "digits": column.digits, "rows": rows}


def _of_origins(
    columns: Snapshot,
    aims: Sequence[Objective],
    seeds_of: Callable[[int, str], Mapping[int, float]],
) -> Iterator[dict[str, Any]]:
    origins = [columns.text["origin"].distinct[code] for code in columns.text["origin"].codes]
    labels = [columns.text["label"].distinct[code] for code in columns.text["label"].codes]
    done = columns.text["status"].is_one("complete")
    if "base" not in origins:
        return
    base, moved = origins.index("base"), [r for r, o in enumerate(origins) if " = " in o]
    for aim in aims:
        ratio = aim.key.startswith("throughput_ratio")
        found = {row: _bounds(columns, aim.key, row) for row in (base, *moved)}
        rows = [
            {"label": labels[row], "changed": origins[row]}
            | (
                _paired(seeds_of(row, aim.key), seeds_of(base, aim.key))
                or _related(found[row], found[base], ratio=ratio)
            )
            for row in moved
            if done[row] and all(math.isfinite(found[r][0]) for r in (row, base))
        ]
        if rows:
            column = describe_column(aim.key)
            unit = f", {column.unit}" if column.unit and not ratio else ""
            title = f"{column.label}{'' if ratio else f', less the base{unit}'}"
            yield {"title": title, "none": int(ratio), "digits": None, "rows": rows}


def _paired(mine: Mapping[int, float], base: Mapping[int, float]) -> dict[str, float]:
    """The mean difference over the seeds that both have, in Student's interval; {} of fewer than
    two."""
    apart = [mine[seed] - base[seed] for seed in mine.keys() & base.keys()]
    if len(apart) < 2:
        return {}
    found = mean_over_seeds(apart)
    return {"value": found.mid, "low": found.low, "high": found.high}


def _bounds(columns: Snapshot, key: str, row: int) -> tuple[float, float, float]:
    """A value between its bounds, which are NaN where there are none."""
    value, low, high = (
        float(columns.numbers[key + end][row]) if key + end in columns.numbers else math.nan
        for end in ("", ":low", ":high")
    )
    return value, low, high


def _related(
    mine: tuple[float, float, float], base: tuple[float, float, float], *, ratio: bool
) -> dict[str, float | None]:
    """The difference of two estimates, or their ratio, between bounds by both their errors."""
    if ratio and all(
        bound > 0 for bound in (*mine, *base)
    ):  # in logarithms a ratio is a difference, as sure
        logs = _related(_logs(mine), _logs(base), ratio=False)
        return {name: None if v is None else math.exp(v) for name, v in logs.items()}
    (value, low, high), (other, other_low, other_high) = mine, base
    apart = value / other if ratio else value - other
    below, above = (
        math.hypot(value - low, other_high - other),
        math.hypot(high - value, other - other_low),
    )
    known = not ratio and math.isfinite(below) and math.isfinite(above)
    return {
        "value": apart,
        "low": apart - below if known else None,
        "high": apart + above if known else None,
    }


def _logs(bounds: tuple[float, float, float]) -> tuple[float, float, float]:
    value, low, high = map(math.log, bounds)
    return value, low, high


PANEL = EffectsPanel()
