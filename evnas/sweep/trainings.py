"""Top-1 of a study's trainings by row and seed, and the noise between seeds that they show."""

from collections.abc import Iterable, Sequence

from evnas.record import Record
from evnas.stats.interval import Interval, wilson
from evnas.stats.power import SeedNoise, known_noise
from evnas.sweep.parts import ProxySpec

ROUNDING = 1e-9
"""Points of top-1 that only rounding makes."""


def noise_of(
    rows: Iterable[Sequence[Record]], proxy: ProxySpec, *, shown: int
) -> SeedNoise | None:
    """The noise between seeds that a study's rows show, else what is shipped; None if unknown.

    Rows at chance are left out: what has learnt nothing does not scatter.

    Args:
        rows: trainings of each row, all at one budget.
        shown: images that such a training shows.
    """
    learnt = [row for row in rows if not at_chance(row)]
    return known_noise(map(by_seed, learnt), presentations=shown, data=proxy.data)


def by_seed(records: Iterable[Record]) -> dict[int, float]:
    """Seed -> top-1 in percent, of the trainings that gave one."""
    return {r.seed: r.values["top1_percent"] for r in records if "top1_percent" in r.values}


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
    mean = sum(r.values["top1_percent"] for r in known) / len(known)
    found = wilson_interval(mean, sum(r.values["held_out_images"] for r in known))
    return bool(found.low <= chance + ROUNDING and found.high >= chance - ROUNDING)


def wilson_interval(top1_percent: float, images: float) -> Interval:
    """A top-1 with Wilson's 95 % interval over the held-out images."""
    found = wilson(top1_percent / 100, images)
    return Interval(100 * found.low, top1_percent, 100 * found.high)
