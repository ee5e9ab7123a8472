"""The check of a search: who is trained, that the order is written first, and what it may say."""

import argparse
import importlib
import random
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from benchmark_modules import BENCHMARKS, benchmark

from evnas.arch.catalog import entry
from evnas.errors import SpecError
from evnas.record import Measurement, Record
from evnas.store import Store

TARGET = "cpu-torch-224-b8-float32"


@pytest.fixture(scope="module")
def check() -> Iterator[Any]:
    with benchmark("search_check") as module:
        yield module


def known(check: Any, number: int, predicted: float, speed: float, **other: Any) -> Any:
    draws = tuple(predicted + random.Random(number * 1_000 + i).gauss(0, 0.2) for i in range(256))
    plain = {"label": str(number), "digest": f"d{number}", "arch": {}, "predicted": predicted,
             "low": predicted - 1, "high": predicted + 1, "draws": draws,
             "speed": speed}  # fmt: skip
    return check.Known(**{**plain, **other})


@pytest.fixture
def anchor(check: Any) -> Any:
    digest = entry("efficientvim_m1").arch.digest
    return known(check, 0, 73.0, 1.0, digest=digest, role="efficientvim_m1")


def test_the_best_are_fast_and_the_drawn_are_as_fast_as_they(check: Any, anchor: Any) -> None:
    slow = [known(check, 10 + i, 80.0, 0.8) for i in range(4)]
    best = [known(check, 20 + i, 76.0 + i, 1.2) for i in range(3)]
    equal = [known(check, 30 + i, 74.0, 1.18 + 0.01 * i) for i in range(5)]
    far = [known(check, 40 + i, 75.0, 1.6) for i in range(4)]
    chosen, band, notes = check.choice([*slow, *best, *equal, *far], anchor, draw_seed=0)
    roles = {one.label: one.role for one in chosen}
    assert [label for label, role in roles.items() if role == "best"] == ["22", "21", "20"]
    drawn = {label for label, role in roles.items() if role == "drawn"}
    assert len(drawn) == 3 and drawn <= {one.label for one in equal}
    assert (band, notes) == (check.BAND, [])
    assert [one.predicted for one in chosen] == sorted((o.predicted for o in chosen), reverse=True)
    others = {frozenset(o.label for o in check.choice([*best, *equal], anchor, draw_seed=s)[0])
              for s in range(8)}  # fmt: skip
    assert len(others) > 1  # the seed decides


def test_a_wider_band_and_slower_ones_are_said(check: Any, anchor: Any) -> None:
    every = [known(check, 1 + i, 73.0 + i, 0.7 + 0.1 * i) for i in range(6)]
    chosen, band, notes = check.choice(every, anchor, draw_seed=0)
    assert len(chosen) == 7 and band > check.BAND and len(notes) == 1
    slower = [replace(one, speed=one.speed / 2) for one in every]
    assert "slower ones stand in" in " ".join(check.choice(slower, anchor, draw_seed=0)[2])
    with pytest.raises(SpecError, match="needs 6 candidates beside M1, got 5"):
        check.choice(every[:5], anchor, draw_seed=0)


def records_of(number: int, predicted: float, speed: float) -> Iterator[Record]:
    arch = entry("efficientvim_m1").arch if number == 0 else entry("efficientvim_m2").arch
    common: Any = {"label": str(number), "digest": arch.digest if number == 0 else f"d{number}",
              "arch": arch.to_dict(), "status": "complete"}  # fmt: skip
    name = "predicted_top1_percent"
    values = {name: predicted, "predicted_top1_low_percent": predicted - 1,
              "predicted_top1_high_percent": predicted + 1}  # fmt: skip
    draws = [predicted + random.Random(i).gauss(0, 0.2) for i in range(256)]
    yield Record(**common, phase="predict", values=values, details={"draws": {name: draws}})
    ratios = Measurement("throughput_ratio", (speed, speed, speed))
    yield Record(**common, phase="speed", target=TARGET, measurements={"throughput_ratio": ratios})


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    with Store.create(folder / "study.db", sweep={}, environment={}) as store:
        for number in range(9):
            for record in records_of(number, 73.0 + number, 1.0 + 0.01 * number):
                store.append(record)
    return folder


def given(check: Any, study: Path, *more: str) -> argparse.Namespace:
    arguments = [str(study), "--out", str(study / "check.json"), *more]
    found: argparse.Namespace = check.arguments().parse_args(arguments)
    return found


def trained(check: Any, begun: Any, top1: Any, seeds: int = 3) -> None:
    """Trainings that give `top1(candidate)`, a little otherwise each seed."""
    begun.lines += [
        {"label": one.label, "seed": seed, "status": "complete", "seconds": 1.0,
         "values": {"top1_percent": top1(one) + 0.1 * seed + 0.02 * (seed * int(one.label) % 3)}}
        for seed in range(seeds) for one in begun.chosen
    ]  # fmt: skip


def test_the_order_is_written_before_a_training_and_kept(check: Any, study: Path) -> None:
    first = check.begun(given(check, study))
    written = check.Check.read(study / "check.json")
    assert written == first and not written.lines
    assert [one.label for one in written.chosen if one.role == "best"] == ["8", "7", "6"]
    trained(check, written, lambda one: one.predicted)
    written.write(study / "check.json")
    again = check.begun(given(check, study))
    assert again.chosen == first.chosen and len(again.lines) == 21
    with pytest.raises(SpecError, match="name another --out"):
        check.begun(given(check, study, "--draw-seed", "1"))


def test_what_is_not_there_is_said_with_the_place(check: Any, study: Path) -> None:
    with pytest.raises(SpecError, match=rf"speeds of target cuda, it has {TARGET}"):
        check.begun(given(check, study, "--target", "cuda"))


def curves(slope: float) -> list[dict[str, Any]]:
    """Printed architectures trained alike, a trained point being worth 1 / slope printed ones."""
    from evnas.predict.published_signals import published_signals

    rows = [row.printed for row in published_signals() if not row.printed.candidate.timm]
    return [{"name": r.name, "presentations": 30_000, "seed": 0, "status": "complete",
             "values": {"top1_percent": slope * r.top1_percent}} for r in rows]  # fmt: skip


def test_an_order_that_is_borne_out(check: Any, study: Path) -> None:
    begun = check.begun(given(check, study))
    assert "cannot tell, fewer than three" in check.report(begun, [])
    trained(check, begun, lambda one: 40 + 0.5 * one.predicted)
    text = check.report(begun, curves(0.5))
    assert "tau +1.00" in text and "the orders agree" in text
    assert "so 0 % [" in text or "so -0 % [" in text or "so 1 % [" in text
    few = check.report(begun, curves(0.5)[:7])
    assert "predictor's error cannot be told: what a trained point is worth" in few
    assert "7 were trained so, at least 8 are needed" in few and "the best are better" in few
    assert "interval holds 0" not in few  # the prediction is sure of its sign


def test_a_gain_that_was_all_error(check: Any, study: Path) -> None:
    begun = check.begun(given(check, study))
    trained(check, begun, lambda one: 80.0)
    text = check.report(begun, curves(0.5))
    share = text.split("so ")[1].split(" %")[0]
    assert 95 <= int(share) <= 105
    assert "cannot tell which are better" in check.report(begun, [])


def test_every_reason_for_no_share_is_said(check: Any, study: Path) -> None:
    """What a trained point is worth first: more seeds and a surer prediction would leave it."""
    begun = check.begun(given(check, study))
    unsure = tuple(80 + random.Random(i).gauss(0, 5) for i in range(256))
    begun.chosen = [
        replace(one, draws=unsure if one.role == "best" else one.draws) for one in begun.chosen
    ]
    trained(check, begun, lambda one: -one.predicted)
    text = check.report(begun, [])
    reasons = text.split("cannot be told: ")[1].split("\n")[0]
    assert reasons.index("worth in printed points") < reasons.index("interval holds 0")
    assert "the best are worse" in text
    known_worth = check.report(begun, curves(0.5))
    assert "cannot be told: the predicted gain's own 95 % interval holds 0." in known_worth


def test_the_chance_of_a_predicted_gain_is_its_share_of_the_draws(check: Any) -> None:
    ours = [known(check, 1, 74.0, 1.0, draws=(1.0, 2.0, 3.0, 4.0))]
    theirs = [known(check, 2, 73.0, 1.0, draws=(2.0, 2.0, 2.0, 2.0))]
    groups = {"best": ours, "drawn": theirs}
    empty = check.Check(study="s", target=TARGET, draw_seed=0, band=0.05, presentations=30_000,
                        data="fashion-mnist-12k", notes=[], chosen=[])  # fmt: skip
    said_of = importlib.import_module("search_check_report")
    worth = said_of.Worth(rows=0, draws=None)
    said = said_of._about_gain(empty, groups, "best", "drawn", worth)
    assert "above 0 in 50 % of the joint draws; trained: missing" in said


def test_the_order_of_each_seed(check: Any, study: Path) -> None:
    begun = check.begun(given(check, study))
    trained(check, begun, lambda one: one.predicted)
    every = "Each seed alone: +1.00 with seed 0, +1.00 with seed 1, +1.00 with seed 2."
    assert every in check.report(begun, [])
    for line in begun.lines:  # the first seed alone turns the order round
        if line["seed"] == 0:
            line["values"]["top1_percent"] = 1_000 - 10 * line["values"]["top1_percent"]
    text = check.report(begun, [])
    assert "candidates: the orders disagree. Each seed alone: -1.00 with seed 0, +1.00" in text
    missing = begun.lines.pop()
    assert missing["seed"] == 2 and "with seed 2" not in check.report(begun, [])
    begun.lines = [line for line in begun.lines if line["seed"] < 1]
    assert "Each seed" not in check.report(begun, [])


def test_what_an_earlier_program_found_is_said(check: Any, study: Path) -> None:
    begun = check.begun(given(check, study))
    trained(check, begun, lambda one: 80.0)
    assert "earlier program" not in check.report(begun, [])
    label = begun.chosen[0].label
    now = begun.top1_of(label)[0]
    line = next(line for line in begun.lines if line["label"] == label and line["seed"] == 0)
    begun.first.append(line | {"values": {"top1_percent": now - 1.5}})
    begun.write(study / "check.json")
    text = check.report(check.Check.read(study / "check.json"), [])
    assert f"{label} seed 0: {now - 1.5:.2f} then {now:.2f}; 1.50 points apart" in text


def test_depth_is_set_beside_what_was_trained(check: Any, study: Path) -> None:
    begun = check.begun(given(check, study))
    assert "number of blocks" not in check.report(begun, [])
    shallow = entry("efficientvim_m1").arch.to_dict()
    for i, one in enumerate(begun.chosen):
        stages = [stage | {"depth": 1 + i} for stage in shallow["stages"]]
        begun.chosen[i] = replace(one, arch=shallow | {"stages": stages})
    trained(check, begun, lambda one: one.predicted)  # the highest prediction, the fewest blocks
    text = check.report(begun, [])
    blocks = text.split("the number of blocks ")[1].split(";")[0]
    assert blocks.startswith("-1.00") and ", -1.00" in blocks  # trained, predicted
    assert "| 3 hsm_ssd, 3 hsm_ssd, 3 hsm_ssd |" in text and "3,000 presentations" not in text
    few = [line | {"presentations": 3_000} for line in curves(0.5)]
    said = check.report(begun, few).split("3,000 presentations: the number of blocks ")[1]
    assert said.split(" ")[0] == said.split("trained top-1, ")[1].split(" ")[0]  # as print has it


def test_what_was_trained_elsewhere_too_is_set_beside_it(check: Any, study: Path) -> None:
    begun = check.begun(given(check, study))
    trained(check, begun, lambda one: 80.0)
    line = {"name": "efficientvim_m1", "digest": entry("efficientvim_m1").arch.digest, "seed": 1,
            "presentations": 30_000, "status": "complete",
            "values": {"top1_percent": 77.0}}  # fmt: skip
    said = "trained efficientvim_m1 alike, with the same seeds: seed 1: 80.1"
    assert said in check.report(begun, [line]) and "77.00 there" in check.report(begun, [line])
    label = next(one.label for one in begun.chosen if one.role == "efficientvim_m1")
    for own in (own for own in begun.lines if own["label"] == label):
        own["seconds"] = 12.25
    assert "77.00 there" in check.report(begun, [line])
    others: list[dict[str, Any]] = [
        {"seconds": 12.25}, {"presentations": 3_000}, {"data": "long_range_copy"}, {"seed": 9},
        {"digest": "other"},
    ]  # fmt: skip
    for other in others:
        assert "training study" not in check.report(begun, [line | other])


def test_two_seeds_give_no_interval(check: Any, study: Path) -> None:
    begun = check.begun(given(check, study))
    trained(check, begun, lambda one: one.predicted, seeds=2)
    assert "3 seeds of all are needed" in check.report(begun, curves(0.5))


def test_the_page_holds_what_the_check_says(check: Any) -> None:
    """With the trainings of the study that are committed, or more: a campaign under way adds."""
    page_section = importlib.import_module("page_section")
    file = BENCHMARKS.parent / "results/reference/search_cpu_2026-11-29/check.json"
    lines = check.lines_in(check.CURVES)
    kept, on_page = check.Check.read(file), page_section.section_of(check.PAGE, check.SECTION)
    said = {
        page_section.folded(check.report(kept, lines[:n])) + "\n"
        for n in range(committed_lines(check.CURVES), len(lines) + 1)
    }
    assert on_page in said, "run make figures"


def committed_lines(file: Path) -> int:
    """Lines of the file as the last commit has it; 0 where there is none."""
    root = BENCHMARKS.parent
    name = f"HEAD:{file.relative_to(root).as_posix()}"
    found = subprocess.run(["git", "show", name], cwd=root, capture_output=True, check=False)
    return len(found.stdout.splitlines())
