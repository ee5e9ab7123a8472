"""The rungs of successive halving, so that the page can say at which one a trial stopped."""

from collections.abc import Mapping
from typing import Any

from evnas.space.strategy_spec import as_written_now, strategy_spec
from evnas.space.sweep_parts import ProxySpec


def rungs(sweep: Mapping[str, Any]) -> list[float]:
    """Image presentations of each rung of `mo_asha`, ascending; [] of every other strategy.

    Raises nothing for an older or newer sweep: its records are still worth showing.
    """
    try:
        strategy = strategy_spec(as_written_now(sweep.get("strategy") or {}))
        proxy = ProxySpec.model_validate(sweep.get("proxy") or {})
        return list(strategy.rungs_of(float(proxy.presentations)))
    except ValueError:  # pydantic's and ours
        return []
