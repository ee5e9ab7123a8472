"""How far predicted latencies are from measured ones, beside simpler ways of predicting them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from evnas.errors import MeasurementError
from evnas.latency.predictor import FOLDS, LatencyPredictor, NetworkTime, PredictedLatency
from evnas.stats.rank_correlation import kendall

NEAR_PERCENT = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyAgreement:
    """Of predicted with measured latencies of n networks."""

    n: int
    mean_error_percent: float
    """Mean absolute error, relative to what was measured."""
    within_10_percent: float
    """Share of the networks, in percent."""
    tau: float
    """Kendall's tau-b."""
    covered_percent: float | None = None
    """Share whose latency lies in the interval; None of what has none."""

    def to_dict(self) -> dict[str, float | int | None]:
        """Plain data."""
        return asdict(self)

    def __str__(self) -> str:
        text = (
            f"{self.mean_error_percent:.1f} % off in the mean, {self.within_10_percent:.0f} % "
            f"within 10 %, tau {self.tau:.3f}"
        )
        covered = self.covered_percent
        return text if covered is None else f"{text}, {covered:.0f} % in the interval"


def agreement(
    predicted_ms: Sequence[float],
    measured_ms: Sequence[float],
    intervals: Sequence[tuple[float, float]] = (),
) -> LatencyAgreement:
    """How far they are from each other.

    Args:
        predicted_ms, measured_ms: of the same networks, three at least.
        intervals: of the predictions, in ms, where they have some.
    """
    errors = 100 * np.abs(np.asarray(predicted_ms) / np.asarray(measured_ms) - 1)
    rank = kendall(list(predicted_ms), list(measured_ms))
    inside = [low <= t <= high for (low, high), t in zip(intervals, measured_ms, strict=False)]
    return LatencyAgreement(
        n=len(errors),
        mean_error_percent=float(errors.mean()),
        within_10_percent=float(100 * (errors <= NEAR_PERCENT).mean()),
        tau=math.nan if rank is None else rank.tau,
        covered_percent=100 * sum(inside) / len(inside) if inside else None,
    )


def cross_validated(predictor: LatencyPredictor) -> dict[str, LatencyAgreement]:
    """The calibration's own networks, each predicted by a fit to others, in three ways.

    Returns:
        `flops` (a line through log latency over log FLOPs), `sum` (a line over the log of the
        parts' sum), `both` (the predictor).
    """
    networks = predictor.networks
    took = [network.latency_ms for network in networks]
    return {
        **ladder_of(predictor, networks, None),
        "both": of_predictions(predictor.held_out_predictions(), took),
    }


def on_others(
    predictor: LatencyPredictor, networks: Sequence[NetworkTime]
) -> dict[str, LatencyAgreement]:
    """Networks that the calibration did not measure, in the same three ways.

    Raises:
        MeasurementError: a part of one is of a kind that was not measured.
    """
    predicted = [predictor.predict(network.arch) for network in networks]
    took = [network.latency_ms for network in networks]
    return {
        **ladder_of(predictor, predictor.networks, networks),
        "both": of_predictions(predicted, took),
    }


def of_predictions(
    predicted: Sequence[PredictedLatency], measured_ms: Sequence[float]
) -> LatencyAgreement:
    """Middles and intervals against what was measured."""
    ends = [(p.low_ms, p.high_ms) for p in predicted]
    return agreement([p.mid_ms for p in predicted], measured_ms, ends)


def ladder_of(
    predictor: LatencyPredictor,
    known: Sequence[NetworkTime],
    others: Sequence[NetworkTime] | None,
) -> dict[str, LatencyAgreement]:
    """FLOPs alone and the parts' sum alone, each as a line between logarithms.

    Args:
        known: that the lines are fitted to.
        others: that they predict; None predicts each of `known` by those of other folds.
    """
    if any(not network.macs > 0 for network in [*known, *(others or ())]):
        raise MeasurementError("a network's FLOPs are not known, which a line over them needs")
    ways: dict[str, Callable[[NetworkTime], float]] = {
        "flops": lambda network: math.log(network.macs),
        "sum": lambda network: math.log(predictor.sum_ms(network.arch)),
    }
    found = {}
    for name, of in ways.items():
        x, y = [of(n) for n in known], [math.log(n.latency_ms) for n in known]
        if others is None:
            guessed = _by_folds(np.asarray(x), np.asarray(y))
            took = [n.latency_ms for n in known]
        else:
            slope, offset = np.polyfit(x, y, 1)
            guessed = [float(offset + slope * of(n)) for n in others]
            took = [n.latency_ms for n in others]
        found[name] = agreement([math.exp(g) for g in guessed], took)
    return found


def _by_folds(x: NDArray[np.float64], y: NDArray[np.float64]) -> list[float]:
    place = np.random.default_rng(0).permutation(len(x)) % FOLDS
    guessed = np.zeros(len(x))
    for fold in range(FOLDS):
        stay, out = place != fold, place == fold
        slope, offset = np.polyfit(x[stay], y[stay], 1)
        guessed[out] = offset + slope * x[out]
    return [float(g) for g in guessed]
