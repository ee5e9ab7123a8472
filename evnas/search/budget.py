"""When a search has had enough."""

from dataclasses import dataclass

from evnas.search.state.history import History
from evnas.stats.pareto import hypervolume
from evnas.sweep.search_spec import BudgetSpec


@dataclass(slots=True)
class Meter:
    """Watches a history against a budget; patience counts complete trials without a gain."""

    spec: BudgetSpec | None
    """None never ends it."""
    best: float = 0.0
    since: int = 0
    _seen: int = 0

    def full(self, history: History) -> str:
        """Why there shall be no new candidate, or ""; those there are may still be promoted."""
        if (
            self.spec is not None
            and self.spec.trials is not None
            and history.next_number >= self.spec.trials
        ):
            return f"{self.spec.trials} trials"
        return ""

    def spent(self, history: History, wall_s: float) -> str:
        """Why nothing more shall begin, or ""."""
        if self.spec is None:
            return ""
        if self.spec.minutes is not None and wall_s >= 60 * self.spec.minutes:
            return f"{self.spec.minutes:g} minutes"
        minutes = self.spec.device_minutes
        if minutes is not None and history.device_seconds >= 60 * minutes:
            return f"{minutes:g} device minutes"
        patience = self.spec.patience
        if patience is not None and self._idle(history) >= patience:
            return f"{patience} trials without a gain of hypervolume"
        return ""

    def _idle(self, history: History) -> int:
        fresh = len(history.complete) - self._seen
        if fresh:
            now = hypervolume(history.front.points, history.reference())
            # the reference settles with the first trials: no patience is lost before that
            gained = now > self.best * (1 + 1e-9) or len(history.complete) <= 20
            self.best = max(now, self.best)
            self.since = 0 if gained else self.since + fresh
            self._seen = len(history.complete)
        return self.since
