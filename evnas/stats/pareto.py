"""Dominance, also under uncertainty; fronts; hypervolume. numpy and moocore, nothing else.

Points are rows, (n, m), every objective to be minimised; callers negate what is maximised.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
DRAWS = 512


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is believed of one objective's true value: draws from its distribution."""

    mid: float
    draws: tuple[float, ...]
    """One alone for a value that is known exactly."""
    joint: bool = False
    """Whether the i-th draw belongs together with the i-th draw of other joint estimates: what
    they have in common (the level of a recipe, say) is then no reason to take them for tied."""

    @property
    def interval(self) -> tuple[float, float]:
        """The central 95 % of the draws."""
        low, high = np.percentile(self.draws, [2.5, 97.5])
        return float(low), float(high)


def exact(value: float) -> Estimate:
    """A value that is counted, not measured."""
    return Estimate(value, (value,))


def from_samples(samples: Sequence[float], *, seed: int = 0) -> Estimate:
    """The median of repeated measurements, by the percentile bootstrap (Efron 1979)."""
    values = np.asarray(samples, dtype=np.float64)
    rng = np.random.default_rng(seed)
    picks = rng.integers(len(values), size=(DRAWS, len(values)))
    return Estimate(float(np.median(values)), tuple(np.median(values[picks], axis=1).tolist()))


def from_seeds(values: Sequence[float], *, spread: float = 0.0, seed: int = 0) -> Estimate:
    """The mean over training seeds: Student's t around it.

    Args:
        values: one per seed.
        spread: standard deviation between seeds known from elsewhere (pooled over trials that
            have several); a single seed has none of its own, so 0 takes its value as exact.
        seed: of the draws.
    """
    n, mid = len(values), float(np.mean(values))
    own = float(np.std(values, ddof=1)) if n > 1 else 0.0
    rng = np.random.default_rng(seed)
    if spread > 0:
        noise = rng.standard_normal(DRAWS) * spread
    elif own > 0:
        noise = rng.standard_t(n - 1, DRAWS) * own
    else:
        return exact(mid)
    return Estimate(mid, tuple((mid + noise / np.sqrt(n)).tolist()))


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether `a` is nowhere worse than `b` and somewhere better."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and tuple(a) != tuple(b)


def probability_better(a: Estimate, b: Estimate) -> tuple[float, float]:
    """P(a < b) and P(a = b); of independent values, unless both are joint."""
    if a.joint and b.joint:
        one, other = np.asarray(a.draws), np.asarray(b.draws)
        return float(np.mean(one < other)), float(np.mean(one == other))
    left, right = np.sort(a.draws), np.asarray(b.draws)
    over = len(left) - np.searchsorted(left, right, side="right")  # draws of a above each of b
    under = np.searchsorted(left, right, side="left")
    below = float(np.mean(under)) / len(left)
    return below, 1.0 - below - float(np.mean(over)) / len(left)


def probability_dominates(a: Sequence[Estimate], b: Sequence[Estimate]) -> float:
    """P(a dominates b), objectives taken as independent."""
    pairs = [probability_better(x, y) for x, y in zip(a, b, strict=True)]
    no_worse = float(np.prod([better + equal for better, equal in pairs]))
    return max(0.0, no_worse - float(np.prod([equal for _, equal in pairs])))


def tied(a: Sequence[Estimate], b: Sequence[Estimate], *, level: float = 0.95) -> bool:
    """Whether no objective tells the two apart at `level`, two-sided."""
    sure = 0.5 + level / 2
    for x, y in zip(a, b, strict=True):
        better, equal = probability_better(x, y)
        if better > sure or 1.0 - better - equal > sure:
            return False
    return True


def front_mask(points: Points) -> NDArray[np.bool_]:
    """Which rows nothing dominates; equal rows all stay. NaN rows never do."""
    mask: NDArray[np.bool_] = np.asarray(np.isfinite(points).all(axis=1))
    if mask.any():
        from moocore import is_nondominated

        mask[mask] = is_nondominated(points[mask], keep_weakly=True)
    return mask


def ranks(points: Points) -> NDArray[np.int64]:
    """0 for the front, 1 for the front of the rest, and so on (Deb et al. 2002)."""
    from moocore import pareto_rank

    return np.asarray(pareto_rank(points), dtype=np.int64)


def crowding(points: Points) -> NDArray[np.float64]:
    """Crowding distance of the rows of one front (Deb et al. 2002, Section III-B)."""
    n, m = points.shape
    distance = np.zeros(n)
    for k in range(m):
        order = np.argsort(points[:, k], kind="stable")
        values = points[order, k]
        span = values[-1] - values[0]
        distance[order[[0, -1]]] = np.inf
        if n > 2 and span > 0:
            distance[order[1:-1]] += (values[2:] - values[:-2]) / span
    return distance


def best(points: Points, most: int) -> list[int]:
    """Up to `most` rows: by front, within one by crowding, the emptier first, then by place. Rows
    with NaN are none of them."""
    found: list[int] = []
    left = np.arange(len(points))
    while len(found) < most and len(left):
        mask = front_mask(points[left])
        front, left = left[mask], left[~mask]
        if not len(front):
            break
        found += front[np.argsort(-crowding(points[front]), kind="stable")].tolist()
    return found[:most]


def front_probability(trials: Sequence[Sequence[Estimate]]) -> NDArray[np.float64]:
    """P(on the front) of each trial: the share of joint draws in which nothing dominates it."""
    if not trials:
        return np.zeros(0)
    size = max(len(e.draws) for trial in trials for e in trial)
    rng, worlds = np.random.default_rng(0), np.random.default_rng(1).integers(2**31, size=size)
    joint = np.stack(
        [np.stack([_drawn(e, rng, worlds) for e in trial], axis=1) for trial in trials], axis=1
    )  # (draws, n, m)
    return np.asarray(np.mean([front_mask(points) for points in joint], axis=0), dtype=np.float64)


def _drawn(
    estimate: Estimate, rng: "np.random.Generator", worlds: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Draws of one estimate, (len(worlds),): joint ones of the same worlds."""
    if estimate.joint:
        return np.asarray(estimate.draws)[worlds % len(estimate.draws)]
    return rng.choice(estimate.draws, len(worlds))


def hypervolume(points: Points, reference: Sequence[float]) -> float:
    """Volume that the rows dominate up to `reference`; rows beyond it add nothing."""
    inside = points[(points < np.asarray(reference)).all(axis=1)] if len(points) else points
    if not len(inside):
        return 0.0
    from moocore import hypervolume as volume

    return float(volume(inside, ref=list(reference)))


class Front:
    """A front that grows a point at a time, so that nobody scans all trials again."""

    def __init__(self, objectives: int) -> None:
        self.points: Points = np.empty((0, objectives))
        self.labels: list[str] = []

    @classmethod
    def of(cls, labels: Sequence[str], points: Points) -> "Front":
        """The one that `add` makes of these, one after another."""
        front, mask = cls(points.shape[1]), front_mask(points)
        front.points = points[mask]
        front.labels = [labels[i] for i in np.flatnonzero(mask).tolist()]
        return front

    def add(self, label: str, point: Sequence[float]) -> bool:
        """Take a point in. False when something dominates it."""
        row = np.asarray(point, dtype=np.float64)
        if not np.isfinite(row).all():
            return False
        worse = (self.points <= row).all(axis=1) & (self.points < row).any(axis=1)
        if worse.any():
            return False
        beaten: NDArray[np.bool_] = np.asarray(
            (row <= self.points).all(axis=1) & (row < self.points).any(axis=1)
        )
        self.points = np.vstack([self.points[~beaten], row])
        self.labels = [x for x, gone in zip(self.labels, beaten, strict=True) if not gone]
        self.labels.append(label)
        return True


def hypervolume_curve(points: Points, reference: Sequence[float]) -> NDArray[np.float64]:
    """Hypervolume after each of the rows, in their order."""
    front, found, now = Front(points.shape[1]), [], 0.0
    for i, row in enumerate(points):
        if front.add(str(i), row.tolist()):
            now = hypervolume(front.points, reference)
        found.append(now)
    return np.asarray(found)


@dataclass(frozen=True, slots=True)
class Dominator:
    """One reason why a trial is not on the front."""

    label: str
    probability: float
    margins: tuple[float, ...]
    """How much better its objectives are, in their units; 0 or more."""


def why_not(
    trial: Sequence[Estimate], others: Sequence[tuple[str, Sequence[Estimate]]]
) -> list[Dominator]:
    """Who dominates a trial, by how much and how surely, the surest first; none on the front."""
    mids = [e.mid for e in trial]
    found = []
    for label, other in others:
        theirs = [e.mid for e in other]
        if dominates(theirs, mids):
            margins = tuple(m - t for m, t in zip(mids, theirs, strict=True))
            found.append(Dominator(label, probability_dominates(other, trial), margins))
    return sorted(found, key=lambda d: -d.probability)
