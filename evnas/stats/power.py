"""What difference of top-1 a budget can tell, and what a wanted one costs.

Two trainings of one architecture differ by their seed. A difference between two architectures
shows only where it is large beside that noise; a verdict on a smaller one would be a guess.
"""

import functools
import importlib.resources
import itertools
import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import norm

from evnas.words import counted

LEAST_FREEDOM = 4
"""Seeds beyond the first of each row, below which a study's own noise is not known."""
LEVEL, POWER = 0.95, 0.8
"""A difference shows when a two-sided test at this level finds it this often."""


@dataclass(frozen=True, slots=True)
class SeedNoise:
    """Standard deviation of top-1 between trainings that differ in their seed alone."""

    sd_percent: float
    """In points."""
    source: str
    """Where it is known from, in words."""

    def smallest_difference(self, seeds: int) -> float:
        """The least difference, in points, that `seeds` trainings of each of two rows tell."""
        return _both() * self.sd_percent * math.sqrt(2 / seeds)

    def seeds_for(self, difference: float) -> int:
        """Seeds of each of two rows that tell a difference of so many points.

        Raises:
            ValueError: the difference is 0, which no number of seeds tells.
        """
        if not difference:
            raise ValueError("no number of seeds tells a difference of 0")
        return max(1, math.ceil(2 * (_both() * self.sd_percent / abs(difference)) ** 2))


def _both() -> float:
    return float(norm.ppf(0.5 + LEVEL / 2) + norm.ppf(POWER))


@functools.cache
def shipped_noise() -> Mapping[float, float]:
    """Image presentations -> standard deviation in points, as measured on Fashion-MNIST."""
    text = importlib.resources.files("evnas.stats").joinpath("seed_noise.json").read_text()
    budgets: dict[str, dict[str, float]] = json.loads(text)["budgets"]
    known = ((float(n), at["sd_percent"]) for n, at in budgets.items() if "sd_percent" in at)
    return dict(sorted(known))


def noise_at(presentations: float) -> SeedNoise:
    """The shipped noise at a budget: interpolated in logarithms, and at the ends as measured."""
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
    rows: Iterable[Sequence[float]], *, presentations: float, data: object
) -> SeedNoise | None:
    """What a study's own seeds say, else what was shipped for data like its own.

    Args:
        rows: top-1 in percent of the seeds of each row, all at one budget.
        presentations: that budget.
        data: the proxy's; nothing is shipped for folders of one's own.
    """
    several = [values for values in rows if len(values) > 1]
    freedom = sum(len(values) - 1 for values in several)
    if freedom >= LEAST_FREEDOM:
        squares = sum((len(v) - 1) * statistics.variance(v) for v in several)
        sd = math.sqrt(squares / freedom)
        return SeedNoise(sd, f"of {counted(freedom + len(several), 'training')} of this study")
    return noise_at(presentations) if isinstance(data, str) else None


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
