"""Corrected tests of an ablation over paired seeds, on differences with known answers."""

import pytest

from evnas.record import Record
from evnas.search.results.effects import effect_lines, effects, holm
from evnas.search.state.history import History
from evnas.sweep.search_spec import ObjectiveSpec


def history(rows: dict[str, list[float]]) -> History:
    found = History(
        objectives=(
            ObjectiveSpec(metric="params", goal="min"),
            ObjectiveSpec(metric="top1_percent", goal="max"),
        )
    )
    for label, (origin, values) in enumerate(rows.items()):
        for seed, value in enumerate(values):
            found.take(
                Record(
                    label=str(label), digest=origin, arch={}, phase="proxy", status="complete",
                    seed=seed, budget=10.0, values={"top1_percent": value}, origin=origin,
                )
            )  # fmt: skip
    return found


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_real_effect_is_distinguished_from_noise() -> None:
    base = [70.0, 71.0, 69.5, 70.4, 70.9, 69.9, 70.2, 70.7]
    noise = [0.1, -0.2, 0.15, -0.05, 0.02, -0.12, 0.07, 0.01]
    found = effects(
        history(
            {
                "base": base,
                "better": [b + 1 + n for b, n in zip(base, noise, strict=True)],
                "same": [b + n for b, n in zip(base, noise, strict=True)],
                "short": [base[0] + 2.0],
            }
        ),
        "top1_percent",
    )
    better, same, short = found
    assert better.test == same.test == "Wilcoxon signed rank"
    assert better.difference == pytest.approx(1 + sum(noise) / 8)
    assert better.p_value == pytest.approx(2 / 2**8)  # all eight signs agree
    assert better.p_holm == pytest.approx(3 * 2 / 2**8)
    assert same.p_holm > 0.5
    assert (short.pairs, short.p_value) == (1, 1.0)


def test_few_pairs_take_the_paired_t() -> None:
    found = effects(history({"base": [1.0, 2.0, 3.0], "row": [2.0, 3.1, 3.9]}), "top1_percent")
    assert found[0].test == "paired t"
    (line,) = effect_lines(found, "top1_percent")
    assert line.startswith("row: top1_percent +1 over 3 paired seeds, p = ")
    assert found[0].p_value == pytest.approx(0.0033, abs=0.0005)  # t = 17.3, 2 degrees


def test_no_base_no_effects() -> None:
    assert effects(history({"row": [1.0]}), "top1_percent") == []


@pytest.mark.parametrize("pairs", [2, 3, 5, 6, 7, 12])
def test_a_constant_difference_is_tested(pairs: int) -> None:
    base = [60.1 + 0.7 * i for i in range(pairs)]  # less 2.0 they differ in the last bits
    (found,) = effects(history({"base": base, "row": [b - 2.0 for b in base]}), "top1_percent")
    assert found.difference == pytest.approx(-2.0)
    assert found.p_value == pytest.approx(2.0 ** (1 - pairs))  # all signs agree, nothing else
    assert found.test == "Wilcoxon signed rank"


def test_no_difference_is_no_effect() -> None:
    found = effects(history({"base": [61.3] * 7, "row": [61.3] * 7}), "top1_percent")
    assert (found[0].p_value, found[0].test) == (1.0, "none: all pairs are equal")


def test_a_difference_that_is_often_the_same_keeps_its_exact_test() -> None:
    base = [60.0, 61.0, 62.0, 63.0, 64.0, 65.0, 66.0]
    moved = [b - 2.0 for b in base[:5]] + base[5:]
    (found,) = effects(history({"base": base, "row": moved}), "top1_percent")
    assert found.p_value == pytest.approx(2 / 2**5)  # two pairs say nothing
