"""What difference of top-1 a budget can tell, and what a wanted one costs.

Two trainings of one architecture differ by their seed. A difference between two architectures
shows only where it is large beside that noise; a verdict on a smaller one would be a guess.
"""

import functools
import importlib.resources
import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from evnas.stats.interval import Interval
from evnas.words import counted

LEAST_FREEDOM = 4
"""Degrees of freedom below which a study's own noise is not known."""
LEVEL, POWER = 0.95, 0.8
"""A difference shows when a two-sided test at this level finds it this often."""
UNLIKE = 0.01
"""Chance at which differences that scatter so much would be of the noise of the other rows."""
ROUNDING = 1e-9
"""Squares of points that only rounding makes."""
SHIPPED_DATA = "fashion-mnist"
"""Beginning of the names of the images that the shipped noise is of."""


@dataclass(frozen=True, slots=True)
class SeedNoise:
    """What the seed alone does to the top-1 of a training.

    A difference of two rows is taken seed by seed: what a seed does to all rows alike cancels.
    The noise is what is left.
    """

    sd_percent: float
    """Standard deviation in points."""
    source: str
    """Where it is known from, in words."""
    freedom: float = math.inf
    """Degrees of freedom behind it."""

    def smallest_difference(self, seeds: int) -> float:
        """The least difference, in points, that `seeds` trainings of each of two rows tell:
        `difference` of them leaves out 0 four times of five."""
        sure = scipy.stats.t.ppf(0.5 + LEVEL / 2, self.freedom) + scipy.stats.t.ppf(
            POWER, self.freedom
        )
        return float(sure) * self._error(seeds)

    def seeds_for(self, difference: float) -> int:
        """Seeds of each of two rows that tell a difference of so many points.

        Raises:
            ValueError: the difference is 0, which no number of seeds tells.
        """
        if not difference:
            raise ValueError("no number of seeds tells a difference of 0")
        return max(1, math.ceil((self.smallest_difference(1) / abs(difference)) ** 2))

    def difference(self, apart: Sequence[float]) -> Interval | None:
        """The mean of two rows' differences, a seed each, with the 95 % interval of this noise.

        None where they scatter more than it allows (F test, 1 %): those rows have another noise.
        """
        mean, seeds = float(np.mean(apart)), len(apart)
        if seeds > 1:
            times = float(np.var(apart, ddof=1)) / self._error(1) ** 2
            known = min(self.freedom, 1e9)  # scipy has no F of infinitely many
            if times > scipy.stats.f.ppf(1 - UNLIKE, seeds - 1, known):
                return None
        half = float(scipy.stats.t.ppf(0.5 + LEVEL / 2, self.freedom)) * self._error(seeds)
        return Interval(mean - half, mean, mean + half)

    def _error(self, seeds: int) -> float:
        """Standard error of a mean difference."""
        return self.sd_percent * math.sqrt(2 / seeds)


@functools.cache
def shipped_noise() -> Mapping[float, float]:
    """Image presentations -> standard deviation in points, as measured on Fashion-MNIST."""
    text = importlib.resources.files("evnas.stats").joinpath("seed_noise.json").read_text()
    budgets: dict[str, dict[str, float]] = json.loads(text)["budgets"]
    known = ((float(n), at["sd_percent"]) for n, at in budgets.items() if "sd_percent" in at)
    return dict(sorted(known))


def noise_at(presentations: float) -> SeedNoise:
    """The shipped noise at a budget: interpolated in logarithms, and at the ends as measured.

    It holds what a seed does to all rows alike too, so it is rather large for differences that
    are taken seed by seed.
    """
    known = list(shipped_noise().items())
    source = "of EfficientViM-M2 on Fashion-MNIST, shipped with evnas"
    if presentations <= known[0][0]:
        return SeedNoise(known[0][1], source)
    for (n, sd), (more, less) in itertools.pairwise(known):
        if presentations <= more:
            share = math.log(presentations / n) / math.log(more / n)
            return SeedNoise(math.exp((1 - share) * math.log(sd) + share * math.log(less)), source)
    return SeedNoise(known[-1][1], source)


def known_noise(
    rows: Iterable[Mapping[int, float]], *, presentations: float, data: object
) -> SeedNoise | None:
    """What a study's own seeds say, else what was shipped for data like its own.

    Args:
        rows: seed -> top-1 in percent, of each row, all at one budget.
        presentations: that budget.
        data: the proxy's; what is shipped is of Fashion-MNIST, and says nothing of others.
    """
    several = [row for row in rows if len(row) > 1]
    found = _beyond_rows_and_seeds(several) if several else None
    if found is not None and found.freedom >= LEAST_FREEDOM:
        return found
    return noise_at(presentations) if is_shipped_for(data) else None


def is_shipped_for(data: object) -> bool:
    """Whether the shipped noise is of such images, a name or a folder of one's own."""
    return isinstance(data, str) and data.startswith(SHIPPED_DATA)


def _beyond_rows_and_seeds(rows: Sequence[Mapping[int, float]]) -> SeedNoise | None:
    """What is left of top-1 beyond what its row and its seed do, by least squares; None where
    they explain everything.

    That a seed does the same to all rows is an assumption: what it does otherwise is the noise.
    """
    cells = [(i, seed, top1) for i, row in enumerate(rows) for seed, top1 in row.items()]
    seeds = sorted({seed for _, seed, _ in cells})
    design = np.zeros((len(cells), len(rows) + len(seeds)))
    for line, (i, seed, _) in zip(design, cells, strict=True):
        line[i] = line[len(rows) + seeds.index(seed)] = 1.0
    top1 = np.array([value for _, _, value in cells])
    effects, _, rank, _ = np.linalg.lstsq(design, top1, rcond=None)
    freedom = len(cells) - int(rank)
    squares = float(((top1 - design @ effects) ** 2).sum())
    if freedom < 1 or squares < ROUNDING:
        return None
    sd = math.sqrt(squares / freedom)
    return SeedNoise(sd, f"of {counted(len(cells), 'training')} of this study", freedom)


def presentations_for(difference: float, seeds: int, *, beyond: float = 0.0) -> float | None:
    """The least shipped budget at which `seeds` trainings of each row tell a difference.

    Args:
        beyond: presentations that are known not to suffice, whatever the shipped noise says.

    Returns:
        Image presentations; None where the largest known budget does not suffice.
    """
    for presentations in shipped_noise():
        enough = noise_at(presentations).smallest_difference(seeds) <= abs(difference)
        if enough and presentations > beyond:
            return presentations
    return None
