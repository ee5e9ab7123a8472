"""When a search has had enough: a function of its records and of the time that it searched."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from evnas.search.state.history import History
from evnas.stats.pareto import Front, hypervolume
from evnas.sweep.search_spec import BudgetSpec
from evnas.words import counted

HOPELESS = 200
"""So many candidates in a row that break a constraint."""
SCREENED_A_TRIAL = 50
"""So many candidates that a prediction screens out count as a trial, so that trials end a search
in a space where nothing is left to measure."""
SETTLING = 20
"""Complete trials that set the reference point; no patience is lost before them."""


@dataclass(slots=True)
class Meter:
    """Watches a history against a budget; patience counts trials that brought no gain.

    What it keeps between two calls saves time and nothing else: a new one says the same.
    """

    spec: BudgetSpec | None
    """None never ends it."""
    idle: int = 0
    """Trials since the last gain of hypervolume, those that failed among them."""
    barren: int = 0
    """Trials in a row, up to the last, that broke a constraint."""
    _vectors: list[tuple[float, ...]] = field(default_factory=list)
    _front: Front | None = None
    _best: float = 0.0
    _seen: int = 0

    def full(self, history: History) -> str:
        """Why there shall be no new candidate, or ""; those there are may still be promoted."""
        if self.spec is None or self.spec.trials is None:
            return ""
        unmeasured = len(history.screened)
        asked = history.next_number - unmeasured + unmeasured // SCREENED_A_TRIAL
        if asked < self.spec.trials:
            return ""
        beside = f", beside {unmeasured} that were screened out" if unmeasured else ""
        return f"{counted(self.spec.trials, 'trial')}{beside}"

    def spent(self, history: History, wall_s: float) -> str:
        """Why nothing more shall begin, or "".

        Args:
            wall_s: how long was searched, over all runs of the study.
        """
        if self.spec is None:
            return ""
        if self.spec.minutes is not None and wall_s >= 60 * self.spec.minutes:
            return counted(self.spec.minutes, "minute", form="g")
        minutes = self.spec.device_minutes
        if minutes is not None and history.device_seconds >= 60 * minutes:
            return counted(minutes, "device minute", form="g")
        return "" if self.spec.patience is None else self._out_of_patience(history)

    def _out_of_patience(self, history: History) -> str:
        assert self.spec is not None and self.spec.patience is not None
        self._follow(history)
        if self.idle >= self.spec.patience and not self._vectors:
            return f"{counted(self.idle, 'trial')} failed and none was completed"
        if self.idle >= self.spec.patience:
            return f"{counted(self.spec.patience, 'trial')} without a gain of hypervolume"
        if self.barren >= HOPELESS:
            return f"{self.barren} candidates in a row that break a constraint"
        return ""

    def _follow(self, history: History) -> None:
        for how in history.course[self._seen :]:
            if isinstance(how, tuple):
                self.barren = 0
                self.idle = 0 if self._gains(how) else self.idle + 1
            elif how == "infeasible":  # nothing was tried: the space around it is to blame
                self.barren += 1
            else:
                self.idle += 1
        self._seen = len(history.course)

    def _gains(self, vector: tuple[float, ...]) -> bool:
        """Take a complete trial in, and say whether the hypervolume grew by it."""
        self._vectors.append(vector)
        if len(self._vectors) < SETTLING:
            return True
        if self._front is None:
            self._front = Front(len(vector))
            for i, one in enumerate(self._vectors):
                self._front.add(str(i), one)
            self._best = hypervolume(self._front.points, reference_point(self._vectors))
            return True
        if not self._front.add(str(len(self._vectors)), vector):
            return False
        before = self._best
        self._best = hypervolume(self._front.points, reference_point(self._vectors))
        return self._best > before * (1 + 1e-9)


def reference_point(vectors: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    """A reference point for hypervolumes: the worst of the first complete trials, and a tenth of
    their range beyond it. Fixed early, so that hypervolumes compare along a search."""
    first = np.asarray(vectors[:SETTLING], dtype=np.float64)
    worst, best = first.max(axis=0), first.min(axis=0)
    return tuple((worst + 0.1 * np.maximum(worst - best, 1e-9)).tolist())
