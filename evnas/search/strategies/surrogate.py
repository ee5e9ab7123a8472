"""A small Gaussian process over features, to screen children before any is evaluated.

Numpy alone, at most `MOST` points, a few milliseconds; it forgets nothing that matters because
the caller hands it the front and the newest trials.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
MOST = 160
FEW = 64
"""Points, evenly taken, on which length scale and noise are chosen."""
_SCALES = (0.6, 1.2, 2.4)
_NOISES = (1e-4, 1e-2, 1e-1)
_SHARES = (0.3, 0.8)
"""What of the smooth remainder may be that of pairs of axes."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Where in a row of features its axes stand, for a model that knows them one by one."""

    features: slice
    """What is modelled whole."""
    axes: slice
    """Products of two rows here: the sum over axes of how alike both values are, 1 the most."""
    squares: slice
    """The same of its square."""


@dataclass(frozen=True, slots=True)
class Covariance:
    """What two points have in common: a line's part, and what is smooth in all features. Beside
    that, with `pairs`, what every two axes say together, whatever the others are (an additive
    kernel of second order; Duvenaud et al. 2011, eq. 4): most of what a mixer or a depth is worth
    hangs on few others, and such a model needs fewer points to find that."""

    scale: float
    share: float = 0.0
    """Of the smooth part, that of the pairs."""
    pairs: Pairs | None = None

    def __call__(self, gaps: "Gaps") -> Array:
        """(n, k) between n and k points."""
        smooth: Array = np.exp(-gaps.squared / (2 * self.scale * self.scale))
        if gaps.alike is not None:
            smooth = (1 - self.share) * smooth + self.share * gaps.alike
        return 0.5 * gaps.products + smooth


@dataclass(frozen=True, slots=True)
class Surrogate:
    """Posterior of one objective: a linear trend plus a smooth remainder, noise fitted."""

    x: Array
    kernel: Covariance
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

    def gaps(self, x: Array) -> "Gaps":
        """What models of the same points, one an objective, all ask of features (k, F)."""
        return Gaps(x, self.x, self.kernel.pairs)

    def predict(self, gaps: "Gaps") -> tuple[Array, Array]:
        """Mean and standard deviation, both (k,), on the model's scale."""
        cross = self.kernel(gaps)
        v = self.whiten @ cross.T
        variance = np.maximum(0.5 * gaps.lengths + 1.0 - (v * v).sum(axis=0), 1e-9)
        return self.mean + self.sd * (cross @ self.alpha), self.sd * np.sqrt(variance)


def sign_of(y: Array) -> float:
    """Of values of one sign that sign; 0 where signs differ."""
    return 1.0 if (y > 0).all() else -1.0 if (y < 0).all() else 0.0


def scaled(y: Array, sign: float) -> Array:
    """From an objective's scale to the model's: logarithms of values of one sign, ascending as
    they are."""
    return sign * np.log(np.abs(y)) if sign else y


def fit(
    x: Array, ys: Sequence[Array], *, signs: Sequence[float], pairs: Pairs | None = None
) -> list[Surrogate]:
    """A model of each objective: the most likely of a few kernels and noises (marginal likelihood;
    Rasmussen and Williams 2006, eq. 2.30).

    Args:
        x: features, (n, F), n at most `MOST`.
        ys: objectives, (n,) each.
        signs: of the objectives' values, see `sign_of`.
        pairs: where the axes stand in `x`, for a kernel of pairs.
    """
    some = np.linspace(0, len(x) - 1, min(FEW, len(x))).astype(int)
    few, every = Gaps(x[some], x[some], pairs), Gaps(x, x, pairs)
    shares = (0.0,) if pairs is None else _SHARES
    kernels = [Covariance(scale, share, pairs) for scale in _SCALES for share in shares]
    grams = [(kernel, kernel(few)) for kernel in kernels]
    return [
        _fitted(x, scaled(y, sign), sign, some=some, grams=grams, every=every)
        for y, sign in zip(ys, signs, strict=True)
    ]


def _fitted(
    x: Array,
    y: Array,
    sign: float,
    *,
    some: NDArray[np.intp],
    grams: Sequence[tuple[Covariance, Array]],
    every: "Gaps",
) -> Surrogate:
    """`grams`: each kernel between the points `some`, by which it is chosen."""
    mean, sd = float(y.mean()), max(float(y.std()), 1e-9)
    z = (y - mean) / sd
    (kernel, _), noise = max(
        itertools.product(grams, _NOISES),
        key=lambda pair: _likelihood(pair[0][1], z[some], noise=pair[1]),
    )
    factor = _factor(kernel(every), noise)
    whiten: Array = np.asarray(np.linalg.inv(factor), dtype=np.float64)
    return Surrogate(x, kernel, whiten, whiten.T @ (whiten @ z), mean, sd, sign)


class Gaps:
    """Products and squared distances between the rows of two matrices, and with `pairs` how alike
    they are in every two axes; 1 of a row with itself."""

    def __init__(self, a: Array, b: Array, pairs: Pairs | None) -> None:
        self.alike: Array | None = None
        if pairs is not None:
            self.alike = _alike(a, b, pairs)
            a, b = a[:, pairs.features], b[:, pairs.features]
        self.products: Array = a @ b.T
        self.lengths: Array = (a * a).sum(1)
        gaps = self.lengths[:, None] + (b * b).sum(1)[None, :] - 2 * self.products
        self.squared: Array = np.maximum(gaps, 0.0)


def _alike(a: Array, b: Array, pairs: Pairs) -> Array:
    ones = a[:, pairs.axes] @ b[:, pairs.axes].T
    both = ones * ones - a[:, pairs.squares] @ b[:, pairs.squares].T  # twice the sum over pairs
    of_a, of_b = ((rows[:, pairs.axes] ** 2).sum(axis=1) for rows in (a, b))
    own = np.outer(of_a * (of_a - 1), of_b * (of_b - 1))
    return np.asarray(both / np.sqrt(np.maximum(own, 1e-9)), dtype=np.float64)


def _factor(gram: Array, noise: float) -> Array:
    whole = gram + (noise + 1e-8) * np.eye(len(gram))
    return np.asarray(np.linalg.cholesky(whole), dtype=np.float64)


def _likelihood(gram: Array, z: Array, *, noise: float) -> float:
    chol = _factor(gram, noise)
    half = np.linalg.solve(chol, z)
    return -0.5 * float(half @ half) - float(np.log(np.diag(chol)).sum())
