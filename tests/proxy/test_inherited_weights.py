"""The experiment on weights handed down: who is trained, and what its answer may say."""

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
from benchmark_modules import benchmark

from evnas.arch.catalog import entry


@pytest.fixture(scope="module")
def experiment() -> Iterator[Any]:
    with benchmark("inherited_weights") as module:
        yield module


def test_children_are_the_same_each_time_and_all_different(experiment: Any) -> None:
    parent, children = experiment.children()
    assert parent == entry("efficientvim_m1").arch
    digests = [child.digest for child in children]
    assert len({parent.digest, *digests}) == experiment.CHILDREN + 1
    assert digests == [child.digest for child in experiment.children()[1]]


def test_both_short_ways_cost_the_same(experiment: Any) -> None:
    of_kind: dict[str, int] = {}
    for cell in experiment.cells():
        if cell.kind != experiment.TRUTH:
            of_kind[cell.kind] = of_kind.get(cell.kind, 0) + cell.presentations
    inherited = of_kind[experiment.INHERITED] + experiment.SHORT  # the parent's own
    assert 1 <= of_kind[experiment.SCRATCH] / inherited < 1.02


def lines(experiment: Any, **top1: Any) -> list[dict[str, Any]]:
    """A line a cell, with the top-1 that its kind gives a child."""
    of = {experiment.INHERITED: top1["inherited"], experiment.SCRATCH: top1["scratch"],
          experiment.TRUTH: lambda child: 70.0 + child}  # fmt: skip
    return [
        {"child": cell.child, "kind": cell.kind, "seed": cell.seed, "status": "complete",
         "top1_percent": of[cell.kind](cell.child)}
        for cell in experiment.cells()
    ]  # fmt: skip


def test_a_better_order_is_said_to_be_better(experiment: Any) -> None:
    found = lines(experiment, inherited=lambda i: 60.0 + i, scratch=lambda i: (7 * i) % 16)
    text = experiment.report(found)
    assert "inherited | +1.00" in text and "they rank better" in text
    turned = lines(experiment, inherited=lambda i: (7 * i) % 16, scratch=lambda i: 60.0 + i)
    assert "they rank worse" in experiment.report(turned)


def test_equal_orders_cannot_be_told(experiment: Any) -> None:
    found = lines(experiment, inherited=lambda i: (5 * i) % 16, scratch=lambda i: (5 * i) % 16)
    assert "cannot tell" in experiment.report(found)


def test_too_few_give_no_answer(experiment: Any) -> None:
    found = lines(experiment, inherited=lambda i: i, scratch=lambda i: i)
    few = [line for line in found if line["child"] < 7]
    assert "No answer yet" in experiment.report(few)
    one_seed = [line for line in found if line["seed"] != 2]
    assert "long, from scratch 0" in experiment.report(one_seed)


def test_the_page_holds_what_is_kept(experiment: Any) -> None:
    page_section = importlib.import_module("page_section")
    said = page_section.folded(experiment.report(experiment.opened(experiment.OUT)["lines"]))
    assert page_section.section_of(experiment.PAGE, experiment.SECTION) == said, "run make figures"
