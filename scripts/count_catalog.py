"""Writes evnas/arch/catalog_counts.json: counts of every published architecture.

To be run after a change of the catalogue or of a counting rule; a test recounts them all.
"""

import json
from typing import Any

from evnas.arch.catalog import catalog
from evnas.arch.catalog_counts import FILE
from evnas.measure.counting.flops import count


def counts() -> dict[str, dict[str, Any]]:
    """Digest -> side in pixels -> parameters, and multiply-adds by convention."""
    found: dict[str, dict[str, Any]] = {}
    for known in catalog().values():
        of_model = count(known.arch, known.resolution)
        row = {"params": of_model.params, "macs": dict(of_model.macs)}
        found.setdefault(known.arch.digest, {})[str(known.resolution)] = row
    return found


if __name__ == "__main__":
    FILE.write_text(json.dumps(counts(), indent=1) + "\n", encoding="utf-8")
