"""What papers counted of ES2D otherwise than of other modules."""

from collections.abc import Mapping

from evnas.measure.counting.pricing import Rule, by, einsum_projection

PRICES: Mapping[str, tuple[Rule, ...]] = {
    "efficientvmamba": (by("Es2d", einsum_projection),),
}
