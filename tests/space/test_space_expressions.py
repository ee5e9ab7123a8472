"""Conditions: what they mean, what they refuse, and that unknown fields leave them open."""

import pytest

from evnas.arch.catalog import entry
from evnas.errors import SpecError
from evnas.space.expressions import parse_expression

M1 = entry("m1").arch.to_dict()
TINY = entry("efficient_vmamba_tiny").arch.to_dict()


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("stages[1].dim >= stages[0].dim", True),
        ("stages[*].dim == [128, 192, 320]", True),
        ("sum(stages[*].depth) * 2 + 1 == 13", True),
        ("max(stages[*].mixer.states) > 49", False),
        ("head.fusion == 'hidden' and not norm == 'ln'", True),
        ("64 <= stages[-1].dim < 320", False),
        ("len(stages) in [3, 4]", True),
        ("stages[0].mixer.d_state > 4", None),
        ("stages[7].dim > 4", None),
        ("stages[0].mixer.d_state > 4 and stages[0].dim == 1", False),
        ("stages[0].mixer.d_state > 4 or stages[0].dim == 128", True),
        ("params_m <= 7", True),
        ("latency_ms@gpu-x <= 7", None),
    ],
)
def test_meaning(text: str, answer: bool | None) -> None:
    known = ["params_m", "latency_ms"]
    assert parse_expression(text, known).holds(M1, {"params_m": 6.7}) is answer


def test_quantities_and_fields_are_told_apart() -> None:
    read = parse_expression("latency_ms@cpu < 4 * stages[*].dim[0]", ["latency_ms"])
    assert read.quantities == {"latency_ms@cpu"}


@pytest.mark.parametrize(
    "text",
    ["dim > 3", "stages[0].dim", "(lambda: 1)() > 0", "stages.__class__ > 1", "stages['a'] > 1",
     "parms_m < 3", "open('x') > 1", "stages[0].dim is 3"],
)  # fmt: skip
def test_refused(text: str) -> None:
    with pytest.raises(SpecError):
        parse_expression(text, ["params_m"])


def test_a_block_without_a_mixer_leaves_its_condition_open() -> None:
    assert parse_expression("stages[3].mixer.step == 2").holds(TINY, {}) is None
