"""What trainings say of the printed architectures, and how that compares with the predictor.

A signal is compared with the predictor alone on the rows that have the signal. The predictor
never knows a row's recipe. Training comes in twice: alone, and added to the prediction by a
regression of what the predictor misses on prediction and signal, fitted to the other recipes'
rows, each of which is predicted by a fit without that row and without the recipe that is tested.
No torch.
"""

import hashlib
import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cells import FEW, HARDER_DATA, MANY, USUAL_DATA, Line, key_of
from numpy.typing import NDArray
from rows import chosen, counts_by_paper

from evnas.predict.published_signals import SignalRow, published_signals
from evnas.predict.regression import Regression
from evnas.predict.validation import by_folds, of_others
from evnas.stats.rank_correlation import Agreement, Column, Pairs, kendall, kendall_gain

LEAST_ROWS, LEAST_PAIRS = 8, 10
"""Below either, nothing is said of a scope."""
LEAST_FITTED = 6
"""Rows of other recipes that the regression on a signal needs."""
BETTER, WORSE, CANNOT_TELL, FEW_ROWS = "better", "worse", "cannot tell", "too few"

ALONE, OTHERS = "its rows", "other rows"
HeldOut = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Recipe -> of its rows, and of the other rows: name -> predicted top-1. No fit behind them saw
the recipe; those behind the other rows saw nine tenths of these, without the row itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """Something that trainings of one kind say of an architecture."""

    name: str
    data: str = USUAL_DATA
    presentations: int
    seeds: tuple[int, ...] = (0,)
    of_line: Callable[[Line], float]
    until: int = 0
    """Presentations that it needs; 0 needs the whole training."""
    longer_rows: bool = False
    """Whether only the rows that are trained for longer are asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A signal with its values: a row each, None where a training is missing or did not end."""

    signal: Signal
    values: Column
    minutes: Column
    """CPU minutes of each row; None too where only the clock's were taken."""
    with_prediction: Column
    """Predicted top-1 by predictor and signal together, held out by recipe."""

    @property
    def rows(self) -> int:
        """How many have the signal."""
        return sum(value is not None for value in self.values)

    @property
    def timed(self) -> int:
        """Of how many the CPU time was taken."""
        return sum(value is not None for value in self.minutes)

    @property
    def mean_minutes(self) -> float | None:
        """CPU minutes that one architecture takes, of those whose CPU time was taken."""
        taken = [value for value in self.minutes if value is not None]
        return statistics.mean(taken) if taken else None


def _top1(line: Line) -> float:
    return float(line["values"]["top1_percent"])


def _area(line: Line) -> float:
    return statistics.mean(float(point["top1_percent"]) for point in line["curve"])


def _at(images: int) -> Callable[[Line], float]:
    def top1(line: Line) -> float:
        return next(float(p["top1_percent"]) for p in line["curve"] if p["images"] == images)

    return top1


def _mean_of_seeds(of_line: Callable[[Line], float], name: str) -> Signal:
    return Signal(name=name, presentations=MANY, seeds=(0, 1), of_line=of_line, longer_rows=True)


SIGNALS = (
    Signal(name="top-1 at 1,500 of 3,000", presentations=FEW, of_line=_at(1_500), until=1_500),
    Signal(name="top-1 after 3,000", presentations=FEW, of_line=_top1),
    Signal(name="area under the curve to 3,000", presentations=FEW, of_line=_area),
    Signal(
        name="top-1 after 3,000, the 16", presentations=FEW, of_line=_top1, longer_rows=True
    ),
    Signal(
        name="top-1 at 3,000 of 30,000", presentations=MANY, of_line=_at(3_000), until=3_000,
        longer_rows=True,
    ),
    Signal(
        name="top-1 at 15,000 of 30,000", presentations=MANY, of_line=_at(15_000), until=15_000,
        longer_rows=True,
    ),
    Signal(name="top-1 after 30,000", presentations=MANY, of_line=_top1, longer_rows=True),
    Signal(
        name="area under the curve to 30,000", presentations=MANY, of_line=_area,
        longer_rows=True,
    ),
    _mean_of_seeds(_top1, "top-1 after 30,000, mean of two seeds"),
    _mean_of_seeds(_area, "area under the curve to 30,000, mean of two seeds"),
    Signal(
        name=f"{HARDER_DATA}: top-1 after 3,000", data=HARDER_DATA, presentations=FEW,
        of_line=_top1, longer_rows=True,
    ),
    Signal(
        name=f"{HARDER_DATA}: area under the curve to 3,000", data=HARDER_DATA,
        presentations=FEW, of_line=_area, longer_rows=True,
    ),
)  # fmt: skip


def study_rows() -> tuple[SignalRow, ...]:
    """The printed architectures of the four papers."""
    return tuple(row for row in published_signals() if not row.printed.candidate.timm)


def predictions(rows: Sequence[SignalRow]) -> dict[str, dict[str, dict[str, float]]]:
    """What fits say of rows that they have not seen; 44 fits, a minute on a quiet core."""
    found = {}
    for recipe in sorted({row.printed.recipe for row in rows}):
        others = [row for row in rows if row.printed.recipe != recipe]
        in_turn = by_folds(others, split=0)
        found[recipe] = {
            ALONE: predicted_without(recipe, rows),
            OTHERS: _by_name(in_turn.rows, in_turn.mids),
        }
    return found


def predicted_without(recipe: str, rows: Sequence[SignalRow]) -> dict[str, float]:
    """Name -> top-1 predicted for the rows of a recipe by a fit to the others."""
    asked = [row for row in rows if row.printed.recipe == recipe]
    found = of_others(asked, [row for row in rows if row.printed.recipe != recipe])
    return _by_name(found.rows, found.mids)


def _by_name(rows: Sequence[SignalRow], mids: Sequence[float]) -> dict[str, float]:
    return {row.printed.name: round(mid, 4) for row, mid in zip(rows, mids, strict=True)}


def digest_of(rows: Sequence[SignalRow]) -> str:
    """12 hex digits of all that the predictor is fitted to."""
    facts = [(r.printed.name, r.printed.recipe, r.printed.top1_percent, sorted(r.inputs.items()))
             for r in rows]  # fmt: skip
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def kept_predictions(file: Path, rows: Sequence[SignalRow]) -> HeldOut | None:
    """What lies beside the curves; None where it is not of these rows."""
    if not file.exists():
        return None
    kept = json.loads(file.read_text(encoding="utf-8"))
    found: HeldOut | None = kept["predicted"] if kept["rows"] == digest_of(rows) else None
    return found


def trained(
    signal: Signal, lines: Iterable[Line], rows: Sequence[SignalRow], held_out: HeldOut
) -> Trained:
    """A signal of every row, and what it makes of the prediction."""
    longer = set(chosen(counts_by_paper()))
    there = {key_of(line): line for line in lines if line["status"] == "complete"}
    values: list[float | None] = []
    minutes: list[float | None] = []
    for row in rows:
        keys = [(row.printed.name, signal.data, signal.presentations, s) for s in signal.seeds]
        asked = not signal.longer_rows or row.printed.name in longer
        if asked and all(key in there for key in keys):
            values.append(statistics.mean(signal.of_line(there[key]) for key in keys))
            each = [cpu_minutes(there[key], signal.until) for key in keys]
            taken = [value for value in each if value is not None]
            minutes.append(sum(taken) if len(taken) == len(each) else None)
        else:
            values.append(None)
            minutes.append(None)
    return Trained(
        signal=signal,
        values=values,
        minutes=minutes,
        with_prediction=with_signal(values, rows, held_out),
    )


def cpu_minutes(line: Line, until: int) -> float | None:
    """Of one training, or of its first `until` presentations, which cost alike; None where CPU
    time was not taken: the clock says nothing of it beside other work."""
    if "cpu_seconds" not in line:
        return None
    share = until / line["presentations"] if until else 1.0
    return float(line["cpu_seconds"]) * share / 60


def with_signal(values: Column, rows: Sequence[SignalRow], held_out: HeldOut) -> Column:
    """Prediction and signal together, a row each; None where too few others have the signal."""
    found: list[float | None] = [None] * len(rows)
    known = [i for i, value in enumerate(values) if value is not None]
    for recipe in dict.fromkeys(rows[i].printed.recipe for i in known):
        test = [i for i in known if rows[i].printed.recipe == recipe]
        others = [i for i in known if rows[i].printed.recipe != recipe]
        if len(others) < LEAST_FITTED:
            continue
        before = [held_out[recipe][OTHERS][rows[i].printed.name] for i in others]
        missed = [rows[i].printed.top1_percent - b for i, b in zip(others, before, strict=True)]
        fit = Regression(
            _inputs(before, [values[i] for i in others]),
            np.array(missed),
            [rows[i].printed.recipe for i in others],
        )
        now = [predicted(rows[i], held_out) for i in test]
        more = fit.predict(_inputs(now, [values[i] for i in test]), [recipe] * len(test)).mid
        for i, base, added in zip(test, now, more.tolist(), strict=True):
            found[i] = base + added
    return found


def rows_behind(values: Column, rows: Sequence[SignalRow]) -> dict[str, int]:
    """Recipe -> rows of other recipes that have the signal, which its correction is fitted to."""
    known = [row.printed.recipe for row, v in zip(rows, values, strict=True) if v is not None]
    recipes = dict.fromkeys(row.printed.recipe for row in rows)
    return {recipe: sum(other != recipe for other in known) for recipe in recipes}


def predicted(row: SignalRow, held_out: HeldOut) -> float:
    """By a fit that has not seen the row's recipe."""
    return held_out[row.printed.recipe][ALONE][row.printed.name]


def _inputs(before: Sequence[float], values: Column) -> NDArray[np.float64]:
    return np.array([before, values], dtype=np.float64).T


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A column against the predictor alone, on one scope."""

    alone: Agreement | None
    """The predictor's tau on the rows of the column."""
    tau: Agreement | None
    gain: Agreement | None
    pairs: int

    @property
    def verdict(self) -> str:
        """`better`, `worse`, or why neither can be said."""
        if self.gain is None:
            return FEW_ROWS
        if self.gain.low > 0:
            return BETTER
        return WORSE if self.gain.high < 0 else CANNOT_TELL


def compared(column: Column, base: Column, truth: Column, pairs: Pairs) -> Compared:
    """A column and the predictor on the rows that the column has."""
    known = np.array([value is not None for value in column])
    inside = pairs & known & known[:, None]
    count = int(inside.sum()) // 2
    if count < LEAST_PAIRS or known.sum() < LEAST_ROWS:
        return Compared(alone=None, tau=None, gain=None, pairs=count)
    same_rows = [b if k else None for b, k in zip(base, known.tolist(), strict=True)]
    return Compared(
        alone=kendall(same_rows, truth, pairs=inside),
        tau=kendall(column, truth, pairs=inside),
        gain=kendall_gain(column, base, truth, pairs=inside),
        pairs=count,
    )
