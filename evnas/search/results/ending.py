"""What a search leaves beside its records: its front, its axes' weights, an ablation's effects."""

import json
from dataclasses import asdict
from pathlib import Path

from evnas.files import write_whole
from evnas.search.prepare import PreparedSearch
from evnas.search.results.effects import effect_lines, effects
from evnas.search.results.front_files import write_front
from evnas.search.results.importances import importances
from evnas.search.state.history import History
from evnas.search.state.objectives import is_trained
from evnas.store import Store


def write_end(ready: PreparedSearch, history: History, *, store: Store) -> list[str]:
    """Write `front/` and, of an ablation, `effects.json`, beside the store; what to tell of it."""
    folder = store.path.parent
    lines = _write_effects(history, folder) if ready.spec.strategy.own_rows else []
    if weights := importances(ready.space, history):
        store.note("importance", weights)
    write_front(
        history,
        folder / "front",
        space=ready.space,
        sweep=ready.sweep,
        records=(record for _, record in store.records()),
    )
    return lines


def _write_effects(history: History, folder: Path) -> list[str]:
    """`effects.json` of a one-at-a-time ablation: what each change does to what training gives."""
    trained = [o.metric for o in history.objectives if is_trained(o.metric)]
    found = {metric: effects(history, metric) for metric in trained}
    data = {metric: [asdict(e) for e in each] for metric, each in found.items()}
    write_whole(folder / "effects.json", json.dumps(data, indent=1) + "\n")
    return [line for metric, each in found.items() for line in effect_lines(each, metric)]
