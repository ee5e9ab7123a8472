"""Top-1 with its interval: what seeds that agree can and cannot tell."""

import math
from dataclasses import replace

import pytest

from evnas.record import Record
from evnas.report.frame.accuracy import mean_top1, top1_difference
from evnas.report.table.cautions import about_search, about_trainings
from evnas.stats.interval import Interval
from evnas.stats.power import SeedNoise
from evnas.sweep.parts import ProxySpec
from evnas.sweep.trainings import at_chance, noise_of, wilson_interval


def trained(top1, *, seed=0, classes=3, images=300.0, label="A", budget=10.0, right=""):
    return Record(
        label=label, digest=label, arch={}, phase="proxy", status="complete", seed=seed,
        budget=budget, values={"top1_percent": top1, "held_out_images": images},
        details={"classes": classes, "correct_hex": right},
    )  # fmt: skip


def test_equal_seeds_say_no_more_than_their_images():
    seeds = [trained(60.0, seed=seed) for seed in range(2)]
    assert mean_top1(seeds) == wilson_interval(60.0, 300.0)
    apart = mean_top1([trained(60.0), trained(62.0, seed=1)])
    assert apart is not None
    assert apart.high - apart.low == pytest.approx(2 * 12.706, rel=1e-3)  # Student's, n = 2


def test_equal_differences_have_a_width_too():
    base = [trained(50.0, seed=seed, label="B") for seed in range(2)]
    found = top1_difference([trained(60.0, seed=seed) for seed in range(2)], base)
    assert found is not None and found.low < 10 < found.high
    assert top1_difference(base, base) == Interval(0.0, 0.0, 0.0)


def test_an_interval_is_of_the_noise_between_seeds_where_that_is_known():
    base = [trained(50.0 + s, seed=s, label="B") for s in range(3)]
    row = [trained(top1, seed=s) for s, top1 in enumerate((52.0, 52.9, 54.1))]
    noise = SeedNoise(1.0, "of this study", 20)
    own, known = top1_difference(row, base), top1_difference(row, base, noise)
    assert own is not None and known is not None and own.mid == known.mid
    half = 2.086 * math.sqrt(2 / 3)  # Student's for 20 degrees, of three seeds
    assert known.high - known.mid == pytest.approx(half, rel=1e-3)
    assert own.high - own.mid == pytest.approx(4.303 * 0.1 / math.sqrt(3), rel=1e-3)
    scattered = [trained(top1, seed=s) for s, top1 in enumerate((40.0, 70.0, 54.0))]
    assert top1_difference(scattered, base, noise) == top1_difference(scattered, base)


def test_one_seed_is_never_surer_than_the_noise_between_seeds():
    """A difference beyond what other images would change, which another seed may undo."""
    images, agreed = 2000.0, "f" * 450
    base = [trained(75.0, images=images, right=agreed + "0" * 50, label="A")]
    row = [trained(77.0, images=images, right=agreed + "f" * 10 + "0" * 40)]
    over_images = top1_difference(row, base)
    assert over_images is not None and over_images.low > 0
    found = top1_difference(row, base, SeedNoise(1.1, "shipped"))
    assert found is not None and found.low < 0 < found.high
    still = top1_difference(row, base, SeedNoise(0.01, "shipped"))
    assert still == over_images


def test_rows_that_have_learnt_nothing_make_no_noise_look_small():
    guesses = [[trained(100 / 3, seed=s, label=str(i)) for s in range(3)] for i in range(9)]
    learnt = [
        [trained(60.0 + i + s * (i - 1), seed=s, label=f"r{i}") for s in range(3)]
        for i in range(3)
    ]
    proxy = ProxySpec()
    alone, beside = (noise_of(rows, proxy, shown=10) for rows in (learnt, [*guesses, *learnt]))
    assert alone == beside and alone is not None and alone.freedom == 4


@pytest.mark.parametrize("classes", [2, 3, 6, 7, 10, 100])
def test_a_guess_of_one_class_is_at_chance_whatever_rounding_makes_of_it(classes):
    share = 100 * (1 / classes)
    for seeds in (1, 2, 3):
        for top1 in (share, 100 / classes, sum([share] * 7) / 7):
            records = [trained(top1, seed=s, classes=classes, images=8400.0) for s in range(seeds)]
            assert at_chance(records)
    assert not at_chance([trained(share + 10, classes=classes, images=8400.0)])


def test_seeds_that_have_learnt_are_not_at_chance_however_far_apart():
    assert not at_chance([trained(54.35, classes=10), trained(37.3, seed=1, classes=10)])
    assert at_chance([trained(9.0, classes=10), trained(12.0, seed=1, classes=10)])
    unsaid = [Record(label="A", digest="A", arch={}, phase="proxy", status="complete", seed=seed,
                     values={"top1_percent": top1}, details={"classes": 10})
              for seed, top1 in enumerate((40.0, 50.0))]  # fmt: skip
    assert not at_chance(unsaid)


def test_a_search_shows_what_an_ablation_shows():
    short = [trained(33.3, label=str(i), budget=5.0) for i in range(3)]
    longer = [trained(33.4, label="1"), trained(90.0, label="2")]
    assert about_search([*short, *longer], ["2", "1"]) == [
        "at chance, nothing learnt yet: 1, 0; train longer"
    ]
    assert about_search(longer[1:], ["2"]) == []


def test_a_training_that_was_shown_less_than_asked_for_says_so():
    def shown(images, label):
        curve = ({"images": images / 2}, {"images": images})
        return replace(trained(90.0, label=label, budget=30_000.0), curve=curve)

    said = about_trainings({"1": [shown(19_980.0, "1")] * 2, "2": [shown(30_000.0, "2")]})
    assert said == [
        "shown 19,980 images in place of 30,000, since an epoch is at most all training images: "
        "1; ask for more and shorter epochs"
    ]
    ended_early = replace(shown(10.0, "1"), status="diverged")
    assert about_trainings({"1": [shown(30_000.0, "1"), ended_early]}) == []


def test_trainings_that_round_differently_are_named():
    def on(processor, threads, device="cpu"):
        conditions = {"machine": "host", **({"processor": processor} if processor else {})}
        more = {"threads": threads, "device": device, "conditions": conditions}
        record = trained(90.0)
        return replace(record, details={**record.details, **more})

    alike = {"1": [on("X", 2), on("X", 2)], "2": [on("X", 2)]}
    assert about_trainings(alike) == []
    several = {"1": [on("X", 2), on("X", 1)], "2": [on("", 2)]}
    assert about_trainings(several) == [
        "trained on X, 2 threads; on X, 1 thread; on a processor that was not noted, 2 threads: "
        "they round differently, which moves the top-1 of a seed as much as another seed does"
    ]
    gpus = {"1": [on("H200", 2, "cuda:0"), on("H200", 1, "cuda:1")]}
    assert about_trainings(gpus) == []
