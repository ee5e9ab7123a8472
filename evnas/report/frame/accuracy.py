"""Top-1 of the proxies: a row's mean over seeds, and its difference to the reference row.

The difference is paired: both rows answer the same held-out images, so what counts are the
images that one gets right and the other does not.
"""

import math
from collections.abc import Sequence

import numpy as np

from evnas.record import Record
from evnas.stats.interval import Z95, Interval, wilson
from evnas.stats.proportions import student_mean
from evnas.stats.rank_correlation import paired_difference_percent

ROUNDING = 1e-9
"""Points of top-1 that only rounding makes."""


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


def wilson_interval(top1_percent: float, images: float) -> Interval:
    """One seed's top-1 with Wilson's 95 % interval over the held-out images."""
    found = wilson(top1_percent / 100, images)
    return Interval(100 * found.low, top1_percent, 100 * found.high)


def top1_difference(records: Sequence[Record], reference: Sequence[Record]) -> Interval | None:
    """A row's top-1 less the reference's, in points, seeds paired; None without a common seed.

    Exactly 0 for the reference itself.
    """
    pairs = paired_by_seed(records, reference)
    if not pairs:
        return None
    differences = [a.values["top1_percent"] - b.values["top1_percent"] for a, b in pairs]
    if all(a == b for a, b in pairs):
        return Interval(0.0, 0.0, 0.0)
    if _differ(differences):
        return mean_over_seeds(differences)
    return _over_images(*pairs[0])


def paired_by_seed(
    records: Sequence[Record], reference: Sequence[Record]
) -> list[tuple[Record, Record]]:
    """Trainings of two rows with the same seed, where both gave a top-1."""
    theirs = {r.seed: r for r in reference if "top1_percent" in r.values}
    return [
        (r, theirs[r.seed]) for r in records if "top1_percent" in r.values and r.seed in theirs
    ]


def at_chance(records: Sequence[Record]) -> bool:
    """Whether a row's top-1 cannot be distinguished from guessing: it has learnt nothing yet.

    Guesses differ by images alone, so all seeds' answers count together. How far seeds that have
    learnt lie apart says nothing here: of 54 % and 37 %, Student's interval reaches from 0 to 100.
    """
    known = [r for r in records if {"top1_percent", "held_out_images"} <= r.values.keys()]
    classes = [r.details["classes"] for r in records if "classes" in r.details]
    if not known or not classes:
        return False
    chance = 100 / classes[0]
    mean = float(np.mean([r.values["top1_percent"] for r in known]))
    found = wilson_interval(mean, sum(r.values["held_out_images"] for r in known))
    return bool(found.low <= chance + ROUNDING and found.high >= chance - ROUNDING)


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
