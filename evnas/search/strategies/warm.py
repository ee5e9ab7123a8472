"""Warm starts: candidates to begin with, each with where it came from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evnas.arch.catalog import catalog
from evnas.arch.spec import ArchSpec
from evnas.errors import EvnasError, SpecError
from evnas.files import shown
from evnas.record import Record
from evnas.search.state.history import History
from evnas.search.state.objectives import resolved_objectives
from evnas.search.strategies.warm_csv import rows_of_csv
from evnas.space.space import SearchSpace
from evnas.stats.pareto import ranks
from evnas.store import Store
from evnas.sweep.constraints import constraints_of_study
from evnas.sweep.file_paths import RULE
from evnas.sweep.search_spec import ObjectiveSpec, WarmStartSpec
from evnas.words import counted

Origins = list[tuple[str, ArchSpec]]


def warm_candidates(starts: Sequence[WarmStartSpec], space: SearchSpace) -> Origins:
    """(origin, architecture) of every warm start, those outside the space left out.

    Raises:
        SpecError: at `warm_start[i]`, for a file that cannot be read, or one with nothing inside.
    """
    found = []
    for i, start in enumerate(starts):
        try:
            several = _candidates(start, space.base)
        except OSError as e:
            file = shown(start.study or start.csv)
            reason = f"{file}: must be a file that can be read ({e.strerror}); {RULE}"
            raise SpecError(reason, f"warm_start[{i}]") from None
        except EvnasError as e:
            raise SpecError(str(e), f"warm_start[{i}]") from None
        inside = [(o, a) for o, a in several if isinstance(space.encode(a), dict)]
        if not inside:
            reason = f"none of its {counted(len(several), 'architecture')} lies in the space"
            raise SpecError(reason, f"warm_start[{i}]")
        found += inside[: start.most]
    return found


def seeds(space: SearchSpace) -> Origins:
    """The catalogue's members in the space: an evolution starts from what people know."""
    return [(o, a) for o, a in _published() if isinstance(space.encode(a), dict)]


def _candidates(start: WarmStartSpec, base: ArchSpec) -> Origins:
    if start.published:
        return _published()
    file = Path(shown(start.study or start.csv))
    return _of_study(file) if start.study else list(rows_of_csv(file, base))


def _published() -> Origins:
    entries = catalog().values()
    return [(f"published {' '.join(e.published or (e.name,))}", e.arch) for e in entries]


def _of_study(path: Path) -> Origins:
    """Complete trials: of a search by fronts of its own objectives, else the longest trained."""
    with Store.read(path) as store:
        records = [r for _, r in store.records() if "timm" not in r.arch]
        sweep = store.meta("sweep") or {}
    best = _by_front(records, sweep) if sweep.get("objectives") else _by_training(records)
    return [
        (f"study {path.parent.name} trial {label}", ArchSpec.from_dict(arch))
        for label, arch in best
    ]


def _by_front(records: Sequence[Record], sweep: Mapping[str, Any]) -> list[tuple[str, Any]]:
    targets = list(dict.fromkeys(r.on for r in records if r.on is not None))
    wanted = [ObjectiveSpec.model_validate(o) for o in sweep["objectives"]]
    history = History(
        objectives=resolved_objectives(wanted, targets),
        constraints=constraints_of_study(sweep.get("constraints") or (), targets),
        full_budget=max((r.budget for r in records), default=0.0),
    )
    history.take_all(enumerate(records))
    if not history.complete:
        return []
    order = ranks(history.points()).argsort(kind="stable")
    return [(history.complete[i].label, history.complete[i].arch) for i in order]


def _by_training(records: Sequence[Record]) -> list[tuple[str, Any]]:
    trained = [r for r in records if r.phase == "proxy" and r.status == "complete"]
    trained.sort(key=lambda r: (-r.budget, -r.values["top1_percent"]))
    best: dict[str, tuple[str, Any]] = {}
    for record in trained:
        best.setdefault(record.digest, (record.label, record.arch))
    return list(best.values())
