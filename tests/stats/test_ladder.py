"""The ladder: which pairs a scope compares, gains over baselines, and verdicts."""

import itertools
import random

import numpy as np
import pytest

from evnas.stats.ladder import EQUAL, FLOPS, OVERALL, SIZE, WITHIN, ladder, scopes
from evnas.stats.rank_correlation import kendall

TRUTH = [float(i) for i in range(14)]
GROUPS = ["a"] * 7 + ["b"] * 7
MACS = [float(2 ** (i // 2)) for i in range(14)]


def noise(seed):
    draw = random.Random(seed)
    return [draw.random() for _ in TRUTH]


def lines_of(columns, **given):
    found = ladder(columns, TRUTH, groups=GROUPS, macs=MACS, baselines=(FLOPS, SIZE), **given)
    return {(line.scope, line.signal): line for line in found}


def test_scopes_compare_what_they_say():
    found = scopes(GROUPS, MACS)
    assert list(found) == [OVERALL, WITHIN, EQUAL, "a", "b"]
    for i, j in itertools.product(range(14), repeat=2):
        same = GROUPS[i] == GROUPS[j] and i != j
        assert found[OVERALL][i, j] == (i != j)
        assert found[WITHIN][i, j] == same
        assert found[EQUAL][i, j] == (same and MACS[i] == MACS[j])
        assert found["a"][i, j] == (same and GROUPS[i] == "a")


def test_tau_over_some_pairs_is_that_of_each_pair():
    x, y = noise(1), noise(2)
    pairs = scopes(GROUPS, MACS)[WITHIN]
    signs = [
        np.sign((x[i] - x[j]) * (y[i] - y[j]))
        for i, j in itertools.combinations(range(14), 2)
        if pairs[i, j]
    ]
    found = kendall(x, y, pairs=pairs)
    assert found is not None
    assert found.tau == pytest.approx(sum(signs) / len(signs))
    assert found.low <= found.tau <= found.high


def test_signals_are_judged_against_truth_and_baselines():
    found = lines_of({FLOPS: noise(0), "good": TRUTH, "bad": [-v for v in TRUTH], SIZE: noise(3)})
    assert found[OVERALL, "good"].agreement.tau == 1
    assert found[OVERALL, "good"].verdict == "better than FLOPs"
    assert found[OVERALL, "bad"].verdict == "worse than FLOPs"
    assert found[OVERALL, FLOPS].verdict == "baseline"
    assert set(found[OVERALL, "good"].gains) == {FLOPS, SIZE}
    assert found[OVERALL, "good"].pairs == 14 * 13 // 2
    assert found[EQUAL, "good"].pairs == 6  # three of each paper


def test_what_cannot_be_told_is_not_told():
    half = [v if i % 2 else None for i, v in enumerate(TRUTH)]
    columns = {FLOPS: noise(0), "twin": noise(0), "constant": [1.0] * 14, "half": half}
    found = lines_of(columns)
    assert found[OVERALL, "twin"].verdict == "not told apart from FLOPs"
    assert found[OVERALL, "constant"].verdict == "too few to tell"
    assert found[OVERALL, "half"].agreement.n == found[OVERALL, "half"].gains[FLOPS].n == 7
    assert found[EQUAL, "half"].agreement is None  # no pair of equal FLOPs has both
