"""The fixed ablation: a strategy that proposes the rows of its table."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from evnas.search.propose import Proposal, Strategy
from evnas.search.state.history import History
from evnas.sweep.candidate import Candidate
from evnas.sweep.sweep import Sweep


@dataclass(frozen=True)
class Rows(Strategy):
    """Every row with the sweep's seeds, the reference first."""

    rows: Sequence[Candidate]
    seeds: tuple[int, ...]
    by_phase = True

    def propose(self, history: History, n: int) -> list[Proposal]:
        """The first `n` rows, whatever stands of them: the driver knows what is done."""
        return [
            Proposal(arch=row.arch, origin="row", label=row.label, seeds=self.seeds, row=row)
            for row in self.rows[:n]
        ]


def evaluated(sweep: Sweep) -> list[Candidate]:
    """The rows that are evaluated: no absent one, of equal rows the first, the reference before
    all others."""
    found: list[Candidate] = []
    for candidate in sweep.candidates:
        if not candidate.absent and not any(candidate.same_work(other) for other in found):
            found.append(candidate)
    return sorted(found, key=lambda c: c != sweep.reference)


def chosen(rows: Sequence[Candidate], sweep: Sweep, labels: Collection[str]) -> list[Candidate]:
    """Of rows that are evaluated those with some labels, or their equals; the reference, which all
    others are compared with, always."""
    wanted = [one for one in sweep.candidates if one.label in labels or one == sweep.reference]
    return [row for row in rows if any(row.same_work(one) for one in wanted)]
