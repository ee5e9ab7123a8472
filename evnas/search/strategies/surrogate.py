"""A small Gaussian process over features, to screen children before any is evaluated.

Numpy alone, at most `MOST` points, a few milliseconds; it forgets nothing that matters because
the caller hands it the front and the newest trials.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
MOST = 160
FEW = 64
"""Points, evenly taken, on which length scale and noise are chosen."""
_SCALES = (0.6, 1.2, 2.4)
_NOISES = (1e-4, 1e-2, 1e-1)


@dataclass(frozen=True, slots=True)
class Surrogate:
    """Posterior of one objective: a linear trend plus a smooth remainder, noise fitted."""

    x: Array
    scale: float
    whiten: Array
    """Inverse of the Gram matrix's Cholesky factor, (n, n)."""
    alpha: Array
    mean: float
    sd: float
    sign: float
    """Values of one sign are modelled by their logarithm: costs multiply. 0 where signs differ."""

    def back(self, y: Array) -> Array:
        """From the model's scale to the objective's."""
        return y if self.sign == 0 else self.sign * np.exp(self.sign * y)

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Mean and standard deviation, both (k,), at features (k, F), on the model's scale."""
        cross = _kernel(x, self.x, self.scale)
        v = self.whiten @ cross.T
        variance = np.maximum(_diagonal(x) - (v * v).sum(axis=0), 1e-9)
        return self.mean + self.sd * (cross @ self.alpha), self.sd * np.sqrt(variance)


def fit(x: Array, y: Array) -> Surrogate:
    """The most likely of a few length scales and noises (marginal likelihood; Rasmussen and
    Williams 2006, eq. 2.30).

    Args:
        x: features, (n, F), n at most `MOST`.
        y: one objective, (n,).
    """
    sign = 1.0 if (y > 0).all() else -1.0 if (y < 0).all() else 0.0
    if sign:
        y = sign * np.log(np.abs(y))  # ascending, as y is
    mean, sd = float(y.mean()), max(float(y.std()), 1e-9)
    z = (y - mean) / sd
    some = np.linspace(0, len(z) - 1, min(FEW, len(z))).astype(int)
    scale, noise = max(
        itertools.product(_SCALES, _NOISES),
        key=lambda pair: _likelihood(x[some], z[some], scale=pair[0], noise=pair[1]),
    )
    whiten: Array = np.asarray(np.linalg.inv(_factor(x, scale, noise)), dtype=np.float64)
    return Surrogate(x, scale, whiten, whiten.T @ (whiten @ z), mean, sd, sign)


def _factor(x: Array, scale: float, noise: float) -> Array:
    gram = _kernel(x, x, scale) + (noise + 1e-8) * np.eye(len(x))
    return np.asarray(np.linalg.cholesky(gram), dtype=np.float64)


def _likelihood(x: Array, z: Array, *, scale: float, noise: float) -> float:
    chol = _factor(x, scale, noise)
    half = np.linalg.solve(chol, z)
    return -0.5 * float(half @ half) - float(np.log(np.diag(chol)).sum())


def _kernel(a: Array, b: Array, scale: float) -> Array:
    gaps = (a * a).sum(1)[:, None] + (b * b).sum(1)[None, :] - 2 * a @ b.T
    smooth = np.exp(-np.maximum(gaps, 0.0) / (2 * scale * scale))
    product: Array = 0.5 * (a @ b.T) + smooth
    return product


def _diagonal(x: Array) -> Array:
    diagonal: Array = 0.5 * (x * x).sum(1) + 1.0
    return diagonal
