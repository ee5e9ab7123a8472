"""The rungs of successive halving, so that the page can say at which one a trial stopped."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from evnas.space.search_spec import StrategySpec
from evnas.space.sweep_parts import ProxySpec


def rungs(sweep: Mapping[str, Any]) -> list[float]:
    """Image presentations of each rung of `mo_asha`, ascending; [] of every other strategy.

    As `evnas.search` has them, which this room does not import: those given, else the whole proxy
    and what promoting one in `eta` leaves of it, twice.
    """
    try:
        strategy = StrategySpec.model_validate(sweep.get("strategy") or {})
        proxy = ProxySpec.model_validate(sweep.get("proxy") or {})
    except ValidationError:  # an older or newer sweep: its records are still worth showing
        return []
    if strategy.kind != "mo_asha":
        return []
    whole = float(proxy.presentations)
    return list(strategy.rungs) or [whole / strategy.eta**2, whole / strategy.eta, whole]
