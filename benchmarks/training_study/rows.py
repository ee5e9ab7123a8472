"""Which printed architectures are trained for longer: `python benchmarks/training_study/rows.py`.

The rule was written before anything was trained, and sees names, papers and counts alone, never a
printed top-1:

1. Candidates are the printed architectures of the four papers of at most `MOST_MACS` multiply-adds
   an image (what is larger would take hours each).
2. Each paper gives its smallest and its largest, and of the others the two whose counts are
   nearest to each other: a pair of nearly equal FLOPs.
3. While there are fewer than `COUNT`, the paper with most rows left gives the one whose count, on
   a log scale, is farthest from those of its rows that were taken.

Ties go to the name that comes first.
"""

import itertools
import math
from collections.abc import Mapping, Sequence

from evnas.predict.published_signals import published_signals

COUNT = 16
MOST_MACS = 8e9

Counts = Mapping[str, float]
"""Name -> multiply-adds an image, at the resolution in print."""


def counts_by_paper() -> dict[str, Counts]:
    """All printed architectures of the four papers."""
    found: dict[str, dict[str, float]] = {}
    for row in published_signals():
        if not row.printed.candidate.timm:
            of_paper = found.setdefault(row.printed.paper, {})
            of_paper[row.printed.name] = row.inputs["macs_exact"]
    return dict(sorted(found.items()))


def chosen(counts: Mapping[str, Counts], *, most_macs: float = MOST_MACS) -> tuple[str, ...]:
    """Names by the rule, those of a paper together."""
    small = {p: {n: m for n, m in of.items() if m <= most_macs} for p, of in counts.items()}
    taken = {paper: _ends_and_pair(of) for paper, of in small.items()}
    while sum(map(len, taken.values())) < min(COUNT, sum(map(len, small.values()))):
        paper = max(small, key=lambda p: len(small[p]) - len(taken[p]))
        taken[paper].append(_farthest(small[paper], taken[paper]))
    return tuple(itertools.chain.from_iterable(taken.values()))


def _ends_and_pair(counts: Counts) -> list[str]:
    ordered = sorted(counts, key=lambda name: (counts[name], name))
    if len(ordered) < 4:
        return ordered
    inner = ordered[1:-1]
    pair = min(itertools.pairwise(inner), key=lambda two: counts[two[1]] / counts[two[0]])
    return [ordered[0], *pair, ordered[-1]]


def _farthest(counts: Counts, taken: Sequence[str]) -> str:
    def distance(name: str) -> float:
        return min(abs(math.log(counts[name] / counts[other])) for other in taken)

    return max(sorted(counts.keys() - set(taken)), key=distance)


def main() -> None:
    """Print the names with their counts."""
    counts = counts_by_paper()
    every = {name: macs for of in counts.values() for name, macs in of.items()}
    for name in chosen(counts):
        print(f"{name:40} {every[name] / 1e9:6.2f} G")


if __name__ == "__main__":
    main()
