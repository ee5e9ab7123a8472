"""Top-1 of the proxies: a row's mean over seeds, and its difference to the reference row.

The difference is paired: both rows are trained with the same seeds and answer the same held-out
images.
"""

import math
from collections.abc import Sequence

from evnas.record import Record
from evnas.stats.interval import Z95, Interval
from evnas.stats.power import SeedNoise
from evnas.stats.proportions import student_mean
from evnas.stats.rank_correlation import paired_difference_percent
from evnas.sweep.trainings import ROUNDING, wilson_interval


def mean_top1(records: Sequence[Record]) -> Interval | None:
    """Mean top-1 in percent with a 95 % interval; None when no training gave one.

    One seed: Wilson's interval over the held-out images. More: Student's over the seeds, and
    Wilson's again where they are equal, which says nothing of their spread.
    """
    found = [r.values["top1_percent"] for r in records if "top1_percent" in r.values]
    if not found:
        return None
    if _differ(found):
        return mean_over_seeds(found)
    images = next(r.values["held_out_images"] for r in records if "top1_percent" in r.values)
    return wilson_interval(found[0], images)


def top1_difference(
    records: Sequence[Record], reference: Sequence[Record], noise: SeedNoise | None = None
) -> Interval | None:
    """A row's top-1 less the reference's, in points, seeds paired; None without a common seed.

    Exactly 0 for the reference itself.

    Args:
        noise: between seeds, where it is known; the interval is of it then, and of one seed at
            least as wide as over its images. Else, and where a row scatters more than this noise
            allows, it is Student's over the seeds, and of one seed over the images alone.
    """
    pairs = paired_by_seed(records, reference)
    if not pairs:
        return None
    differences = [a.values["top1_percent"] - b.values["top1_percent"] for a, b in pairs]
    if all(a == b for a, b in pairs):
        return Interval(0.0, 0.0, 0.0)
    own = mean_over_seeds(differences) if _differ(differences) else _over_images(*pairs[0])
    known = noise.difference(differences) if noise is not None else None
    if known is None:
        return own
    if len(pairs) > 1:
        return known
    return Interval(min(own.low, known.low), own.mid, max(own.high, known.high))


def paired_by_seed(
    records: Sequence[Record], reference: Sequence[Record]
) -> list[tuple[Record, Record]]:
    """Trainings of two rows with the same seed, where both gave a top-1."""
    theirs = {r.seed: r for r in reference if "top1_percent" in r.values}
    return [
        (r, theirs[r.seed]) for r in records if "top1_percent" in r.values and r.seed in theirs
    ]


def _differ(found: Sequence[float]) -> bool:
    return max(found) - min(found) > ROUNDING


def mean_over_seeds(found: Sequence[float]) -> Interval:
    """The mean of two seeds' values or more, with Student's 95 % interval."""
    return student_mean(found)


def _over_images(mine: Record, base: Record) -> Interval:
    """One seed each: the interval over the held-out images, paired where their bits are known."""
    images = int(mine.values["held_out_images"])
    bits = [str(r.details.get("correct_hex", "")) for r in (mine, base)]
    if all(len(text) == -(-images // 4) for text in bits):
        return Interval(*paired_difference_percent(bits[0], bits[1], images))
    shares = [r.values["top1_percent"] / 100 for r in (mine, base)]
    half = 100 * Z95 * math.sqrt(sum(p * (1 - p) for p in shares) / images)
    difference = 100 * (shares[0] - shares[1])
    return Interval(difference - half, difference, difference + half)
