"""Breakdowns that a study keeps of its rows and trials, as notes beside its records.

Like a receptive field, one is taken after the fact, and adds nothing to what the trial found.
"""

import json
import time
from collections.abc import Mapping
from typing import Any

from evnas.store import Store

_NOTE = "breakdown"


def keep_breakdown(store: Store, label: str, digest: str, found: Mapping[str, Any]) -> None:
    """Note where a row's or trial's forward spends its time; it takes the place of an earlier one
    on the same target.

    Args:
        found: fields of `evnas.measure.anatomy.counters.Anatomy`, and `target`, the target's id.

    Raises:
        StoreError: the study cannot be written.
    """
    about = {"label": label, "digest": digest, "taken": time.time()}
    store.note(f"{_NOTE} {json.dumps([label, digest, found['target']])}", {**found, **about})


def breakdowns_of(store: Store) -> list[dict[str, Any]]:
    """All that were kept, by target and then as rows were named."""
    found = store.notes(f"{_NOTE} [").values()
    return sorted(found, key=lambda one: (one["target"], one["label"]))
