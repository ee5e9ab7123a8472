"""A Gaussian process from signals to top-1, with a level of its own for each recipe.

    top1(x, recipe) = linear in x + smooth in x + level of the recipe + noise of the architecture

All four are Gaussian; their sizes maximise the marginal likelihood under weak priors. The level is
what makes intervals right for a recipe that nobody has seen, and what cancels between two
architectures that are trained alike.
"""

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

Array = NDArray[np.float64]

WORLDS = 256
"""Joint draws of a prediction."""
FEATURES = 512
"""Random Fourier features behind the smooth part of a draw."""
_PRIOR_MEDIANS = {"smooth": 0.5, "linear": 0.5, "level": 0.3, "noise": 0.15, "length": 2.0}
"""In standard deviations of top-1, and of the inputs for the length."""
_MEAN_VARIANCE = 100.0
"""Of the overall mean, in variances of top-1: it is as good as free."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Standard deviations of the parts, and the length on which the smooth one changes."""

    smooth: float
    linear: float
    level: float
    noise: float
    length: float

    @classmethod
    def of_logs(cls, logs: Sequence[float]) -> "Sizes":
        """From their logarithms, in the order of the fields."""
        return cls(*(float(np.exp(value)) for value in logs))

    def function(self, a: Array, b: Array) -> Array:
        """Covariance (n, m) of the function at inputs (n, d) and (m, d), its mean included."""
        return self.function_of(_squares(a, b), a @ b.T)

    def function_of(self, squares: Array, products: Array) -> Array:
        """The same from squared distances and scalar products, (n, m) each."""
        smooth = self.smooth**2 * np.exp(squares / (-2 * self.length**2))
        return np.asarray(smooth + self.linear**2 * products + _MEAN_VARIANCE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """What is believed of n architectures' top-1, in percent."""

    mid: Array
    """(n,)"""
    sd: Array
    """(n,) of one architecture's top-1, level and noise included."""
    draws: Array
    """(n, WORLDS); the i-th of all belong together: they share level and function, not noise."""


class Regression:
    """Fitted to architectures whose top-1 is known.

    Args:
        inputs: (n, d), in any units.
        top1_percent: (n,)
        recipes: of each, n names.

    Source: C. Rasmussen and C. Williams, Gaussian Processes for Machine Learning, 2006, eq. 2.22
    to 2.24 and 2.30; draws of the posterior by J. Wilson et al., arXiv 2002.09309, eq. 13.
    """

    def __init__(self, inputs: Array, top1_percent: Array, recipes: Sequence[str]) -> None:
        self._centre, self._scale = inputs.mean(0), np.maximum(inputs.std(0), 1e-9)
        self._mean, self._spread = float(top1_percent.mean()), float(top1_percent.std())
        self._inputs = self._standard(inputs)
        self._recipes = np.asarray(recipes, dtype=object)
        self._known = (top1_percent - self._mean) / self._spread
        self.sizes = self._fitted()
        same = self._recipes[:, None] == self._recipes[None]
        within = self.sizes.function(self._inputs, self._inputs)
        self._factor = _factored(self.sizes, within, same)
        self._weights = scipy.linalg.cho_solve(self._factor, self._known)

    @property
    def level_percent(self) -> float:
        """Standard deviation of recipes' levels, in points of top-1."""
        return self.sizes.level * self._spread

    @property
    def noise_percent(self) -> float:
        """Standard deviation of one architecture about what its inputs say, in points."""
        return self.sizes.noise * self._spread

    def predict(
        self, inputs: Array, recipes: Sequence[str], names: Sequence[str] = ()
    ) -> Predicted:
        """Top-1 of architectures.

        Args:
            inputs: (n, d)
            recipes: a name for each; one that the fit has not seen has the mean level, and all
                architectures of one unseen recipe have it in common.
            names: of the architectures, from which the draws of their noise follow; digests.
        """
        at = self._standard(inputs)
        to_known = self._covariance(at, np.asarray(recipes, dtype=object))
        mid = to_known @ self._weights
        function = np.array([self.sizes.function(row, row)[0, 0] for row in at[:, None]])
        prior = function + self.sizes.level**2 + self.sizes.noise**2
        explained = (to_known * scipy.linalg.cho_solve(self._factor, to_known.T).T).sum(1)
        sd = np.sqrt(np.maximum(prior - explained, 1e-12))
        draws = self._draws(at, recipes, names, to_known)
        return Predicted(
            mid=mid * self._spread + self._mean,
            sd=sd * self._spread,
            draws=draws * self._spread + self._mean,
        )

    def _standard(self, inputs: Array) -> Array:
        return np.asarray((inputs - self._centre) / self._scale)

    def _covariance(self, at: Array, recipes: NDArray[np.object_]) -> Array:
        """(n, known), the noise left out."""
        same = recipes[:, None] == self._recipes[None]
        return np.asarray(self.sizes.function(at, self._inputs) + self.sizes.level**2 * same)

    def _fitted(self) -> Sizes:
        squares, products = _squares(self._inputs, self._inputs), self._inputs @ self._inputs.T
        same = self._recipes[:, None] == self._recipes[None]
        medians = np.log(list(_PRIOR_MEDIANS.values()))

        def cost(logs: Array) -> float:
            sizes = Sizes.of_logs(logs.tolist())
            factor = _factored(sizes, sizes.function_of(squares, products), same)
            fit = 0.5 * self._known @ scipy.linalg.cho_solve(factor, self._known)
            prior = 0.5 * ((logs - medians) ** 2).sum()
            return float(fit + np.log(np.diag(factor[0])).sum() + prior)

        found = scipy.optimize.minimize(
            cost, medians, method="L-BFGS-B", bounds=[(-5.0, 2.0)] * len(medians)
        )
        return Sizes.of_logs(found.x.tolist())

    def _draws(
        self, at: Array, recipes: Sequence[str], names: Sequence[str], to_known: Array
    ) -> Array:
        """(n, WORLDS) draws of the prior, the same for all calls, corrected by what is known."""
        prior, correction = self._prior
        own = np.stack([_noise_of(name) for name in names or map(str, range(len(at)))])
        draws = prior.function(at) + prior.levels(recipes) + self.sizes.noise * own
        draws = draws + to_known @ correction
        middle = to_known @ self._weights  # which so few draws would miss by a little
        return np.asarray(draws + (middle - draws.mean(1))[:, None])

    @functools.cached_property
    def _prior(self) -> "tuple[_PriorDraws, Array]":
        """Draws of function and levels, and what corrects them, (known, WORLDS)."""
        rng = np.random.default_rng(0)
        prior = _PriorDraws(self.sizes, self._inputs.shape[1], rng)
        noise = self.sizes.noise * rng.standard_normal((len(self._known), WORLDS))
        known = prior.function(self._inputs) + prior.levels(self._recipes) + noise
        return prior, np.asarray(
            scipy.linalg.cho_solve(self._factor, self._known[:, None] - known)
        )


class _PriorDraws:
    """WORLDS draws of function and levels, which can be asked at any input."""

    def __init__(self, sizes: Sizes, axes: int, rng: np.random.Generator) -> None:
        self._sizes = sizes
        self._slopes = sizes.linear * rng.standard_normal((axes, WORLDS))
        self._mean = np.sqrt(_MEAN_VARIANCE) * rng.standard_normal(WORLDS)
        self._frequencies = rng.standard_normal((axes, FEATURES)) / sizes.length
        self._phases = rng.uniform(0, 2 * np.pi, FEATURES)
        self._weights = rng.standard_normal((FEATURES, WORLDS))

    def function(self, at: Array) -> Array:
        """(n, WORLDS)"""
        waves = np.cos(at @ self._frequencies + self._phases) * np.sqrt(2 / FEATURES)
        smooth = self._sizes.smooth * waves @ self._weights
        return np.asarray(smooth + at @ self._slopes + self._mean)

    def levels(self, recipes: Sequence[str] | NDArray[np.object_]) -> Array:
        """(n, WORLDS): a recipe's level follows from its name."""
        return self._sizes.level * np.stack([_noise_of(f"recipe {name}") for name in recipes])


def _noise_of(name: str) -> Array:
    """(WORLDS,) standard normal draws that follow from a name."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).standard_normal(WORLDS)


def _squares(a: Array, b: Array) -> Array:
    """Squared distances, (n, m)."""
    return np.asarray(((a[:, None] - b[None]) ** 2).sum(-1))


def _factored(sizes: Sizes, within: Array, same: NDArray[np.bool_]) -> tuple[Array, bool]:
    """Cholesky factor of the covariance of what is known, noise included."""
    noise = sizes.noise**2 * np.eye(len(within))
    factor: tuple[Array, bool] = scipy.linalg.cho_factor(
        within + sizes.level**2 * same + noise, lower=True
    )
    return factor
