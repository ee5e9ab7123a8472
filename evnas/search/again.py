"""The sweep that takes a front again: its members as rows, same targets, proxy and seeds."""

from collections.abc import Sequence
from typing import Any

from evnas.search.trial import Trial
from evnas.sweep import Sweep


def sweep_again(sweep: Sweep, members: Sequence[Trial]) -> dict[str, Any]:
    """A sweep file's data: the search's base first, then a row a member, each spelt out.

    All are measured in alternation with the base and trained on the same seeds, so what a search
    found is repeated by the protocol of an ablation, on any machine that has the targets.
    """
    spec = sweep.spec.to_dict()
    seeds = max((len(by_seed) for t in members for by_seed in t.trained.values()), default=1)
    return {
        "name": f"{spec['name']}_again",
        "base": sweep.base.to_dict(),
        "rows": {"base": {}} | {t.label: {"arch": dict(t.arch)} for t in members},
        "seeds": list(range(seeds)),
        "targets": spec["targets"],
        "proxy": spec["proxy"] if any(t.trained for t in members) else None,
        "engine": spec["engine"],
    }
