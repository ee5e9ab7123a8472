"""What a person who watches a sweep wants to know, as plain state; drawn elsewhere."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from evnas.phases.work import Event, Finished, Progress, Work
from evnas.record import Record
from evnas.tables import PHASES


@dataclass(slots=True)
class ProgressRow:
    """One row's figures so far; nan-free text, "" where nothing is known."""

    params_m: str = ""
    flops_m: str = ""
    throughput_img_s: str = ""
    ratio: str = ""
    top1: str = ""


@dataclass(slots=True)
class ProgressState:
    """The state of a running sweep."""

    rows: dict[str, ProgressRow]
    waiting: dict[str, int] = field(default_factory=dict)
    """Pieces of work not yet ended, by phase, those of later phases included."""
    total: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    now: dict[str, Progress] = field(default_factory=dict)
    """What each row under way says of itself."""
    began: dict[str, float] = field(default_factory=dict)
    over_at: float = math.inf
    """When the minutes of a budget end, on the clock of `now`."""

    def expect(self, phase: str, total: int, done: int) -> None:
        """A phase has `total` pieces of work, of which `done` stood before."""
        self.total[phase], self.waiting[phase] = total, total - done

    def start(self, work: Work, now: float) -> None:
        """A piece of work has begun."""
        self.now[work.label] = Progress(work, 0.0)
        self.began[work.label] = now

    def take(self, event: Event) -> None:
        """Something happened."""
        if isinstance(event, Progress):
            self.now[event.work.label] = event
            return
        self.now.pop(event.work.label, None)
        phase = event.record.phase
        self.waiting[phase] = self.waiting.get(phase, 1) - 1  # a confirmation may bring its own
        self.seconds.setdefault(phase, []).append(event.record.seconds)
        self.show([event.record])

    def show(self, records: Iterable[Record]) -> None:
        """Put the figures of records into their rows."""
        for record in records:
            row = self.rows.get(record.label)
            if row is not None:
                _fill(row, record)

    def left_s(self, now: float) -> float:
        """Seconds until all is done, by what the phases took so far, or until the minutes end."""
        left = 0.0
        for phase, waiting in self.waiting.items():
            left += waiting * self._typical_s(phase, now)
        for label, progress in self.now.items():
            spent = now - self.began[label]
            left -= min(spent, self._typical_s(progress.work.phase, now))
        return max(0.0, min(left, self.over_at - now))

    def done_fraction(self, now: float) -> float:
        """Share of the whole time that is over, by the same estimate."""
        spent = sum(sum(seconds) for seconds in self.seconds.values())
        spent += sum(now - self.began[label] for label in self.now)
        left = self.left_s(now)
        return spent / (spent + left) if spent + left > 0 else 1.0

    def to_dict(self, now: float) -> dict[str, Any]:
        """What a page shows of it: `phases` (of each what there is and what is done), `now` (what
        is under way), `left_s` and `done_fraction`."""
        return {
            "phases": {
                phase: {"total": total, "done": max(0, total - self.waiting.get(phase, 0))}
                for phase, total in self.total.items()
            },
            "now": [
                {
                    "label": label,
                    "phase": progress.work.phase,
                    "target": progress.work.target,
                    "fraction": progress.fraction,
                    "text": progress.text,
                    "seconds": now - self.began[label],
                }
                for label, progress in self.now.items()
            ],
            "left_s": self.left_s(now),
            "done_fraction": self.done_fraction(now),
        }

    def _typical_s(self, phase: str, now: float) -> float:
        seen = self.seconds.get(phase)
        if seen:
            return sum(seen) / len(seen)
        for label, progress in self.now.items():
            if progress.work.phase == phase and progress.fraction > 0.02:
                return (now - self.began[label]) / progress.fraction
        return PHASES.get(phase).guess_s


def _fill(row: ProgressRow, record: Record) -> None:
    phase = PHASES.get(record.phase)
    good = record.status == "complete"
    shown = phase.shown(record) if good else {phase.status_column: record.status}
    for column in {each.name for each in fields(row)} & set(shown):
        setattr(row, column, shown[column])


def sentence_of(event: Finished) -> str:
    """One plain line about a result."""
    record = event.record
    head = f"{record.label} {record.phase}"
    if record.status != "complete":
        reason = record.error.strip().splitlines()[-1] if record.error.strip() else ""
        return f"{head}: {record.status}{f' ({reason})' if reason else ''}, {record.seconds:.1f} s"
    words = PHASES.get(record.phase).words(record)
    return f"{head}: {words}, {record.seconds:.1f} s"
