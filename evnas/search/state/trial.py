"""One trial of a search, distilled from its records: what is known, and what is believed."""

import functools
import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from evnas.record import Outline, Record, Status, ends_trial
from evnas.search.state.objectives import is_trained
from evnas.stats.pareto import Estimate, exact, from_samples, from_seeds
from evnas.store.store import loaded
from evnas.sweep.search_spec import ObjectiveSpec
from evnas.tables import PHASES, found_by, quantity_and_target

What = tuple[str, int, float, str]
"""Phase, seed, budget and target of a record."""


@dataclass(slots=True, kw_only=True)
class Trial:
    """What the records of one label say."""

    label: str
    digest: str
    kept_arch: Mapping[str, Any] | str
    """The architecture, as the JSON that a store keeps until somebody asks for it."""
    origin: str
    counts: dict[str, float] = field(default_factory=dict)
    speed: dict[str, dict[str, float]] = field(default_factory=dict)
    """Target -> quantity -> value: medians of `samples`, and what else the latest one found."""
    samples: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """`latency_ms@TARGET` -> raw samples of all measurements."""
    draws: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """Quantity -> joint draws, of what is predicted: the i-th of all trials belong together."""
    trained: dict[float, dict[int, dict[str, float]]] = field(default_factory=dict)
    """Budget -> seed -> quantity -> value."""
    done: frozenset[What] = frozenset()
    """Of its records, however they ended."""
    ended: Status | None = None
    """What ended it before its goal: `infeasible`, `oom`, `diverged`, ..."""
    reason: str = ""
    seconds: float = 0.0

    @property
    def arch(self) -> Mapping[str, Any]:
        """`ArchSpec.to_dict()`; read again each time, where it is kept as JSON."""
        kept = self.kept_arch
        found: Mapping[str, Any] = loaded(kept) if isinstance(kept, str) else kept
        return found

    @property
    def phases(self) -> frozenset[str]:
        """Those that it has a record of."""
        return _phases(self.done)

    @property
    def number(self) -> int:
        """Its place in the order of proposals."""
        return int(self.label)

    @property
    def budget(self) -> float:
        """The largest training that came to an end, in image presentations; 0 for none."""
        return max(self.trained) if self.trained else 0.0

    def take(self, record: Record | Outline) -> None:
        """Add a record of this label."""
        self.done = _with(self.done, (record.phase, record.seed, record.budget, record.target))
        self.seconds += record.seconds
        if self.ended is None and ends_trial(record.status, record.seed):
            self.ended, self.reason = record.status, record.error
        if record.status not in ("complete", "infeasible"):
            return
        phase = PHASES.get(record.phase)
        if phase.per_target:
            found = self.speed.setdefault(record.target, {})
            found |= record.values
            for name, samples in record.samples.items():
                key = _at(name, record.target)
                self.samples[key] = every = self.samples.get(key, ()) + tuple(samples)
                found[name] = statistics.median(every)
        elif phase.trains:
            seeds = self.trained.setdefault(record.budget, {})
            # phases that train have names of their own
            seeds.setdefault(record.seed, {}).update(record.values)
        else:
            self.counts |= record.values
            for name, draws in record.details.get("draws", {}).items():
                self.draws[name] = tuple(draws)
            for quantity in phase.quantities:
                if quantity.source in self.counts:
                    self.counts[quantity.name] = quantity.of(self.counts[quantity.source])

    def value(self, name: str) -> float | None:
        """A quantity by its resolved name; of trainings, the longest, its mean over seeds."""
        metric, target = quantity_and_target(name)
        if target:
            return self.speed.get(target, {}).get(metric)
        if is_trained(name):
            seeds = self.trained.get(self.budget, {})
            found = [v[name] for v in seeds.values() if name in v]
            return sum(found) / len(found) if found else None
        return self.counts.get(name)

    def known(self, names: Iterable[str]) -> dict[str, float]:
        """Those of some quantities that are known."""
        found = {}
        for name in names:
            value = self.value(name)
            if value is not None:
                found[name] = value
        return found

    def quantities(self) -> dict[str, float]:
        """All known quantities, speeds as `latency_ms@TARGET`."""
        known = dict(self.counts)
        for target, values in self.speed.items():
            known |= {f"{metric}@{target}": value for metric, value in values.items()}
        for name in next(iter(self.trained.get(self.budget, {}).values()), {}):
            known_here = name in found_by() and is_trained(name)
            value = self.value(name) if known_here else None
            if value is not None:
                known[name] = value
        return known

    def estimate(self, name: str, spread: float) -> Estimate | None:
        """What is believed of a quantity; `spread` is the noise between training seeds."""
        value = self.value(name)
        if value is None or math.isnan(value):
            return None
        if name in self.draws:
            return Estimate(value, self.draws[name], joint=True)
        if name in self.samples and len(self.samples[name]) > 1:
            return from_samples(self.samples[name])
        if is_trained(name):
            seeds = [v[name] for v in self.trained[self.budget].values() if name in v]
            return from_seeds(seeds, spread=spread)
        return exact(value)

    def vector(self, objectives: tuple[ObjectiveSpec, ...]) -> tuple[float, ...] | None:
        """Objectives to be minimised, maximised ones negated; None while one is not known."""
        found = []
        for objective in objectives:
            value = self.value(objective.metric)
            if value is None or not math.isfinite(value):
                return None
            found.append(-value if objective.goal == "max" else value)
        return tuple(found)


@functools.lru_cache(maxsize=4096)
def _with(done: frozenset[What], what: What) -> frozenset[What]:
    """What is done, and one thing more. Kept: all trials of a search share a few of these."""
    return done | {what}


@functools.lru_cache(maxsize=4096)
def _phases(done: frozenset[What]) -> frozenset[str]:
    return frozenset(phase for phase, *_ in done)


@functools.lru_cache(maxsize=4096)
def _at(name: str, target: str) -> str:
    """A quantity on a target, as trials spell it; kept for the same reason."""
    return f"{name}@{target}"
