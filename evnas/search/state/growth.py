"""How a sweep may differ from the study of its name: by more of it, and not by what changes
results that are there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evnas.sweep.candidate import Candidate
from evnas.sweep.search_spec import SearchSpec
from evnas.sweep.sweep import Sweep, differences, reference_of

Identity = Mapping[str, Any]
"""`Sweep.identity()` as JSON."""


@dataclass(frozen=True, slots=True)
class Growth:
    """What tells a sweep from its study."""

    more: list[str]
    """`path: old -> new` of what goes on where the study stands."""
    refused: list[str]
    """The same of what would change its results."""


def growth(old: Identity, sweep: Sweep, new: Identity) -> Growth:
    """Compare a study with a sweep of its name.

    Args:
        old: the study's identity.
        new: the sweep's.
    """
    grown = {**old, **_grown(old, sweep, new)}
    return Growth(
        more=_added(old, grown) + differences(*(_less(x, _ADDED) for x in (old, grown))),
        refused=differences(grown, new) + _other_reference(old, sweep),
    )


_ADDED = ("rows", "digests", "targets")
"""Spelt by what is added, not leaf by leaf."""


def _grown(old: Identity, sweep: Sweep, new: Identity) -> dict[str, Any]:
    """The keys of the study's identity that may be the sweep's, as far as they may."""
    found: dict[str, Any] = {}
    for key in ("rows", "digests"):
        if old.get(key):
            there = {k: v for k, v in (new.get(key) or {}).items() if k not in old[key]}
            found[key] = {**old[key], **there}
    if set(old["seeds"]) <= set(new["seeds"]):
        found["seeds"] = new["seeds"]
    if _more_targets(old["targets"], sweep, new["targets"]):
        found["targets"] = new["targets"]
    if sweep.spec.proxy is not None:
        found["proxy"] = _grown_proxy(old.get("proxy"), sweep, new["proxy"])
    if old.get("predict") is None and new.get("predict") is not None:
        found["predict"] = new["predict"]
    if "budget" in old and "budget" in new:
        found["budget"] = new["budget"]
    if _count(old.get("confirm"), "seeds") <= _count(new.get("confirm"), "seeds"):
        found |= {"confirm": new["confirm"]} if "confirm" in new else {}
    replicates = _count(new.get("strategy"), "replicates")
    if _count(old.get("strategy"), "replicates") < replicates:
        found["strategy"] = {**old["strategy"], "replicates": replicates}
    return found


def _more_targets(old: Sequence[Any], sweep: Sweep, new: Sequence[Any]) -> bool:
    """Further ones stand behind those that there were: the first says where rows are counted."""
    counted = old[0]["resolution"] if old else 224
    begun = [_halving(*pair) for pair in zip(old, new, strict=False)]
    return list(new[: len(old)]) == begun and sweep.spec.resolution == counted


def _grown_proxy(
    old: Mapping[str, Any] | None, sweep: Sweep, new: Mapping[str, Any]
) -> dict[str, Any]:
    """A proxy that there was none of, or the old one as far as it may become the new one."""
    if old is None:
        return dict(new)
    longer = {"epochs": new["epochs"]} if _may_train_longer(old, sweep) else {}
    return _halving({**old, **longer}, new)


def _may_train_longer(old: Mapping[str, Any], sweep: Sweep) -> bool:
    """Whole trainings are done again for longer; rungs are beginnings of a schedule that would be
    another one."""
    spec = sweep.spec
    if spec.proxy is None:
        return False
    rungs = (
        spec.strategy.rungs_of(spec.proxy.presentations) if isinstance(spec, SearchSpec) else ()
    )
    return spec.proxy.epochs >= old["epochs"] and not rungs


def _halving(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """`old`, with batches halved from now on where `new` says so: what fitted into memory is as it
    would be, and what did not has no result yet."""
    return {**old, "halve_batch": True} if new.get("halve_batch") else dict(old)


def _count(part: Mapping[str, Any] | None, key: str) -> int:
    return int((part or {}).get(key, 0))


def _added(old: Identity, grown: Identity) -> list[str]:
    rows = [label for label in grown.get("digests", {}) if label not in old.get("digests", {})]
    found = [f"rows: {', '.join(rows)} added"] if rows else []
    there = len(old["targets"])
    targets = len(grown["targets"]) - there
    found += [f"targets: {targets} added"] if targets else []
    begun = ({"targets": side["targets"][:there]} for side in (old, grown))
    return found + differences(*begun)


def _less(identity: Identity, keys: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in identity.items() if key not in keys}


def _other_reference(old: Identity, sweep: Sweep) -> list[str]:
    """Ratios of rows that are there are to the row that the study began with."""
    there: list[Candidate] = [c for c in sweep.candidates if c.label in old.get("digests", {})]
    order = list(old.get("digests", {}))
    there.sort(key=lambda c: order.index(c.label))
    if not there or reference_of(there) == sweep.reference:
        return []
    was, now = reference_of(there).label, sweep.reference.label
    return [f"the row that others are compared with: {was!r} -> {now!r}"]
