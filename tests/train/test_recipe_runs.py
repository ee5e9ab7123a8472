"""The benchmark that trains by a recipe with epochs cut: its figures are those of its curves."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import benchmark_modules
import pytest

from evnas.errors import DataError


@pytest.fixture(scope="module")
def benchmark() -> Iterator[Any]:
    with benchmark_modules.benchmark("recipe_runs") as module:
        yield module


def line_of(benchmark: Any, run: Any, top1: float, **other: Any) -> dict[str, Any]:
    """A line as the benchmark writes it; `other` replaces fields."""
    point = {"images": 10_000, "loss": 1.0, "top1_percent": top1, "ema_top1_percent": top1 - 1}
    plain = {"name": run.name, "way": run.way, "epochs": run.epochs, "seed": run.seed,
             "digest": "0", "params": 500_000, "macs": 5_000_000, "status": "complete",
             "error": "", "curve": [{**point, "top1_percent": 10.0}, point], "seconds": 60.0,
             "settings": benchmark.settings(), "threads": 1, "torch": "2", "machine": "x",
             "date": "2026-01-01"}  # fmt: skip
    return plain | other


def lines_of(benchmark: Any, top1: dict[tuple[str, int], float]) -> list[dict[str, Any]]:
    """Every run; those of winner and M1 with all seeds as `top1` has them, the others 70."""
    compared = {(name, "recipe", benchmark.SOME, seed): value
                for (name, seed), value in top1.items()}  # fmt: skip
    return [line_of(benchmark, run, compared.get(run.key, 70.0)) for run in benchmark.runs()]


def test_every_seed_has_both_networks(benchmark: Any) -> None:
    runs = benchmark.runs()
    assert len({run.key for run in runs}) == len(runs)
    for name in (benchmark.M1, benchmark.WINNER):
        seeds = {run.seed for run in runs if run.key[:3] == (name, "recipe", benchmark.SOME)}
        assert seeds == set(benchmark.SEEDS)


def test_the_winner_is_as_fast_as_m1_and_predicted_best(benchmark: Any) -> None:
    winner = benchmark.winner()
    assert winner["speed"] > 1 and winner["label"] == "682"
    assert benchmark.tiny(benchmark.WINNER).digest != benchmark.tiny(benchmark.M1).digest


@pytest.mark.parametrize(
    ("winner", "want"),
    [
        ((75.0, 75.5, 76.0), "+5.5 [+4.3, +6.7] points, .* here the winner is better than M1"),
        ((65.0, 64.5, 64.0), "-5.5 [-6.7, -4.3] points, .* here the winner is worse than M1"),
        ((60.0, 70.5, 81.0), "here the winner cannot be told from M1"),
    ],
)
def test_a_difference_is_told_by_its_interval_over_seeds(
    benchmark: Any, winner: tuple[float, ...], want: str
) -> None:
    top1 = {(benchmark.WINNER, seed): value for seed, value in enumerate(winner)}
    text = benchmark.markdown(lines_of(benchmark, top1))
    for part in want.split(" .* "):
        assert part in text
    assert "are not there yet" not in text


def test_means_are_over_the_seeds_of_the_difference(benchmark: Any) -> None:
    top1 = {(benchmark.WINNER, 0): 75.0, (benchmark.WINNER, 1): 76.0, (benchmark.WINNER, 2): 99.0}
    lines = lines_of(benchmark, top1)
    of_m1 = (benchmark.M1, "recipe", benchmark.SOME, 2)
    text = benchmark.markdown([line for line in lines if benchmark.key_of(line) != of_m1])
    assert "2 seeds each: 75.5 % and 70.0 %, a difference of +5.5" in text


def test_what_a_recipe_reaches_beside_the_proxy(benchmark: Any) -> None:
    runs = {run.key: run for run in benchmark.runs()}
    reached = {("proxy", benchmark.USUAL_PROXY): 70.0, ("recipe", benchmark.FEW): 60.0,
               ("recipe", benchmark.SOME): 71.0, ("recipe", benchmark.MANY): 80.0}  # fmt: skip
    lines = [line_of(benchmark, runs[benchmark.M1, way, epochs, 0], value)
             for (way, epochs), value in reached.items()]  # fmt: skip
    text = benchmark.markdown(lines)
    few, some, many = map(benchmark.epochs_of, (benchmark.FEW, benchmark.SOME, benchmark.MANY))
    assert (
        f"after {few} 60.0 % (less), after {some} 71.0 % (no difference that can be told), after "
        f"{many} 80.0 % (more)"
    ) in text
    assert "More epochs gave more each time." in text
    assert f"{len(runs) - 4} of {len(runs)} trainings are not there yet." in text
    assert benchmark.figure(lines).count("<polyline") == 5  # that of `SOME` stands in both panels


def test_lines_of_other_settings_are_refused(benchmark: Any, tmp_path: Path) -> None:
    file = tmp_path / "curves.jsonl"
    line = line_of(benchmark, benchmark.runs()[0], 70.0, settings={"width": 1.0})
    file.write_text(benchmark.json.dumps(line) + "\n")
    with pytest.raises(DataError, match=r"curves\.jsonl:1 must be trained with .*name another"):
        benchmark.lines_in(file)


def test_the_guide_holds_what_the_curves_say(benchmark: Any) -> None:
    from page_section import section_of

    lines = benchmark.lines_in(benchmark.CURVES)
    assert lines
    assert section_of(benchmark.PAGE, benchmark.SECTION) == benchmark.markdown(lines)
    assert benchmark.FIGURE.read_text() == benchmark.figure(lines)
