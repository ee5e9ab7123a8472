"""The audit: does the proxy order architectures as the papers do, and better than counting does?

A pure function of columns; it neither trains nor reads a store, and needs no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from evnas.stats.rank_correlation import Agreement, Column, kendall, kendall_gain


@dataclass(frozen=True, slots=True)
class AuditLine:
    """How well one predictor orders the candidates."""

    predictor: str
    agreement: Agreement | None
    """Kendall's tau-b against the truth; None where it is undefined."""
    gain: Agreement | None
    """tau-b minus the baseline's, over the candidates both know; None for the baseline itself."""

    @property
    def verdict(self) -> str:
        """In words, from the interval of the gain alone."""
        if self.agreement is None:
            return "too few candidates to tell"
        if self.gain is None:
            return "baseline"
        if self.gain.low > 0:
            return "ranks better than the baseline"
        if self.gain.high < 0:
            return "ranks worse than the baseline"
        return "not told apart from the baseline"


def audit(
    predictors: Mapping[str, Column], truth: Column, *, baseline: str = "flops"
) -> tuple[AuditLine, ...]:
    """Every predictor against the truth and against the baseline.

    Args:
        predictors: name to a value a candidate (proxy top-1, training-free scores, FLOPs,
            parameters), higher meaning better; None where a candidate has no value.
        truth: published top-1, a value a candidate.
        baseline: the predictor that the others have to beat.

    Returns:
        A line a predictor, best tau first, undefined ones last.
    """
    if baseline not in predictors:
        raise ValueError(f"baseline must be one of {sorted(predictors)}, got {baseline!r}")
    lines = [
        AuditLine(
            name,
            kendall(column, truth),
            None if name == baseline else kendall_gain(column, predictors[baseline], truth),
        )
        for name, column in predictors.items()
    ]
    return tuple(sorted(lines, key=_best_first))


def _best_first(line: AuditLine) -> tuple[bool, float]:
    return (line.agreement is None, -line.agreement.tau if line.agreement else 0.0)
