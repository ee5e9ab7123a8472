"""The audit's lines and verdicts."""

import random

import pytest

from evnas.proxy.audit import audit

TRUTH = [float(i) for i in range(14)]


def noise(seed):
    draw = random.Random(seed)
    return [draw.random() for _ in TRUTH]


def test_predictors_are_judged_against_truth_and_baseline():
    columns = {"flops": noise(0), "proxy": TRUTH, "backwards": [-v for v in TRUTH]}
    lines = {line.predictor: line for line in audit(columns, TRUTH)}
    assert list(lines) == ["proxy", "flops", "backwards"]
    assert lines["proxy"].agreement.tau == 1
    assert lines["proxy"].verdict == "ranks better than the baseline"
    assert lines["backwards"].verdict == "ranks worse than the baseline"
    assert lines["flops"].verdict == "baseline"
    assert lines["flops"].gain is None
    assert all(line.agreement.n == 14 for line in lines.values())


def test_what_cannot_be_told_is_not_told():
    half = [v if i % 2 else None for i, v in enumerate(TRUTH)]
    columns = {"flops": noise(0), "twin": noise(0), "constant": [1.0] * 14, "half": half}
    lines = {line.predictor: line for line in audit(columns, TRUTH)}
    assert lines["twin"].verdict == "not told apart from the baseline"
    assert lines["constant"].verdict == "too few candidates to tell"
    assert lines["half"].agreement.n == lines["half"].gain.n == 7
    assert list(lines)[-1] == "constant"


def test_the_baseline_must_be_there():
    with pytest.raises(ValueError, match=r"baseline must be one of \['proxy'\], got 'flops'"):
        audit({"proxy": TRUTH}, TRUTH)
