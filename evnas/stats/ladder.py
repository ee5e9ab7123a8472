"""How well columns order things as the truth does, on all pairs and on the hard ones.

Any column that grows with size orders unlike things well. What a signal is worth shows between
things of one paper, and most of all between those of equal FLOPs.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evnas.stats.rank_correlation import Agreement, Column, Pairs, kendall, kendall_gain

FLOPS, PARAMS, SIZE = "FLOPs", "params", "params x FLOPs"
OVERALL, WITHIN, EQUAL = "overall", "within papers", "equal FLOPs"
EQUAL_FLOPS = 1.25
"""Two of one paper are of equal FLOPs up to this ratio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderLine:
    """One column on one set of pairs."""

    signal: str
    scope: str
    """`overall`, `within papers`, `equal FLOPs`, or the name of a paper."""
    pairs: int
    """How many are compared."""
    agreement: Agreement | None
    """tau-b with the truth; None where it is undefined."""
    gains: Mapping[str, Agreement | None]
    """Baseline -> by how much the column orders better, over the things that both know."""

    @property
    def verdict(self) -> str:
        """In words, from the interval of the gain over the first baseline alone."""
        if self.agreement is None:
            return "too few to tell"
        if self.signal == FLOPS:
            return "baseline"
        base, gain = next(iter(self.gains.items()), ("", None))
        if gain is None:
            return "too few to tell"
        if gain.low > 0:
            return f"better than {base}"
        if gain.high < 0:
            return f"worse than {base}"
        return f"cannot be distinguished from {base}"


def scopes(groups: Sequence[str], macs: Sequence[float]) -> dict[str, Pairs]:
    """Scope -> which pairs of things it compares, (n, n); groups of three things and more too."""
    of = np.asarray(groups, dtype=object)
    apart = np.abs(np.log(macs)[:, None] - np.log(macs))
    different = ~np.eye(len(of), dtype=bool)
    same = (of[:, None] == of) & different
    found = {OVERALL: different, WITHIN: same, EQUAL: same & (apart <= math.log(EQUAL_FLOPS))}
    for group in dict.fromkeys(groups):
        if (of == group).sum() >= 3:
            found[group] = same & (of == group)[:, None]
    return found


def ladder(
    columns: Mapping[str, Column],
    truth: Column,
    *,
    groups: Sequence[str],
    macs: Sequence[float],
    baselines: Sequence[str],
) -> tuple[LadderLine, ...]:
    """Every column on every scope.

    Args:
        columns: name -> a value per item, higher meaning better; None where it has none.
        truth: a value per item.
        groups: the paper of each.
        macs: multiply-adds of each.
        baselines: columns that the others have to beat.
    """
    lines = []
    for scope, pairs in scopes(groups, macs).items():
        for name, column in columns.items():
            gains = {
                base: kendall_gain(column, columns[base], truth, pairs=pairs)
                for base in baselines
                if base != name and base in columns
            }
            agreement = kendall(column, truth, pairs=pairs)
            lines.append(
                LadderLine(
                    signal=name,
                    scope=scope,
                    pairs=_compared(pairs, column, truth),
                    agreement=agreement,
                    gains=gains,
                )
            )
    return tuple(lines)


def _compared(pairs: Pairs, *columns: Column) -> int:
    table = np.array([[math.nan if v is None else v for v in column] for column in columns])
    known = np.isfinite(table).all(axis=0)
    return int(pairs[np.ix_(known, known)].sum()) // 2
