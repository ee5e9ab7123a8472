"""What trainings can tell: against a simulation, and against the rows of Table C."""

import math
from pathlib import Path

import numpy as np
import pytest

from evnas.report.table.verdicts import against_difference
from evnas.stats.interval import Interval
from evnas.stats.power import SeedNoise, known_noise, noise_at, presentations_for, shipped_noise
from evnas.sweep.detectable import DetectableDifferences, about_power, detectable_differences
from evnas.sweep.sweep import load_sweep

TABLE_C = Path(__file__).parents[2] / "sweeps" / "table_c.yaml"


@pytest.mark.parametrize("seeds", [1, 3, 8])
@pytest.mark.parametrize("freedom", [4, 22, math.inf])
def test_the_smallest_difference_is_found_four_times_of_five(seeds, freedom):
    """By the very interval that tables show, whose noise is itself estimated from other rows."""
    rng, sd = np.random.default_rng(0), 0.7
    truth = SeedNoise(sd, "", freedom).smallest_difference(seeds)
    found = []
    for _ in range(5_000):
        seen = sd * math.sqrt(rng.chisquare(freedom) / freedom) if freedom < math.inf else sd
        apart = truth + rng.normal(size=seeds) * sd * math.sqrt(2)
        interval = SeedNoise(seen, "", freedom).difference(apart.tolist())
        found.append(interval is not None and not interval.holds(0))
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)
    assert SeedNoise(sd, "", freedom).seeds_for(truth) in (seeds, seeds + 1)  # rounding


@pytest.mark.parametrize("seeds", [1, 2, 3, 8])
def test_rows_that_do_not_differ_are_told_apart_one_time_of_twenty(seeds):
    """Noise from rows of one study, where a seed also moves all rows alike."""
    rng, wrong = np.random.default_rng(1), []
    for _ in range(1_000):
        of_seed = rng.normal(size=8) * 2
        rows = [
            {s: 70 + r + of_seed[s] + rng.normal() for s in range(max(seeds, 3))} for r in range(6)
        ]
        noise = known_noise(rows, presentations=1600, data={"folder": "mine"})
        assert noise is not None
        again = [70 + of_seed[:seeds] + rng.normal(size=seeds) for _ in range(2)]
        interval = noise.difference((again[0] - again[1]).tolist())
        wrong.append(interval is not None and not interval.holds(0))
    assert np.mean(wrong) == pytest.approx(0.05, abs=0.02)


def test_rows_that_scatter_more_than_the_others_have_another_noise():
    noise = SeedNoise(1.0, "", 20)
    assert noise.difference([0.0, 2.0, 1.0]) is not None
    assert noise.difference([0.0, 20.0, -9.0]) is None


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
    # seed 1 lies a point higher in all rows, which is no noise; of two rows 1 and -1 are left
    rows = [
        {0: 70.0, 1: 72.0, 2: 69.0},
        {0: 60.0, 1: 61.0, 2: 60.0},
        {0: 50.0, 1: 50.0, 2: 51.0},
        {0: 55.0},
    ]
    found = known_noise(rows, presentations=1600, data="fashion-mnist-12k")
    assert found is not None
    assert found.freedom == 4 and "of 9 trainings of this study" in found.source
    assert found.sd_percent == pytest.approx(1.0)
    few = known_noise([{0: 70.0, 1: 71.0}], presentations=1600, data="fashion-mnist-12k")
    assert few is not None and "shipped" in few.source
    alike = [{0: 70.0, 1: 71.0, 2: 72.0}] * 4  # twice the same: no noise, and none is believed
    same = known_noise(alike, presentations=1600, data="fashion-mnist-12k")
    assert same is not None and "shipped" in same.source


@pytest.mark.parametrize("data", [{"folder": "mine"}, "long_range_copy"])
def test_what_is_shipped_says_nothing_of_other_images(data):
    assert known_noise([], presentations=1600, data=data) is None
    rows = [{s: 70.0 + (s - 1) * (r - 1) for s in range(3)} for r in range(3)]
    known = known_noise(rows, presentations=1600, data=data)
    assert known is not None and known.freedom == 4
    power = DetectableDifferences(
        noise=known, seeds=1, presentations=1600, is_of_shipped_images=False, printed={"B": 0.5}
    )
    assert power.to_dict()["rows"]["B"]["presentations_needed"] is None


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


def test_where_no_noise_is_known_a_plan_says_so(tmp_path):
    table = load_sweep(TABLE_C, overrides=["proxy.data=long_range_copy"])
    assert detectable_differences(table) is None
    said = about_power(table, None)
    assert "cannot be told" in said and "known for long_range_copy" in said
    own = load_sweep(TABLE_C, overrides=[f"proxy.data={{folder: {tmp_path}}}"])
    assert f"known for {tmp_path}" in about_power(own, detectable_differences(own))
    rows = [{s: 70.0 + s * r * r for s in range(3)} for r in range(3)]  # as many as it asks for
    assert known_noise(rows, presentations=1600, data="long_range_copy") is not None
    known = load_sweep(TABLE_C)
    assert "can detect differences" in about_power(known, detectable_differences(known))
