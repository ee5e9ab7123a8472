"""What a child promises: the hypervolume that it may add to the front."""

from collections.abc import Sequence

import numpy as np

from evnas.search.strategies.surrogate import Array, Surrogate, scaled
from evnas.stats.pareto import Points, front_mask, hypervolume

DRAWS = 16


class Acquisition:
    """Expected gain of hypervolume over draws from the models' posteriors.

    `ratios`: of logarithms, where a model has those, so that what is twice as fast counts the same
    everywhere; else the slow end of a front, which is long in milliseconds, takes most children.
    Where no draw adds anything, how far the child is beaten by the front, below zero, in units
    of the front's range: so children differ everywhere.
    """

    def __init__(
        self, models: Sequence[Surrogate], front: Points, seed: int, *, ratios: bool
    ) -> None:
        self._models = models
        self._back = [(lambda y: y) if ratios else model.back for model in models]
        if ratios:
            front = np.stack([scaled(front[:, k], m.sign) for k, m in enumerate(models)], axis=1)
        self._front = front
        self._noise = np.random.default_rng(seed).standard_normal((len(models), DRAWS))
        self._best = front.min(axis=0)
        self._span = np.maximum(front.max(axis=0) - self._best, 1e-9)

    def __call__(self, x: Array) -> Array:
        """(k,) for features (k, F)."""
        gaps = self._models[0].gaps(x)
        pairs = [model.predict(gaps) for model in self._models]
        held = (self._front - self._best) / self._span
        reference = [1.2] * held.shape[1]
        total = np.zeros(len(x))
        for draw in range(DRAWS):
            columns = [
                back(mean + sd * self._noise[k, draw])
                for k, (back, (mean, sd)) in enumerate(zip(self._back, pairs, strict=True))
            ]
            here = (np.stack(columns, axis=1) - self._best) / self._span
            total += added(here, held, reference)
        middle = np.stack(
            [back(mean) for back, (mean, _) in zip(self._back, pairs, strict=True)], axis=1
        )
        here = (middle - self._best) / self._span
        beaten = (here[:, None, :] - held[None, :, :]).max(axis=2).min(axis=1)
        worth: Array = np.where(total > 0, total / DRAWS, -np.maximum(beaten, 0.0))
        return worth


def added(points: Points, front: Points, reference: Sequence[float]) -> Array:
    """Hypervolume that each row alone would add to a front."""
    base = hypervolume(front, reference)
    if points.shape[1] == 2:
        return _added_in_plane(points, front[front_mask(front)], reference)
    return np.asarray([hypervolume(np.vstack([front, row]), reference) - base for row in points])


def _added_in_plane(points: Points, front: Points, reference: Sequence[float]) -> Array:
    """The same for two objectives at once: the staircase's strips that each point cuts."""
    steps = front[np.lexsort((front[:, 1], front[:, 0]))]
    left = np.concatenate([[-np.inf], steps[:, 0]])
    right = np.concatenate([steps[:, 0], [reference[0]]])
    height = np.concatenate([[reference[1]], np.minimum(steps[:, 1], reference[1])])
    ends = np.minimum(right, reference[0])[None, :]
    width = np.clip(ends - np.maximum(left[None, :], points[:, :1]), 0, None)
    gains: Array = (width * np.clip(height[None, :] - points[:, 1:], 0, None)).sum(axis=1)
    return gains
