"""What papers counted of NC-SSD otherwise than of other modules."""

from collections.abc import Mapping

from evnas.measure.counting.pricing import Rule, layer_norm

PRICES: Mapping[str, tuple[Rule, ...]] = {
    # its own code calls torch's layer norm, which fvcore sees
    "efficientvim": (layer_norm,),
}
