"""Conditions: what they mean, what they refuse, and that unknown fields leave them open."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evnas.arch.catalog import entry
from evnas.errors import SpecError
from evnas.phases.base import Quantity
from evnas.report.frame.columns import scale_count
from evnas.space.expressions import parse_expression
from evnas.tables import quantities

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


def test_quantities_and_fields_are_distinguished() -> None:
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


@example(6_679_458)
@given(st.integers(0, 10**14))
def test_a_bound_that_is_met_exactly_holds(count: int) -> None:
    for name, unit in (("params_m", 10**6), ("macs_g", 10**9)):
        found = quantities()[name].of(float(count))
        for bound in (count - 1, count, count + 1):
            written = f"{Decimal(bound) / unit:f}"
            for sign, holds in (
                (">=", count >= bound), ("<=", count <= bound), ("==", count == bound),
                (">", count > bound), ("<", count < bound),
            ):  # fmt: skip
                asked = parse_expression(f"{name} {sign} {written}", [name])
                assert asked.holds({}, {name: found}) is holds, f"{count}: {asked.text}"


@given(st.integers(0, 10**14))
def test_a_table_shows_the_same_decimal(count: int) -> None:
    assert scale_count("params", float(count)) == ("params_m", float(Decimal(count) / 10**6))
    key, value = scale_count("macs_vmamba", float(count))
    assert (key, value) == ("macs_vmamba_g", float(Decimal(count) / 10**9))


@given(*(st.decimals(-1000, 1000, places=4) for _ in range(2)), st.integers(1, 1000))
def test_arithmetic_is_of_decimals(a: Decimal, b: Decimal, n: int) -> None:
    found = {"loss": float(a), "params_m": float(b)}
    known = list(found)
    for text in (f"loss + params_m == {a + b:f}", f"loss - params_m == {a - b:f}",
                 f"loss * {n} == {a * n:f}", f"loss * 1 / {n} <= loss / {n}",
                 f"{n} / 3 * 3 == {n}", f"loss in [params_m, {a:f}]"):  # fmt: skip
        assert parse_expression(text, known).holds({}, found) is True, text


def test_fields_are_the_decimals_that_they_are_written_as() -> None:
    stages = [{"mlp_ratio": 1.3}, {"mlp_ratio": 2.0}]
    for text in ("stages[0].mlp_ratio == 1.3", "stages[*].mlp_ratio == [1.3, 2]",
                 "stages[0].mlp_ratio * 3 == 3.9", "sum(stages[*].mlp_ratio) <= 3.3"):  # fmt: skip
        assert parse_expression(text).holds({"stages": stages}, {}) is True, text


def test_a_value_that_is_not_finite_compares_as_such() -> None:
    asked = parse_expression("loss <= 2.5", ["loss"])
    assert asked.holds({}, {"loss": float("inf")}) is False
    assert asked.holds({}, {"loss": float("nan")}) is False


numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**60), 2**60),
    st.integers(-4, 4),
    st.sampled_from([0.1, 0.30000000000000004, 1e23, 10**23, float(2**53), 2**53 + 1]),
)


def decimal_of(number: float) -> Fraction:
    return Fraction(repr(number)) if isinstance(number, float) else Fraction(number)


@example(1e23, 10**23)
@example(float(2**53), 2**53 + 1)
@example(0.1 + 0.2, 0.3)
@given(numbers, numbers)
def test_numbers_compare_as_the_decimals_that_they_are_written_as(a: float, b: float) -> None:
    one, other = decimal_of(a), decimal_of(b)
    for sign, holds in (
        (">=", one >= other), ("<=", one <= other), ("==", one == other), ("!=", one != other),
        (">", one > other), ("<", one < other), ("+ 0 <=", one <= other),
        ("in [1,", one in (1, other)),
    ):  # fmt: skip
        text = f"loss {sign} params_m" + "]" * sign.startswith("in")
        asked = parse_expression(text, ["loss", "params_m"])
        assert asked.holds({}, {"loss": a, "params_m": b}) is holds, asked.text
    least = parse_expression("min(loss, params_m) == loss", ["loss", "params_m"])
    assert least.holds({}, {"loss": a, "params_m": b}) is (one <= other)


@given(st.floats(-1e300, 1e300), st.sampled_from([1e-6, 1e-9, 0.1, 3.7, 1e6]))
def test_a_quantity_is_the_float_nearest_to_its_decimal(value: float, factor: float) -> None:
    found = Quantity("x", "X", source="y", factor=factor).of(value)
    assert found == float(Fraction(value) * Fraction(repr(factor)))
