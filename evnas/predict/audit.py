"""The audit of everything that could order the printed architectures by their top-1."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from evnas.predict.predictor import SIGNALS, Predictor
from evnas.predict.published_signals import SignalRow, published_signals
from evnas.predict.validation import SPLITS, HeldOut, by_folds, by_recipe, of_others
from evnas.stats.ladder import FLOPS, PARAMS, SIZE, LadderLine, ladder
from evnas.stats.rank_correlation import Column, kendall
from evnas.tables import SCORES

PREDICTED = "predicted, recipe held out"
PREDICTED_FOLDS = "predicted, 10-fold"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedAudit:
    """What `evnas audit published` says."""

    lines: tuple[LadderLine, ...]
    folds: tuple[HeldOut, ...]
    """10-fold, a split each."""
    recipes: HeldOut
    """Each recipe held out."""
    peers: HeldOut
    """Peers of the tables, by a fit to the four papers."""
    level_percent: float
    """Standard deviation between recipes, as fitted, in points."""
    noise_percent: float
    """Of an architecture about its prediction."""
    seconds: dict[str, float]
    """Signal -> seconds of one seed, mean over the four papers' architectures."""

    def summary(self) -> dict[str, Any]:
        """The predictor's figures as plain data."""
        return {
            "folds": {
                "splits": len(self.folds),
                "rmse_percent": float(np.mean([f.rmse_percent for f in self.folds])),
                "coverage": float(np.mean([f.coverage for f in self.folds])),
                "tau_overall": float(np.mean([_tau(f) for f in self.folds])),
            },
            "level_percent": self.level_percent,
            "noise_percent": self.noise_percent,
            "recipe_held_out": _errors(self.recipes),
            "peers": _errors(self.peers),
        }


def audit_published(
    splits: int = SPLITS, rows: Sequence[SignalRow] | None = None
) -> PublishedAudit:
    """Fit and compare; some 10 s a split on one core.

    Args:
        splits: how often ten folds are dealt.
        rows: signals of the printed architectures; None takes those that are shipped.

    Raises:
        MeasurementError: a row lacks a signal that predictions need, or there are too few.
    """
    rows = published_signals() if rows is None else rows
    four = [row for row in rows if not row.printed.candidate.timm]
    peers = [row for row in rows if row.printed.candidate.timm]
    folds = tuple(by_folds(four, split=i) for i in range(splits))
    recipes = by_recipe(four)
    columns = _columns(four)
    columns[PREDICTED_FOLDS] = folds[0].mids
    columns[PREDICTED] = recipes.mids
    fitted = Predictor(four)
    return PublishedAudit(
        level_percent=fitted.level_percent,
        noise_percent=fitted.noise_percent,
        lines=ladder(
            columns,
            [row.printed.top1_percent for row in four],
            groups=[row.printed.recipe for row in four],
            macs=[row.inputs["macs_exact"] for row in four],
            baselines=(FLOPS, SIZE),
        ),
        folds=folds,
        recipes=recipes,
        peers=of_others(peers, four),
        seconds=_seconds(four),
    )


def _columns(rows: Sequence[SignalRow]) -> dict[str, Column]:
    """Counts, signals, and each signal paired with FLOPs by the mean of ranks."""
    macs = [row.inputs["macs_exact"] for row in rows]
    params = [row.inputs["params"] for row in rows]
    found: dict[str, Column] = {
        FLOPS: macs,
        PARAMS: params,
        SIZE: [m * p for m, p in zip(macs, params, strict=True)],
    }
    signals = [name for name in SCORES if any(name in row.inputs for row in rows)]
    for name in signals:
        if name != "params":
            found[name] = [row.inputs.get(name) for row in rows]
    for name in signals:
        if name != "params":
            found[f"FLOPs and {name}"] = _paired(macs, found[name])
    return found


def _paired(a: Sequence[float], b: Column) -> Column:
    """Mean of ranks among the things that both know."""
    known = [i for i, v in enumerate(b) if v is not None and math.isfinite(v)]
    ranks = scipy.stats.rankdata([a[i] for i in known]) + scipy.stats.rankdata(
        [b[i] for i in known]
    )
    of = dict(zip(known, ranks.tolist(), strict=True))
    return [of.get(i) for i in range(len(a))]


def _seconds(rows: Sequence[SignalRow]) -> dict[str, float]:
    names = dict.fromkeys(name for row in rows for name in row.seconds)
    found = {
        name: float(np.mean([row.seconds[name] for row in rows if name in row.seconds]))
        for name in names
    }
    if "mixers" in found:  # one walk gives all of them
        found |= dict.fromkeys((*SIGNALS, PREDICTED, PREDICTED_FOLDS), found["mixers"])
    return found


def _tau(held_out: HeldOut) -> float:
    truth = [row.printed.top1_percent for row in held_out.rows]
    found = kendall(held_out.mids, truth)
    return math.nan if found is None else found.tau


def _errors(held_out: HeldOut) -> dict[str, float | int]:
    return {
        "n": len(held_out.rows),
        "rmse_percent": held_out.rmse_percent,
        "coverage": held_out.coverage,
    }
