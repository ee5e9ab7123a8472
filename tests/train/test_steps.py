"""What a step of the optimizer is made of: rates, groups, clipping, batch norm, batches."""

import pytest
import torch
from tiny_training import RECIPE, tiny_arch
from torch import nn

from evnas.blocks.timm_backbone import TimmBackbone
from evnas.errors import SpecError
from evnas.train import workers
from evnas.train.batch_norm import StepStatistics, momentum_of_turn
from evnas.train.config import BatchPlan, TrainConfig, batch_plan
from evnas.train.loaders import part_of_step
from evnas.train.optimizer import clip, optimizer_of, scheduler
from evnas.train.recipes import recipe_of


def test_the_released_schedule():
    recipe = recipe_of("efficientvim").recipe
    assert recipe.all_epochs == 310
    assert recipe.mesa_epoch == 75
    optimizer = torch.optim.AdamW([nn.Parameter(torch.ones(1))], lr=recipe.lr)
    schedule = scheduler(optimizer, recipe, updates_per_epoch=10)
    rates = {}
    for update in (0, 100, 200, 1600, 3000, 3090):
        schedule.step_update(update)
        rates[update] = optimizer.param_groups[0]["lr"]
    assert rates[0] == pytest.approx(2e-6)
    assert rates[100] == pytest.approx((2e-6 + 2e-3) / 2)
    assert rates[200] == pytest.approx(2e-3)
    assert rates[1600] == pytest.approx((2e-3 + 2e-5) / 2)
    assert rates[3000] == rates[3090] == pytest.approx(2e-5)


def network():
    torch.manual_seed(0)
    return TimmBackbone(tiny_arch(), num_classes=2)


def test_layer_decay_slows_earlier_blocks_and_keeps_what_is_not_decayed():
    model = network()
    optimizer = optimizer_of(model, RECIPE.edited({"layer_decay": 0.5, "weight_decay": 0.1}))
    of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    named = dict(model.named_parameters())
    assert len(of) == len(named)
    scale = {name: of[id(p)]["lr_scale"] for name, p in named.items()}
    head = scale["head.classifiers.0.weight"]
    second = next(scale[n] for n in scale if n.startswith("stages.1.blocks.0"))
    first = next(scale[n] for n in scale if n.startswith("stages.0.blocks.0"))
    stem = next(scale[n] for n in scale if n.startswith("stem"))
    assert (head, second, first, stem) == (1.0, 0.5, 0.25, 0.125)
    exempt = {n for n, p in named.items() if of[id(p)]["weight_decay"] == 0}
    plain = optimizer_of(model, RECIPE.edited({"weight_decay": 0.1}))
    same = {id(p): g["weight_decay"] for g in plain.param_groups for p in g["params"]}
    assert exempt == {n for n, p in named.items() if same[id(p)] == 0}
    assert 0 < len(exempt) < len(named)


def test_optimizers_go_by_timms_names():
    sgd = optimizer_of(network(), RECIPE.edited({"optimizer": "sgd", "momentum": 0.5}))
    assert isinstance(sgd, torch.optim.SGD)
    assert sgd.param_groups[0]["momentum"] == 0.5
    adam = optimizer_of(network(), RECIPE.edited({"betas": [0.8, 0.9], "eps": 1e-6}))
    assert (adam.param_groups[0]["betas"], adam.param_groups[0]["eps"]) == ((0.8, 0.9), 1e-6)
    with pytest.raises(
        SpecError, match=r"recipe\.optimizer: .* did you mean 'adamw'\?, got 'admw'"
    ):
        optimizer_of(network(), RECIPE.edited({"optimizer": "admw"}))


@pytest.mark.parametrize(
    ("mode", "bound", "want"),
    [("norm", 1.0, [0.6, 0.8]), ("value", 1.0, [1.0, 1.0]), ("norm", 0.0, [3.0, 4.0])],
)
def test_clipping(mode, bound, want):
    model = nn.Linear(2, 1, bias=False)
    model.weight.grad = torch.tensor([[3.0, 4.0]])
    clip(model, RECIPE.edited({"clip": bound, "clip_mode": mode}))
    torch.testing.assert_close(model.weight.grad, torch.tensor([want]))


def test_adaptive_clipping_goes_by_each_units_weights_and_spares_the_classifier():
    model = nn.ModuleDict({"body": nn.Linear(2, 2, bias=False)})
    model["head"] = nn.ModuleDict({"classifier": nn.Linear(2, 2, bias=False)})
    body, head = model["body"], model["head"]["classifier"]  # type: ignore[index]
    for layer in (body, head):
        layer.weight.data = torch.tensor([[3.0, 4.0], [30.0, 40.0]])
        layer.weight.grad = torch.tensor([[3.0, 4.0], [3.0, 4.0]])
    clip(model, RECIPE.edited({"clip": 0.5, "clip_mode": "agc"}))
    torch.testing.assert_close(body.weight.grad, torch.tensor([[1.5, 2.0], [3.0, 4.0]]))
    assert head.weight.grad.tolist() == [[3.0, 4.0], [3.0, 4.0]]


def test_statistics_move_once_a_step_by_all_of_its_batches():
    torch.manual_seed(0)
    batches = [torch.randn(6, 3) + 5 for _ in range(4)]
    norm = nn.BatchNorm1d(3, momentum=0.1)
    statistics = StepStatistics(norm, 4)
    for turn, batch in enumerate(batches):
        statistics.begin_batch(turn)
        norm(batch)
    statistics.end_step()
    means = torch.stack([b.mean(0) for b in batches]).mean(0)
    variances = torch.stack([b.var(0) for b in batches]).mean(0)
    torch.testing.assert_close(norm.running_mean, 0.1 * means)
    torch.testing.assert_close(norm.running_var, 0.9 * torch.ones(3) + 0.1 * variances)
    assert (norm.momentum, int(norm.num_batches_tracked or 0)) == (0.1, 1)
    assert momentum_of_turn(0.1, 0, 1) == 0.1


def plan_of(*, batch, devices=1, device_batch=None, images=1000):
    config = TrainConfig(
        arch=tiny_arch(),
        recipe=RECIPE.edited({"batch_size": batch}),
        data="x",
        output=None,  # type: ignore[arg-type]
        device_batch=device_batch,
    )
    return batch_plan(config, images=images, devices=devices)


def test_the_recipes_batch_is_reached_by_accumulation():
    assert plan_of(batch=64) == BatchPlan(device_batch=64, accumulate=1, devices=1, images=1000)
    large = plan_of(batch=1024, images=5000)
    assert (large.device_batch, large.accumulate, large.steps_per_epoch) == (256, 4, 4)
    shared = plan_of(batch=64, devices=4, device_batch=8)
    assert (shared.accumulate, shared.batch_size, shared.parts) == (2, 64, 8)
    for wrong, reason in (
        ({"batch": 64, "devices": 3}, "recipe.batch_size: must be a multiple of the 3 devices"),
        ({"batch": 64, "device_batch": 24}, "device_batch: must divide .* got 24; 16 does"),
        ({"batch": 64, "images": 50}, "recipe.batch_size: .* at most the 50 training images, "
         "got 64; lower it by --set recipe.batch_size=32"),
    ):  # fmt: skip
        with pytest.raises(SpecError, match=reason):
            plan_of(**wrong)


def test_images_are_loaded_by_the_cores_at_hand(monkeypatch):
    cores = iter([2, 64, 1, 6])
    monkeypatch.setattr(workers, "usable_cores", lambda: next(cores))
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert [workers.image_workers(None) for _ in range(3)] == [2, 8, 1]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # two processes of torchrun share them
    assert workers.image_workers(None) == 3
    assert workers.image_workers(0) == 0 and workers.image_workers(5) == 5


def test_two_devices_take_the_batches_of_one_that_accumulates():
    one = BatchPlan(device_batch=4, accumulate=4, devices=1, images=100)
    two = BatchPlan(device_batch=4, accumulate=2, devices=2, images=100)
    for step in range(one.steps_per_epoch):
        alone = [part_of_step(one, step, turn, 0) for turn in range(4)]
        together = [part_of_step(two, step, t, rank) for t in range(2) for rank in range(2)]
        assert alone == together == list(range(4 * step, 4 * step + 4))
