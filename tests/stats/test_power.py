"""What trainings can tell: against a simulation, and against the rows of Table C."""

from pathlib import Path

import numpy as np
import pytest

from evnas.report.table.verdicts import against_difference
from evnas.stats.interval import Interval
from evnas.stats.power import SeedNoise, known_noise, noise_at, presentations_for, shipped_noise
from evnas.sweep.detectable import detectable_differences
from evnas.sweep.sweep import load_sweep

TABLE_C = Path(__file__).parents[2] / "sweeps" / "table_c.yaml"


@pytest.mark.parametrize("seeds", [1, 3, 8])
def test_the_smallest_difference_is_found_four_times_of_five(seeds):
    noise = SeedNoise(0.7, "")
    truth = noise.smallest_difference(seeds)
    rng = np.random.default_rng(0)
    means = rng.normal(size=(20_000, 2, seeds)).mean(2) * noise.sd_percent
    found = np.abs(truth + means[:, 0] - means[:, 1]) > 1.96 * noise.sd_percent * np.sqrt(
        2 / seeds
    )
    assert found.mean() == pytest.approx(0.8, abs=0.02)
    assert noise.seeds_for(truth) in (seeds, seeds + 1)  # rounding


def test_noise_is_read_between_measured_budgets():
    known = shipped_noise()
    assert list(known) == sorted(known)
    first, second = list(known.items())[:2]
    assert noise_at(first[0]).sd_percent == first[1]
    between = noise_at((first[0] * second[0]) ** 0.5).sd_percent
    assert between == pytest.approx((first[1] * second[1]) ** 0.5)
    assert noise_at(1e9).sd_percent == list(known.values())[-1]
    assert presentations_for(1e-3, 1) is None
    assert presentations_for(50, 1) == first[0]
    assert presentations_for(50, 1, beyond=first[0]) == second[0]


def test_a_study_with_seeds_of_its_own_says_its_own_noise():
    rows = [[70.0, 71.0, 72.0], [60.0, 61.0, 62.0], [55.0]]
    found = known_noise(rows, presentations=1600, data="fashion-mnist-12k")
    assert found is not None
    assert found.sd_percent == pytest.approx(1.0)
    assert "of this study" in found.source
    few = known_noise([[70.0, 71.0]], presentations=1600, data="fashion-mnist-12k")
    assert few is not None and "shipped" in few.source
    assert known_noise([], presentations=1600, data={"folder": "mine"}) is None


def test_table_c_can_tell_none_of_its_rows_with_one_seed():
    found = detectable_differences(load_sweep(TABLE_C))
    assert found is not None
    assert list(found.printed) == list("BCDEFGHIJ")  # L prints NaN
    rows = found.to_dict()["rows"]
    assert not any(row["tells"] for row in rows.values())
    assert rows["I"]["seeds_needed"] is None
    assert rows["B"]["seeds_needed"] < rows["D"]["seeds_needed"] < rows["J"]["seeds_needed"]
    more = detectable_differences(load_sweep(TABLE_C, overrides=[f"seeds={list(range(40))}"]))
    assert more is not None
    assert more.to_dict()["rows"]["B"]["tells"]
    assert "can be detected" in more.text()


def test_a_difference_that_cannot_be_detected_does_not_match():
    mine = Interval(-1.2, 0.1, 1.4)
    assert against_difference(mine, 0.8).kind == "cannot tell"
    assert against_difference(mine, 0.0).kind == "cannot tell"
    assert against_difference(mine, 4.0).kind == "differs"
    narrow = Interval(0.6, 0.8, 1.0)
    assert against_difference(narrow, 0.9).kind == "matches"
    assert against_difference(narrow, 0.9, smallest=2.0).kind == "cannot tell"
    assert against_difference(narrow, 3.0, smallest=1.0).kind == "same direction"


def test_differences_are_those_that_the_images_shown_can_tell():
    """An epoch is at most all training images."""
    table = load_sweep(TABLE_C, overrides=["proxy.images_per_epoch=3200", "proxy.batch_size=32"])
    asked, shown = (detectable_differences(table, training_images=n) for n in (0, 810))
    proxy = table.spec.proxy
    assert asked is not None and shown is not None and proxy is not None
    assert asked.presentations == proxy.presentations == proxy.epochs * 3200
    assert shown.presentations == proxy.epochs * 800
    assert shown.smallest_percent > asked.smallest_percent
    assert f"of {shown.presentations} presentations" in shown.text()
