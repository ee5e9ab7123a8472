"""A Gaussian process of few points: linear trend, smooth remainder with a length an axis, noise.

Numpy and scipy; fitted by the marginal likelihood under weak priors, so that twenty points of six
axes neither overfit nor need anything tuned.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

Array = NDArray[np.float64]

_MEDIANS = {"smooth": 0.3, "linear": 0.7, "noise": 0.02}
"""Prior medians of the standard deviations, in those of the values."""
_LENGTH = 2.0
"""Prior median of the lengths, in standard deviations of their axis."""
_BOUNDS = (-7.0, 2.5)
"""Of the logarithms of all of them."""
_MEAN_VARIANCE = 25.0
"""Of the overall mean, in variances of the values: it is as good as free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GaussianProcess:
    """Fitted by `fit`."""

    x: Array
    """(n, d), standardised."""
    centre: Array
    """(d,)"""
    scale: Array
    """(d,)"""
    mean: float
    sd: float
    sizes: Array
    """Smooth, linear and noise standard deviation, then a length an axis, (3 + d,)."""
    factor: tuple[Array, bool]
    weights: Array
    """(n,)"""

    @classmethod
    def fit(cls, x: Array, y: Array) -> "GaussianProcess":
        """Fit it to values at points.

        Args:
            x: (n, d), in any units; an axis on which all agree says nothing.
            y: (n,), at least two.

        Source: C. Rasmussen and C. Williams, Gaussian Processes for Machine Learning, 2006, eq.
        2.25, 2.26 and 2.30; a length an axis, eq. 5.2.
        """
        if len(y) < 2:
            raise ValueError(f"a fit needs two points at least, got {len(y)}")
        centre, scale = x.mean(0), x.std(0)
        scale = np.where(scale > 1e-9, scale, 1.0)
        at, mean, sd = (x - centre) / scale, float(y.mean()), max(float(y.std()), 1e-9)
        z = (y - mean) / sd
        sizes = np.exp(_most_likely(at, z))
        factor = _factored(sizes, at)
        return cls(
            x=at,
            centre=centre,
            scale=scale,
            mean=mean,
            sd=sd,
            sizes=sizes,
            factor=factor,
            weights=scipy.linalg.cho_solve(factor, z),
        )

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the function, without the noise of a value, (m,) each.

        Args:
            x: (m, d), in the units of the fit.
        """
        at = (x - self.centre) / self.scale
        cross = _covariance(self.sizes, at, self.x)
        prior = self.sizes[0] ** 2 + self.sizes[1] ** 2 * (at * at).sum(1) + _MEAN_VARIANCE
        explained = (cross * scipy.linalg.cho_solve(self.factor, cross.T).T).sum(1)
        spread = np.sqrt(np.maximum(prior - explained, 1e-12))
        return self.mean + self.sd * (cross @ self.weights), self.sd * spread

    @property
    def noise(self) -> float:
        """Standard deviation of a value about the function, in the units of the values."""
        return float(self.sizes[2] * self.sd)


def _covariance(sizes: Array, a: Array, b: Array) -> Array:
    """(n, m) of the function at (n, d) and (m, d)."""
    smooth, linear, lengths = sizes[0], sizes[1], sizes[3:]
    gaps = (((a[:, None] - b[None]) / lengths) ** 2).sum(-1)
    covariance: Array = smooth**2 * np.exp(-0.5 * gaps) + linear**2 * (a @ b.T) + _MEAN_VARIANCE
    return covariance


def _factored(sizes: Array, x: Array) -> tuple[Array, bool]:
    noise = (sizes[2] ** 2 + 1e-9) * np.eye(len(x))
    factor: tuple[Array, bool] = scipy.linalg.cho_factor(
        _covariance(sizes, x, x) + noise, lower=True
    )
    return factor


def _most_likely(x: Array, z: Array) -> Array:
    """Logarithms of the sizes at the largest marginal likelihood times prior."""
    medians = np.log([*_MEDIANS.values(), *([_LENGTH] * x.shape[1])])

    def cost(logs: Array) -> float:
        try:
            factor = _factored(np.exp(logs), x)
        except scipy.linalg.LinAlgError:
            return 1e9
        fit = 0.5 * z @ scipy.linalg.cho_solve(factor, z) + np.log(np.diag(factor[0])).sum()
        return float(fit + 0.5 * ((logs - medians) ** 2).sum())

    bounds: Sequence[tuple[float, float]] = [_BOUNDS] * len(medians)
    found = scipy.optimize.minimize(cost, medians, method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x, dtype=np.float64)
