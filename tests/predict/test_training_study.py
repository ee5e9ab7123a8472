"""The rule that picks which printed architectures are trained for longer, and its trainings."""

import dataclasses
import importlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmark_modules import STUDY, benchmark

from evnas.predict.printed import printed_architectures
from evnas.proxy.budget import ProxyBudget
from evnas.proxy.data import load_data


@pytest.fixture(scope="module")
def rows() -> Iterator[Any]:
    with benchmark("rows") as module:
        yield module


def test_a_paper_gives_its_ends_and_its_nearest_pair(rows: Any) -> None:
    counts = {
        "P": {"least": 1e9, "b": 2e9, "c": 3e9, "d": 3.1e9, "most": 5e9, "beyond": 9e9},
        "Q": {"x": 1e9, "y": 2e9, "z": 4e9},
    }
    # then all that is left of P, since there are fewer than 16
    assert rows.chosen(counts) == ("least", "c", "d", "most", "b", "x", "y", "z")


def test_of_those_left_the_farthest_is_taken(rows: Any) -> None:
    many = {f"n{i:02}": 1e9 * 1.02**i for i in range(20)} | {"alone": 3e9, "z": 7e9}
    taken = rows.chosen({"P": many})
    assert len(taken) == rows.COUNT
    assert taken[0] == "n00" and taken[3:5] == ("z", "alone")


def test_every_paper_has_three_and_a_pair_of_equal_flops(rows: Any) -> None:
    counts = rows.counts_by_paper()
    taken = rows.chosen(counts)
    assert len(taken) == len(set(taken)) == 16
    for of in counts.values():
        own = sorted(of[name] for name in taken if name in of)
        assert len(own) >= 3
    pairs = [
        (a, b)
        for of in counts.values()
        for a in taken
        for b in taken
        if a < b and a in of and b in of and abs(of[a] / of[b] - 1) < 0.05
    ]
    assert len(pairs) >= 3


def test_what_is_trained(rows: Any) -> None:
    train = importlib.import_module("train")
    cells = train.trainings()
    assert len(cells) == len({cell.key for cell in cells}) == 54 + 2 * 16 + 16
    assert cells == sorted(cells, key=lambda cell: cell.macs * cell.presentations)
    for cell in cells[:3]:
        proxy = train.proxy_of(arch_of(cell.name), 3_000, cell.data)
        assert proxy.presentations == 3_000 and proxy.data == cell.data
    images = load_data("fashion-mnist-12k", resolution=56, device="cpu")
    assert len(images.train) == train.LARGEST_EPOCH
    for cell in cells:
        proxy = train.proxy_of(arch_of(cell.name), cell.presentations, cell.data)
        names = ("epochs", "images_per_epoch", "batch_size", "points_per_epoch")
        budget = ProxyBudget(**{name: getattr(proxy, name) for name in names})
        assert budget.presentations(len(images.train)) == cell.presentations


def arch_of(name: str) -> Any:
    return next(p.candidate.arch for p in printed_architectures() if p.name == name)


@pytest.fixture(scope="module")
def figures(rows: Any) -> Any:
    return importlib.import_module("figures")


@pytest.fixture(scope="module")
def signals(rows: Any) -> Any:
    return importlib.import_module("signals")


@pytest.fixture(scope="module")
def held_out(figures: Any) -> Any:
    found = figures.kept_predictions(figures.PREDICTED, figures.study_rows())
    assert found is not None, "run benchmarks/training_study/figures.py --write"
    return found


def line_of(name: str, top1: float, **other: Any) -> dict[str, Any]:
    """A line as `train.py` writes it; `other` replaces fields."""
    presentations = int(other.get("presentations", 3_000))
    points = [
        {"images": presentations * i // 10, "top1_percent": top1 * i / 10, "seconds": 6.0 * i}
        for i in range(1, 11)
    ]
    plain = {"name": name, "presentations": presentations, "seed": 0, "status": "complete",
             "values": {"top1_percent": top1}, "curve": points, "seconds": 60.0,
             "cpu_seconds": 120.0, "threads": 2, "torch": "2",
             "digest": f"of {name}", "machine": "a processor", "date": "2027-01-01"}  # fmt: skip
    return plain | other


def test_the_page_holds_what_the_curves_say(figures: Any, held_out: Any) -> None:
    """Of the trainings that it speaks of, which are at least those that are committed: a campaign
    under way adds more."""
    section = importlib.import_module("page_section").section_of(figures.PAGE, figures.SECTION)
    spoken_of = int(section.split("first ")[1].split(" ")[0])
    lines = figures.lines_in(figures.CURVES)
    assert committed_lines(figures.CURVES) <= spoken_of <= len(lines), "run figures.py --write"
    first = figures.lines_in(figures.first_curves(figures.CURVES))
    assert section == figures.markdown(lines[:spoken_of], held_out, figures.study_rows(), first)


def committed_lines(file: Path) -> int:
    """Lines of the file as the last commit has it; 0 where there is none."""
    root = STUDY.parents[1]
    name = f"HEAD:{file.relative_to(root).as_posix()}"
    found = subprocess.run(["git", "show", name], cwd=root, capture_output=True, check=False)
    return len(found.stdout.splitlines())


def test_kept_predictions_are_those_of_fits_without_the_row(
    figures: Any, signals: Any, held_out: Any
) -> None:
    again = signals.predicted_without("VMamba", figures.study_rows())
    said = "run figures.py --write --refit"
    assert again == pytest.approx(held_out["VMamba"][signals.ALONE], abs=0.01), said
    for recipe, each in held_out.items():
        of = {row.printed.name for row in figures.study_rows() if row.printed.recipe == recipe}
        assert set(each[signals.ALONE]) == of and not of & set(each[signals.OTHERS])


def test_a_line_without_data_is_of_the_usual_images(figures: Any) -> None:
    cells = importlib.import_module("cells")
    line = line_of("efficientvim_m1", 70.0)
    assert cells.key_of(line) == ("efficientvim_m1", cells.USUAL_DATA, 3_000, 0)
    assert cells.key_of(line | {"data": cells.HARDER_DATA})[1] == cells.HARDER_DATA


def signal_named(figures: Any, name: str) -> Any:
    return next(s for s in figures.SIGNALS if s.name == name)


def test_signals_of_a_curve(figures: Any, signals: Any) -> None:
    line = line_of("efficientvim_m1", 70.0)
    found = {
        s.name: s.of_line(line)
        for s in figures.SIGNALS
        if s.presentations == 3_000 and s.data == "fashion-mnist-12k"
    }
    assert found["top-1 after 3,000"] == 70
    assert found["top-1 at 1,500 of 3,000"] == 35
    assert found["area under the curve to 3,000"] == pytest.approx(38.5)
    assert signals.cpu_minutes(line, 0) == 2 and signals.cpu_minutes(line, 1_500) == 1
    line["curve"][-1]["seconds"] *= 40  # stopped for a while: the clock went on, the CPU did not
    assert signals.cpu_minutes(line, 1_500) == 1


def test_the_clock_of_a_shared_machine_is_no_cpu_time(figures: Any, held_out: Any) -> None:
    rows = figures.study_rows()
    signal = signal_named(figures, "top-1 after 3,000")
    lines = [line_of(row.printed.name, 70.0) for row in rows]
    for line in lines[1:]:
        del line["cpu_seconds"]
    found = figures.trained(signal, lines, rows, held_out)
    assert found.rows == len(rows) and found.mean_minutes == 2
    assert figures._minutes(found) == "2.0 (of 1)"
    assert figures._minutes(figures.trained(signal, lines[1:], rows, held_out)) == "not taken"


def lines_like_the_truth(figures: Any, slope: float = 1.0) -> list[dict[str, Any]]:
    """Trainings that order all rows as print does, or the other way round."""
    return [line_of(r.printed.name, 50 + slope * (r.printed.top1_percent - 80))
            for r in figures.study_rows()]  # fmt: skip


def on_overall(figures: Any, held_out: Any, lines: Any) -> tuple[Any, Any]:
    """(added, alone) of top-1 after 3,000, on all pairs."""
    rows = figures.study_rows()
    found = figures.trained(signal_named(figures, "top-1 after 3,000"), lines, rows, held_out)
    base = [figures.predicted(row, held_out) for row in rows]
    truth = [row.printed.top1_percent for row in rows]
    every = figures.scopes(
        [row.printed.recipe for row in rows], [row.inputs["macs_exact"] for row in rows]
    )["overall"]
    return tuple(figures.compared(c, base, truth, every)
                 for c in (found.with_prediction, found.values))  # fmt: skip


def test_training_that_orders_as_print_helps(figures: Any, held_out: Any) -> None:
    added, alone = on_overall(figures, held_out, lines_like_the_truth(figures))
    assert alone.tau.tau == 1 and alone.verdict == "better"
    assert added.verdict == "better" and added.tau.tau > added.alone.tau


def test_training_that_says_nothing_is_not_said_to_help(figures: Any, held_out: Any) -> None:
    lines = [line_of(row.printed.name, 50 + (37 * i) % 54 / 10)
             for i, row in enumerate(figures.study_rows())]  # fmt: skip
    added, alone = on_overall(figures, held_out, lines)
    assert alone.verdict == "worse"
    assert added.verdict in ("cannot tell", "worse")


def test_no_row_is_predicted_by_what_saw_it(figures: Any, signals: Any, held_out: Any) -> None:
    rows = list(figures.study_rows())
    values = [50 + row.printed.top1_percent for row in rows]
    before = signals.with_signal(values, rows, held_out)
    at = next(i for i, row in enumerate(rows) if row.printed.recipe == "VSSD")
    printed = dataclasses.replace(rows[at].printed, top1_percent=10.0)
    rows[at] = dataclasses.replace(rows[at], printed=printed)
    after = signals.with_signal(values, rows, held_out)
    assert after[at] == before[at]
    other = next(i for i, row in enumerate(rows) if row.printed.recipe == "VMamba")
    assert after[other] != before[other]  # it was fitted to that row


def test_the_fit_on_a_signal_rests_on_predictions_that_do_not_know_the_recipe(
    figures: Any, signals: Any, held_out: Any
) -> None:
    rows = figures.study_rows()
    values = [50 + row.printed.top1_percent for row in rows]
    at = next(i for i, row in enumerate(rows) if row.printed.recipe == "VSSD")
    before = signals.with_signal(values, rows, held_out)[at]

    def without(recipe: str, kind: str) -> float:
        """The same row's figure where what that fit says is turned round."""
        of = held_out[recipe]
        turned = {name: 160 - top1 for name, top1 in of[kind].items()}
        changed = {**held_out, recipe: {**of, kind: turned}}
        found: float = signals.with_signal(values, rows, changed)[at]
        return found

    for recipe, kind in (("VMamba", signals.ALONE), ("VMamba", signals.OTHERS)):
        assert without(recipe, kind) == before  # whose fits may have seen the row's recipe
    assert without("VSSD", signals.OTHERS) != before


def test_what_is_missing_is_shown_as_missing(figures: Any, held_out: Any) -> None:
    rows = figures.study_rows()
    few = [line_of(row.printed.name, 50.0 + i) for i, row in enumerate(rows[:5])]
    failed = line_of(rows[5].printed.name, 0.0, status="diverged", values={}, curve=[])
    text = figures.markdown([*few, failed], held_out, rows)
    assert "fashion-mnist-12k, 3,000 presentations: 5 of 54; missing:\n" in text
    assert f"{rows[5].printed.name} (diverged)" in text
    assert "No answer yet" in text and "- missing: top-1 at 3,000 of 30,000; " in text
    assert "top-1 after 3,000 (5)" in text  # five rows are less than eight
    assert "| signal |" not in text  # no table without a row


def test_every_missing_cell_is_named(figures: Any, held_out: Any) -> None:
    """By name, with its seed where the other is there, or as all of a paper."""
    rows = figures.study_rows()
    long = line_of("efficientvim_m1", 80.0, presentations=30_000, seed=1)
    text = figures.markdown([long, line_of("vssd_micro", 50.0)], held_out, rows)
    short, _, longer = (part.split("\n\n")[0] for part in text.split("presentations: ")[1:])
    assert short.startswith("1 of 54") and longer.startswith("1 of 32")
    counts = importlib.import_module("rows").counts_by_paper()
    for paper, of in counts.items():
        if paper == "VSSD":
            names = short.split("- VSSD: ")[1].split("\n")[0].split(", ")
            assert sorted(names) == sorted(of.keys() - {"vssd_micro"})
        else:
            assert f"    - {paper}: all {len(of)}\n" in short
    own = longer.split("- EfficientViM: ")[1].split("\n")[0].split(", ")
    taken = importlib.import_module("rows").chosen(counts)
    others = [
        name for name in counts["EfficientViM"] if name in taken[:] and name != "efficientvim_m1"
    ]
    assert sorted(own) == sorted(["efficientvim_m1 (seed 0)", *others])


def answer_in(text: str) -> str:
    """What is said in bold of training added."""
    return text.split("**Training added to the prediction: ")[1].split("\n")[0]


def test_the_answer_is_better_worse_or_cannot_tell(figures: Any, held_out: Any) -> None:
    rows = figures.study_rows()
    helps = figures.markdown(lines_like_the_truth(figures), held_out, rows)
    assert answer_in(helps).startswith("better in ")
    assert "Nothing shows so far" not in helps
    nothing = [line_of(row.printed.name, 50 + (37 * i) % 54 / 10) for i, row in enumerate(rows)]
    text = figures.markdown(nothing, held_out, rows)
    assert "cannot tell" in answer_in(text) and "better" not in answer_in(text)
    assert "Nothing shows so far" in text


def compared_of(signals: Any, low: float, gain: float, high: float) -> Any:
    """A comparison with a predictor of tau 0.77, on 18 rows."""
    of = importlib.import_module("evnas.stats.rank_correlation").Agreement
    return signals.Compared(
        alone=of(0.5, 0.77, 0.9, 18), tau=of(0.5, 0.77 + gain, 1.0, 18),
        gain=of(low, gain, high, 18), pairs=153,
    )  # fmt: skip


def test_an_aim_is_reached_excluded_or_neither(figures: Any, signals: Any) -> None:
    for (low, gain, high), said in (
        ((0.05, 0.08, 0.2), "+0.85: reached"),
        ((-0.11, 0.0, 0.07), "+0.77: +0.08 needed, excluded"),
        ((-0.11, 0.0, 0.12), "+0.77: +0.08 needed, not excluded"),
    ):
        assert figures._reached(compared_of(signals, low, gain, high), 0.85) == said
    by_itself = compared_of(signals, -0.11, -0.05, 0.1)
    assert figures._reached(by_itself, 0.7) == "+0.72: reached; the predictor alone reaches it"
    assert figures._reached(by_itself, 0.75) == "+0.72: missed; the predictor alone reaches it"


def test_a_gain_is_divided_by_the_time_of_its_own_rows_alone(
    figures: Any, signals: Any, held_out: Any
) -> None:
    rows = figures.study_rows()
    signal = signal_named(figures, "top-1 after 3,000")
    lines = [line_of(row.printed.name, 70.0) for row in rows]
    better = compared_of(signals, 0.05, 0.1, 0.2)
    assert figures._per_minute(figures.trained(signal, lines, rows, held_out), better) == "+0.050"
    del lines[0]["cpu_seconds"]
    found = figures.trained(signal, lines, rows, held_out)
    assert figures._per_minute(found, better) == "not taken"


def test_what_a_comparison_rests_on(figures: Any, signals: Any, held_out: Any) -> None:
    """Seven rows of one recipe that are ordered as in print, and eight of another that are not."""
    rows = figures.study_rows()
    vmamba, evim = (
        [r for r in rows if r.printed.recipe == of] for of in ("VMamba", "EfficientViM")
    )
    lines = [line_of(r.printed.name, r.printed.top1_percent) for r in vmamba[:7]]
    lines += [line_of(r.printed.name, 150 - r.printed.top1_percent) for r in evim[:8]]
    text = figures.markdown(lines, held_out, rows).replace("\n", " ")
    assert "the smallest of these fits has 7 rows" in text and "does not fit again" in text
    assert "No row is there yet of " in text and "VSSD (5 of the 54)" in text
    of_vmamba = text.split("| VMamba | 7 of 27 | 8 |")[1].split("|")
    assert of_vmamba[1] == " +1.00 "  # too few rows for an interval
    of_evim = text.split("| EfficientViM | 8 of 12 | 7 |")[1].split("|")
    assert of_evim[1].startswith(" -1.00 [")


def test_cells_that_were_trained_twice(figures: Any, held_out: Any) -> None:
    rows = figures.study_rows()
    names = [row.printed.name for row in rows[:4]]
    now = [line_of(name, 70.0, revision="abc1234") for name in names]
    first = [line_of(name, top1, machine="another") for name, top1 in
             zip(names[:3], (71.0, 67.5, 70.25), strict=True)]  # fmt: skip
    first.append(line_of(names[3], 0.0, status="diverged", values={}, curve=[]))
    diverged = line_of(rows[4].printed.name, 0.0, status="diverged", values={}, curve=[])
    first.append(line_of(rows[4].printed.name, 70.0))
    now.append(diverged)
    now.append(line_of(rows[5].printed.name, 70.0))
    first.append(line_of(rows[5].printed.name, 60.0, digest="another architecture"))
    text = figures.markdown(now, held_out, rows, first).replace("\n", " ")
    assert "3 cells of these were trained twice" in text
    assert "1.00 points apart at the median, 2.50 at most on fashion-mnist-12k" in text
    assert "another, 2027-01-01, revision not written" in text and "revision abc1234" in text
    assert "trained twice" not in figures.markdown(now, held_out, rows)
    absent = figures.lines_in(figures.first_curves(Path("there is none/curves.jsonl")))
    assert absent == []


def test_figures_do_not_depend_on_the_order_of_trainings(figures: Any, held_out: Any) -> None:
    lines = lines_like_the_truth(figures)
    rows = figures.study_rows()
    assert figures.markdown(lines, held_out, rows) == figures.markdown(lines[::-1], held_out, rows)
