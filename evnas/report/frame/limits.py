"""A search's constraints, asked of its trials as their records are read.

What is stored of a trial was judged by the rule of its day: once a seed more, or a later timing,
was not asked, and bounds were rounded. What is shown follows the rule of now, as a resume does.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evnas.record import TargetFields
from evnas.report.frame.columns import scale_count
from evnas.space.expressions import Expression, as_written
from evnas.sweep.constraints import constraints_of_study, first_broken
from evnas.tables import quantities, quantity_of


@dataclass(slots=True)
class Limits:
    """Constraints by the columns that they are on."""

    texts: Sequence[str]
    _asked: list[tuple[Expression, dict[str, str]]] = field(default_factory=list)
    """Each with its quantities and the columns of these."""

    def __post_init__(self) -> None:
        self.settle(())

    def settle(self, targets: Iterable[TargetFields]) -> None:
        """Take note of all targets that trials were timed on so far."""
        known = constraints_of_study(self.texts, list(targets)) if self.texts else ()
        self._asked = [(each, {q: _column(q) for q in each.quantities}) for each in known]

    def broken(
        self,
        fresh: Mapping[str, float],
        value: Callable[[str], float],
        arch: Callable[[], Mapping[str, Any]],
        *,
        first: bool,
    ) -> str:
        """The first constraint that a trial breaks by a record of it, with the values, or "".

        Args:
            fresh: column -> what it is by this record; only constraints on these can have changed.
            value: what a column of the trial is, NaN where that is not known.
            arch: the trial's architecture as plain data.
            first: whether it is the trial's first record, by which its fields are asked.
        """
        for constraint, columns in self._asked:
            if not (first if not columns else fresh.keys() & columns.values()):
                continue
            known = {q: fresh[key] if key in fresh else value(key) for q, key in columns.items()}
            known = {q: _unscaled(q, v) for q, v in known.items() if not math.isnan(v)}
            said = first_broken([constraint], arch() if constraint.fields else {}, known)
            if said:
                return said
        return ""


def _column(quantity: str) -> str:
    """The column that holds a quantity of a constraint."""
    name, at, target = quantity.partition("@")
    found = quantities().get(name)
    source = name if found is None or not found.source else found.source
    return f"{scale_count(source, 0.0)[0]}{at}{target}"


def _unscaled(quantity: str, shown: float) -> float:
    """A quantity by its column: plain counts, such as `params`, are shown in larger units."""
    name = quantity_of(quantity)
    found = quantities().get(name)
    if found is not None and found.source:
        return shown
    unit = round(1 / scale_count(name, 1.0)[1])
    return shown if unit == 1 else float(as_written(shown) * unit)
