"""Several scores of one model, and why one has no value."""

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor, nn

from evnas.proxy.scores.mixing import MixerScore, Mixing, at_least_one, mixing
from evnas.proxy.seeding import seeded
from evnas.tables import SCORES


@dataclass(frozen=True, slots=True)
class Scored:
    """What scores came to."""

    values: dict[str, float]
    """Those that are finite."""
    reasons: dict[str, str]
    """Score -> why it has no value."""


def scored(
    names: Iterable[str], model: nn.Module, images: Tensor, labels: Tensor, *, seed: int
) -> Scored:
    """Scores of an untrained model, which is left as it was.

    Args:
        names: of `evnas.tables.SCORES`.
        images: (B, 3, H, W) float32, normalised, B >= 4.
        labels: (B,) int64.
        seed: of what a score draws; each score starts from it alone.
    """
    values: dict[str, float] = {}
    reasons: dict[str, str] = {}
    mixings = functools.cache(lambda: at_least_one(_mixings(model, images, seed)))
    for name in names:
        score = SCORES.get(name)
        try:
            if isinstance(score, MixerScore):  # one walk through the mixers serves them all
                value = score.of(mixings())
            else:
                with seeded(seed, "score", name):
                    value = float(score(model, images, labels))
        except ValueError as e:  # such as naswot's, of a model without activations
            reasons[name] = str(e)
            continue
        if math.isfinite(value):
            values[name] = value
        else:
            reasons[name] = f"{name} of this model is {value}"
    return Scored(values, reasons)


def _mixings(model: nn.Module, images: Tensor, seed: int) -> list[Mixing]:
    with seeded(seed, "score", "mixers"):
        return mixing(model, images)
