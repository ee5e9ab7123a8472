"""What papers counted of SS2D otherwise than of other modules."""

from collections.abc import Mapping

from evnas.measure.counting.pricing import Rule, by, einsum_projection

PRICES: Mapping[str, tuple[Rule, ...]] = {
    "vmamba_v0": (by("Ss2d", einsum_projection),),
    "efficientvmamba": (by("Ss2d", einsum_projection),),
}
