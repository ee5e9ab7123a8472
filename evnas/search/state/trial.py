"""One trial of a search, distilled from its records: what is known, and what is believed."""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evnas.record import Record, Status, ends_trial
from evnas.search.state.objectives import is_trained
from evnas.stats.pareto import Estimate, exact, from_samples, from_seeds
from evnas.sweep.constraints import phase_of
from evnas.sweep.search_spec import ObjectiveSpec
from evnas.tables import PHASES, found_by, quantity_and_target


@dataclass(slots=True, kw_only=True)
class Trial:
    """What the records of one label say."""

    label: str
    digest: str
    arch: Mapping[str, Any]
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
    done: set[tuple[str, int, float, str]] = field(default_factory=set)
    """(phase, seed, budget, target) of its records, however they ended."""
    ended: Status | None = None
    """What ended it before its goal: `infeasible`, `oom`, `diverged`, ..."""
    reason: str = ""
    seconds: float = 0.0

    @property
    def number(self) -> int:
        """Its place in the order of proposals."""
        return int(self.label)

    @property
    def budget(self) -> float:
        """The largest training that came to an end, in image presentations; 0 for none."""
        return max(self.trained, default=0.0)

    def take(self, record: Record) -> None:
        """Add a record of this label."""
        self.done.add((record.phase, record.seed, record.budget, record.target))
        self.seconds += record.seconds
        if ends_trial(record.status, record.seed) and self.ended is None:
            self.ended, self.reason = record.status, record.error
        if record.status not in ("complete", "infeasible"):
            return
        phase = PHASES.get(record.phase)
        if phase.per_target:
            found = self.speed.setdefault(record.target, {})
            found |= record.values
            for name, measured in record.measurements.items():
                key = f"{name}@{record.target}"
                self.samples[key] = self.samples.get(key, ()) + tuple(measured.samples)
                found[name] = statistics.median(self.samples[key])
        elif phase.trains:
            seeds = self.trained.setdefault(record.budget, {})
            # phases that train have names of their own
            seeds.setdefault(record.seed, {}).update(record.values)
        else:
            self.counts |= record.values
            self.draws |= {k: tuple(v) for k, v in record.details.get("draws", {}).items()}
            for quantity in phase.quantities:
                if quantity.source in self.counts:
                    self.counts[quantity.name] = quantity.of(self.counts[quantity.source])

    def value(self, name: str) -> float | None:
        """A quantity by its resolved name; of trainings, the longest, its mean over seeds."""
        phase = PHASES.get(phase_of(name))
        if phase.per_target:
            metric, target = quantity_and_target(name)
            return self.speed.get(target, {}).get(metric)
        if phase.trains:
            seeds = self.trained.get(self.budget, {})
            found = [v[name] for v in seeds.values() if name in v]
            return sum(found) / len(found) if found else None
        return self.counts.get(name)

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
