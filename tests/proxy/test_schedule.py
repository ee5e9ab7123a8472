"""The schedule as pure functions: rate, decay groups, order of images, runs of steps."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from evnas.arch.catalog import entry
from evnas.blocks.backbone import build
from evnas.errors import SpecError
from evnas.proxy.budget import ProxyBudget
from evnas.proxy.schedule import chunks, decay_groups, epoch_order, learning_rate


def test_the_rate_rises_then_falls():
    budget = ProxyBudget(lr=1.0, lr_floor=0.1, warmup_fraction=0.2)
    rates = [learning_rate(step, 12, budget) for step in range(12)]
    assert rates[:4] == pytest.approx([1 / 3, 2 / 3, 1.0, 1.0])
    assert rates[3:] == sorted(rates[3:], reverse=True)
    # half of the nine cosine steps: 3 + 4.5 lies between steps 7 and 8
    assert (rates[7] + rates[8]) / 2 == pytest.approx(0.55)
    assert rates[11] == pytest.approx(0.1 + 0.9 * 0.5 * (1 - 0.9396926207859084))


def test_vectors_and_biases_are_not_decayed():
    model = nn.ModuleDict({"conv": nn.Conv1d(2, 3, 1), "norm": nn.BatchNorm1d(3)})
    model.register_parameter("alpha", nn.Parameter(torch.ones(4, 3)))
    model.register_parameter("gate_bias", nn.Parameter(torch.ones(4, 3)))
    decayed, exempt = decay_groups(model, 0.05)
    assert decayed["weight_decay"] == 0.05
    assert [tuple(p.shape) for p in decayed["params"]] == [(4, 3), (3, 2, 1)]
    assert exempt["weight_decay"] == 0
    assert len(exempt["params"]) == 4  # gate_bias, the convolution's bias, the norm's pair


@pytest.mark.parametrize("name", ["vmamba_tiny_s1l8", "efficient_vmamba_tiny", "vssd_micro"])
def test_a_and_d_of_every_scan_are_not_decayed(name):
    with torch.device("meta"):
        model = build(entry(name).arch)
    decayed, exempt = decay_groups(model, 0.05)
    place = {id(p): True for p in decayed["params"]} | {id(p): False for p in exempt["params"]}
    is_decayed = {n: place[id(p)] for n, p in model.named_parameters()}
    scans = [n for n in is_decayed if n.endswith((".A_log", ".D"))]
    assert scans and not any(is_decayed[n] for n in scans)
    assert all(d for n, d in is_decayed.items() if n.endswith((".x_proj", ".dt_weight")))
    assert all(d for n, d in is_decayed.items() if n.endswith("proj.weight"))


@settings(deadline=None)  # the machine may be busy
@given(
    seed=st.integers(0, 99),
    images=st.integers(1, 30),
    train_images=st.integers(1, 20),
    passages=st.integers(1, 4),
)
def test_epochs_are_windows_of_one_endless_shuffle(seed, images, train_images, passages):
    epochs = -(-passages * train_images // images)
    order = torch.cat(
        [epoch_order(seed, e, images=images, train_images=train_images) for e in range(epochs)]
    )
    for start in range(0, len(order) - train_images + 1, train_images):
        assert sorted(order[start : start + train_images].tolist()) == list(range(train_images))


@settings(deadline=None)  # the machine may be busy
@given(steps=st.integers(1, 60), points=st.integers(1, 60), longest=st.integers(1, 9))
def test_runs_cover_an_epoch_and_end_at_every_point(steps, points, longest):
    points = min(points, steps)
    runs = list(chunks(steps, points, longest=longest))
    assert [i for run, _ in runs for i in run] == list(range(steps))
    assert all(1 <= len(run) <= longest for run, _ in runs)
    assert sum(ends for _, ends in runs) == points
    assert runs[-1][1]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("epochs", 0, "proxy.epochs: must be at least 1, got 0"),
        ("lr", 0.0, "proxy.lr: must be over 0, got 0.0"),
        ("warmup_fraction", 1.0, "at least 0 and below 1, got 1.0"),
        ("batch_size", 5000, "proxy.batch_size: must be at most images_per_epoch"),
        ("points_per_epoch", 500, "at most the 50 steps of an epoch"),
    ],
)
def test_a_budget_that_cannot_be_is_refused(field, value, message):
    with pytest.raises(SpecError, match=message):
        ProxyBudget(**{field: value})


def test_presentations_are_at_most_the_training_set_an_epoch():
    budget = ProxyBudget(epochs=3, images_per_epoch=1000, batch_size=30)
    assert budget.presentations(10_000) == 3 * 990
    assert budget.presentations(100) == 3 * 90
    assert "limit_s" not in budget.to_dict()
