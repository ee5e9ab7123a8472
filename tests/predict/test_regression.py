"""The regression on made-up data whose truth is known: figures, coverage, and what draws share."""

from typing import Any

import numpy as np
import pytest

from evnas.predict.regression import Regression


def made_up(seed, n=80, recipes=8, level=1.0, noise=0.3):
    """Inputs (n, 2), top-1 and recipes, from a smooth function, levels and noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    of = [f"recipe {i % recipes}" for i in range(n)]
    levels = {name: level * rng.normal() for name in sorted(set(of))}
    clean = 80 + 2 * x[:, 0] + np.sin(2 * x[:, 1])
    return x, clean + [levels[name] for name in of] + noise * rng.normal(size=n), of


def test_it_finds_how_large_levels_and_noise_are():
    found = Regression(*made_up(0))
    assert found.level_percent == pytest.approx(1.0, rel=0.6)
    assert found.noise_percent == pytest.approx(0.3, rel=0.4)


def test_intervals_hold_what_they_say_they_hold():
    known: list[Any] = []
    unknown: list[Any] = []
    for seed in range(6):
        x, top1, of = made_up(seed)
        out = np.arange(len(x)) % 8 == 0  # all of one recipe: it is unseen
        rest, tenth = ~out, (np.arange(len(x)) % 10 == 1) & ~out
        fit = Regression(x[rest & ~tenth], top1[rest & ~tenth], np.array(of)[rest & ~tenth])
        for rows, into in ((tenth, known), (out, unknown)):
            p = fit.predict(x[rows], np.array(of)[rows].tolist())
            into += (np.abs(top1[rows] - p.mid) <= 1.645 * p.sd).tolist()
    assert 0.82 <= np.mean(known) <= 0.98
    assert np.mean(unknown) >= 0.75


def test_what_two_predictions_share_cancels_in_their_difference():
    x, top1, of = made_up(3, level=2.0)
    fit = Regression(x, top1, of)
    p = fit.predict(x[:2] + 0.05, ["unseen"] * 2, ["a", "b"])
    assert p.draws.std(1) == pytest.approx(p.sd, rel=0.2)
    assert p.draws.mean(1) == pytest.approx(p.mid)
    apart = (p.draws[0] - p.draws[1]).std()
    assert apart < 0.5 * np.hypot(*p.sd)
    assert apart >= fit.noise_percent  # but not what is each one's own


def test_draws_are_a_function_of_the_architecture_alone():
    fit = Regression(*made_up(1))
    x = np.array([[0.1, 0.2], [1.0, -1.0]])
    both = fit.predict(x, ["new", "new"], ["a", "b"])
    one = fit.predict(x[1:], ["new"], ["b"])
    assert one.draws[0] == pytest.approx(both.draws[1])


def test_a_known_recipe_is_known_better_than_an_unseen_one():
    fit = Regression(*made_up(2))
    sd = fit.predict(np.zeros((2, 2)), ["recipe 0", "unseen"]).sd
    assert sd[0] < 0.7 * sd[1]


def test_far_away_it_knows_less():
    fit = Regression(*made_up(2))
    sd = fit.predict(np.array([[0.0, 0.0], [8.0, 8.0]]), ["recipe 0"] * 2).sd
    assert sd[1] > 2 * sd[0]
