"""What each change of an ablation does, over paired seeds, by corrected tests."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import scipy

from evnas.search.state.history import History
from evnas.search.state.trial import Trial
from evnas.words import counted

FEW = 6
"""Wilcoxon's test cannot reach 5 % below so many pairs; Student's paired t stands in."""
DECIMALS = 9
"""Of differences: 70.2 - 68.2 and 70.1 - 68.1 are one difference, though not as floats."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One row against the base."""

    origin: str
    difference: float
    """Mean of row less base over the seeds both have."""
    pairs: int
    p_value: float
    """Two-sided, before correction; 1 where a test is not possible."""
    p_holm: float
    """Corrected for the number of rows (Holm 1979)."""
    test: str
    ended: str = ""
    """Why the row stands on no front whatever its effect: a constraint that it breaks, say."""


def effects(history: History, metric: str) -> list[Effect]:
    """Every trained trial against the one whose origin is `base`, pair by pair of seeds."""
    trained = [t for t in history.trials.values() if t.trained]
    base = next((t for t in trained if t.origin == "base"), None)
    if base is None:
        return []
    reference = _by_seed(base, metric)
    rows = [(t, _differences(_by_seed(t, metric), reference)) for t in trained if t is not base]
    tests = [_paired(differences) for _, differences in rows]
    corrected = holm([p for p, _ in tests])
    return [
        Effect(
            trial.origin,
            statistics.fmean(differences) if differences else 0.0,
            len(differences),
            p,
            q,
            name,
            f"{trial.ended}: {trial.reason}" if trial.ended else "",
        )
        for (trial, differences), (p, name), q in zip(rows, tests, corrected, strict=True)
    ]


def effect_lines(found: Sequence[Effect], metric: str) -> list[str]:
    """The effects in words, a line each."""
    return [
        f"{e.origin}: {metric} {e.difference:+.3g} over {counted(e.pairs, 'paired seed')}, "
        f"p = {e.p_holm:.2g} after Holm ({e.test}){f'; {e.ended}' if e.ended else ''}"
        for e in found
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979): monotone, at most 1, in the order given."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    found, highest = [1.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        found[i] = highest
    return found


def _paired(differences: Sequence[float]) -> tuple[float, str]:
    if len(differences) < 2:
        return 1.0, "none: needs two pairs"
    if not any(differences):
        return 1.0, "none: all pairs are equal"
    if len(differences) < FEW and len(set(differences)) > 1:  # without spread there is no t
        return float(scipy.stats.ttest_1samp(differences, 0.0).pvalue), "paired t"
    return float(scipy.stats.wilcoxon(differences).pvalue), "Wilcoxon signed rank"


def _by_seed(trial: Trial, metric: str) -> dict[int, float]:
    seeds = trial.trained[trial.budget]
    return {seed: values[metric] for seed, values in seeds.items() if metric in values}


def _differences(row: Mapping[int, float], base: Mapping[int, float]) -> list[float]:
    return [round(row[seed] - base[seed], DECIMALS) for seed in sorted(row.keys() & base.keys())]
