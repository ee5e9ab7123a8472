"""How well the predictor does on architectures that its fit has not seen."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evnas.predict.predictor import Prediction, Predictor
from evnas.predict.published_signals import SignalRow

FOLDS = 10
SPLITS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Predictions of rows, each by a fit that did not see it."""

    rows: tuple[SignalRow, ...]
    predictions: tuple[Prediction, ...]

    @property
    def rmse_percent(self) -> float:
        """Root mean square error in points of top-1."""
        return math.sqrt(float(np.mean(np.square(self._errors()))))

    @property
    def coverage(self) -> float:
        """Share of rows whose printed top-1 lies in the 90 % interval."""
        inside = [
            p.low <= row.printed.top1_percent <= p.high
            for row, p in zip(self.rows, self.predictions, strict=True)
        ]
        return sum(inside) / len(inside)

    @property
    def mids(self) -> list[float]:
        """Predicted top-1, a row each."""
        return [p.mid for p in self.predictions]

    def _errors(self) -> list[float]:
        pairs = zip(self.rows, self.predictions, strict=True)
        return [p.mid - row.printed.top1_percent for row, p in pairs]


def by_folds(rows: Sequence[SignalRow], *, split: int, folds: int = FOLDS) -> HeldOut:
    """Each tenth of the rows, dealt at random by the split's number, by a fit to the others."""
    order = np.random.default_rng(split).permutation(len(rows))
    fold = {int(row): place % folds for place, row in enumerate(order)}
    return _held_out(rows, lambda i: fold[i])


def by_recipe(rows: Sequence[SignalRow]) -> HeldOut:
    """Each recipe's rows by a fit to the other recipes."""
    return _held_out(rows, lambda i: rows[i].printed.recipe)


def of_others(rows: Sequence[SignalRow], known: Sequence[SignalRow]) -> HeldOut:
    """`rows` by a fit to `known`."""
    found = Predictor(known).predict_all(
        [r.inputs for r in rows],
        [r.printed.recipe for r in rows],
        [r.printed.candidate.digest for r in rows],
    )
    return HeldOut(rows=tuple(rows), predictions=tuple(found))


def _held_out(rows: Sequence[SignalRow], group: Callable[[int], object]) -> HeldOut:
    groups = [group(i) for i in range(len(rows))]
    found: dict[int, Prediction] = {}
    for out in dict.fromkeys(groups):
        test = [i for i, g in enumerate(groups) if g == out]
        known = [rows[i] for i, g in enumerate(groups) if g != out]
        of_these = of_others([rows[i] for i in test], known)
        found |= dict(zip(test, of_these.predictions, strict=True))
    return HeldOut(rows=tuple(rows), predictions=tuple(found[i] for i in range(len(rows))))
