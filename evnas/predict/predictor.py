"""ImageNet top-1 of an architecture from its counts and signals, with a calibrated interval.

A committee of Gaussian processes. Each member sees parameters, multiply-adds and one or two of six
figures of the mixers; there is a member for every such choice, and their mean is the prediction,
so that no choice among them is made by what it gave. The fit knows the architectures of the four
papers. docs/reference/prediction.md says how well it does, and on what.
"""

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from evnas.errors import MeasurementError
from evnas.predict.published_signals import SignalRow, published_signals
from evnas.predict.regression import Array, Regression

SIGNALS = ("reach", "effective_rank", "mixing_entropy", "mixer_gain", "mixers")
"""Of `evnas.tables.SCORES`: what is measured of a candidate."""
SIZE = ("log_params", "log_macs")
FIGURES = ("log_reach", "rank_sum", "rank_mean", "entropy", "gain", "log_mixers")
MEMBERS = tuple((*SIZE, *chosen) for n in (1, 2) for chosen in itertools.combinations(FIGURES, n))
"""The inputs of each member of the committee."""
LEVEL = 0.9
"""Of the interval: so many of the architectures that the fit has not seen lie inside."""
_QUANTILE = NormalDist().inv_cdf(0.5 + LEVEL / 2)
OWN = "a recipe of one's own"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What is believed of one architecture's ImageNet top-1, in percent."""

    mid: float
    low: float
    high: float
    """The ends of the 90 % interval; they hold the unknown level of a recipe, if it is one."""
    draws: tuple[float, ...]
    """Joint draws: the i-th of all predictions of one predictor belong together."""
    outside: str
    """Why it extrapolates, in words; "" where known architectures are near."""


def figures_of(inputs: Mapping[str, float]) -> dict[str, float]:
    """What the members see.

    Args:
        inputs: `params`, `macs_exact` and `SIGNALS`.

    Raises:
        MeasurementError: one is missing or not finite.
    """
    for name in ("params", "macs_exact", *SIGNALS):
        if not math.isfinite(inputs.get(name, math.nan)):
            raise MeasurementError(f"a prediction needs {name}, got {inputs.get(name)}")
    return {
        "log_params": math.log(inputs["params"]),
        "log_macs": math.log(inputs["macs_exact"]),
        "log_reach": math.log1p(inputs["reach"]),
        "rank_sum": inputs["effective_rank"],
        "rank_mean": inputs["effective_rank"] / inputs["mixers"],
        "entropy": inputs["mixing_entropy"],
        "gain": inputs["mixer_gain"],
        "log_mixers": math.log(inputs["mixers"]),
    }


class Predictor:
    """Fitted to rows whose top-1 is printed.

    Args:
        rows: at least ten.

    Raises:
        MeasurementError: there are fewer, or one lacks a signal.
    """

    def __init__(self, rows: Sequence[SignalRow]) -> None:
        if len(rows) < 10:
            raise MeasurementError(f"a fit needs ten printed architectures, got {len(rows)}")
        figures = [figures_of(row.inputs) for row in rows]
        top1 = np.array([row.printed.top1_percent for row in rows])
        self.recipes = tuple(row.printed.recipe for row in rows)
        self._members = {
            names: Regression(_table(figures, names), top1, self.recipes) for names in MEMBERS
        }
        self._centre, self._scale, self._known = _standardised(figures)
        self._names = [row.printed.name for row in rows]
        self._spacing = float(_nearest_others(self._known).max())

    @classmethod
    def shipped(cls, held_out: Collection[str] = ()) -> "Predictor":
        """Fitted to the shipped signals of the four papers' architectures.

        Args:
            held_out: papers and recipes whose rows the fit does not see.
        """
        rows = [row for row in published_signals() if not row.printed.candidate.timm]
        return cls([r for r in rows if not {r.printed.paper, r.printed.recipe} & set(held_out)])

    @property
    def level_percent(self) -> float:
        """Standard deviation between recipes in points of top-1, the members' mean."""
        return float(np.mean([member.level_percent for member in self._members.values()]))

    @property
    def noise_percent(self) -> float:
        """Standard deviation of an architecture about its prediction, in points, likewise."""
        return float(np.mean([member.noise_percent for member in self._members.values()]))

    def predict(
        self, inputs: Mapping[str, float], *, recipe: str = "", name: str = ""
    ) -> Prediction:
        """Top-1 of one architecture.

        Args:
            inputs: as `figures_of` takes them.
            recipe: whose way of training is meant; one that the fit has not seen, such as "",
                has an unknown level, which all predictions for it share.
            name: of the architecture, its digest: the draws of its own noise follow from it.
        """
        return self.predict_all([inputs], [recipe], [name])[0]

    def predict_all(
        self, inputs: Sequence[Mapping[str, float]], recipes: Sequence[str], names: Sequence[str]
    ) -> list[Prediction]:
        """Top-1 of several architectures; arguments as in `predict`."""
        figures = [figures_of(one) for one in inputs]
        trained_as = [recipe or OWN for recipe in recipes]
        found = [
            member.predict(_table(figures, chosen), trained_as, names)
            for chosen, member in self._members.items()
        ]
        mid = np.mean([one.mid for one in found], axis=0)
        # members err together, so the mean's variance is taken to be as large as theirs
        sd = np.sqrt(np.mean([one.sd**2 for one in found], axis=0))
        spread = np.mean([one.draws - one.mid[:, None] for one in found], axis=0)
        outside = [self._outside(one) for one in figures]
        sd = sd * [max(1.0, apart) for apart, _ in outside]
        draws = mid[:, None] + spread * (sd / spread.std(1))[:, None]
        return [
            Prediction(
                mid=float(m),
                low=float(m - _QUANTILE * s),
                high=float(m + _QUANTILE * s),
                draws=tuple(d.tolist()),
                outside=why,
            )
            for m, s, d, (_, why) in zip(mid, sd, draws, outside, strict=True)
        ]

    def _outside(self, figures: Mapping[str, float]) -> tuple[float, str]:
        """Distance to the nearest known one over the largest among known ones, and in words."""
        at = (_row_of(figures) - self._centre) / self._scale
        distances = np.sqrt(((self._known - at) ** 2).sum(1))
        apart = float(distances.min()) / self._spacing
        if apart <= 1:
            return apart, ""
        nearest = self._names[int(distances.argmin())]
        return apart, (
            f"outside what is known: {apart:.1f} times as far from {nearest}, the nearest, as any "
            "known architecture from another"
        )


def _table(figures: Sequence[Mapping[str, float]], names: Sequence[str]) -> Array:
    return np.array([[one[name] for name in names] for one in figures])


def _row_of(figures: Mapping[str, float]) -> Array:
    return np.array([figures[name] for name in (*SIZE, *FIGURES)])


def _standardised(figures: Sequence[Mapping[str, float]]) -> tuple[Array, Array, Array]:
    table = np.stack([_row_of(one) for one in figures])
    centre, scale = table.mean(0), np.maximum(table.std(0), 1e-9)
    return centre, scale, (table - centre) / scale


def _nearest_others(table: Array) -> Array:
    """(n,): distance of each row to the nearest other."""
    distances = np.sqrt(((table[:, None] - table[None]) ** 2).sum(-1))
    np.fill_diagonal(distances, np.inf)
    return np.asarray(distances.min(1))
