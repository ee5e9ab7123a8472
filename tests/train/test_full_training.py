"""Full-schedule training on a handful of images: recipe, losses, resume, teacher."""

import dataclasses
import random
import shutil
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn

from evnas.arch.spec import ArchSpec
from evnas.blocks.backbone import build
from evnas.errors import DataError, SpecError
from evnas.train import training
from evnas.train.loaders import ImageFiles, images_of
from evnas.train.losses import distillation_loss, mesa_loss
from evnas.train.recipe import Recipe, Teacher, TrainConfig
from evnas.train.seeding import globally_seeded
from evnas.train.training import scheduler, train

ONE_EPOCH = Recipe(epochs=1, warmup_epochs=0, cooldown_epochs=0, batch_size=4, accumulate=2)


def arch(*, distillation=False):
    return ArchSpec.from_dict(
        {
            "stem": {"kind": "efficientvim", "stride": 4},
            "stages": [
                {
                    "depth": 1,
                    "dim": 16,
                    "block": "efficientvim",
                    "mixer": {"kind": "hsm_ssd", "states": 4},
                    "mlp_ratio": 1,
                }
            ],
            "downsample": "efficientvim",
            "norm": "partial_ln",
            "head": {"fusion": "none", "distillation": distillation},
            "num_classes": 2,
        }
    )


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    draw = np.random.default_rng(0)
    for split, count in (("train", 9), ("val", 3)):
        for label, name in enumerate(("dark", "light")):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = draw.integers(120 * label, 120 * label + 100, (20, 24, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(root / split / name / f"{i}.png")
    return root


@pytest.fixture
def config(images, tmp_path):
    recipe = Recipe(
        epochs=3,
        warmup_epochs=1,
        cooldown_epochs=1,
        batch_size=4,
        accumulate=2,
        mesa_start_fraction=0.5,
    )
    return TrainConfig(
        arch=arch(), data=images, output=tmp_path / "run", resolution=16, recipe=recipe, workers=0
    )


def test_it_runs_the_recipe_and_leaves_its_files(config):
    result = train(config)
    assert (result.status, result.epochs) == ("complete", 4)
    assert [p["epoch"] for p in result.curve] == [1, 2, 3, 4]
    assert result.curve[-1]["lr"] == config.recipe.lr_floor
    assert all(np.isfinite(p["loss"]) for p in result.curve)
    files = {path.name for path in config.output.iterdir()}
    assert files == {"checkpoint.pt", "best.pt", "best_ema.pt", "curve.json", "images.json"}
    best = build(config.arch)
    best.load_state_dict(torch.load(config.output / "best.pt", weights_only=True))
    assert result.best("top1_percent") == max(p["top1_percent"] for p in result.curve)


def test_the_moving_average_follows_every_step(config):
    recipe = dataclasses.replace(config.recipe, epochs=2, cooldown_epochs=0, ema_decay=0.0)
    train(dataclasses.replace(config, recipe=recipe))
    state = torch.load(config.output / "checkpoint.pt", weights_only=True)
    assert state["average"].keys() == state["model"].keys()
    for name, value in state["model"].items():
        torch.testing.assert_close(state["average"][name], value)


def test_killed_and_resumed_is_the_unbroken_run(config, tmp_path, monkeypatch):
    whole = train(config)

    class Killed(BaseException):
        pass

    def dies(self, epoch):
        if epoch == 2:
            raise Killed
        return trains(self, epoch)

    trains = training._Session.train_epoch
    again = dataclasses.replace(config, output=tmp_path / "again")
    with monkeypatch.context() as patch:
        patch.setattr(training._Session, "train_epoch", dies)
        with pytest.raises(Killed):
            train(again)
    random.random()
    torch.rand(1)
    assert train(again).curve == whole.curve


def test_a_checkpoint_of_another_training_is_refused(config):
    train(config)
    with pytest.raises(DataError, match="seed is 0 there and 1 here"):
        train(dataclasses.replace(config, seed=1))


def test_a_loss_that_is_not_finite_ends_as_diverged(config, monkeypatch):
    poison = torch.tensor(float("nan"), requires_grad=True)
    monkeypatch.setattr(training, "soft_cross_entropy", lambda logits, targets: poison)
    result = train(config)
    assert (result.status, result.epochs) == ("diverged", 0)
    assert result.error == "the loss was nan in epoch 1"


def test_a_teacher_teaches_the_second_head(config, tmp_path):
    weights = tmp_path / "teacher.pt"
    with globally_seeded(0, "teacher"):
        torch.save(timm.create_model("resnet10t", num_classes=2).state_dict(), weights)
    teacher = Teacher(name="resnet10t", weights=weights)
    recipe = dataclasses.replace(config.recipe, epochs=2, cooldown_epochs=0)
    taught = dataclasses.replace(
        config, arch=arch(distillation=True), teacher=teacher, recipe=recipe
    )
    assert train(taught).status == "complete"
    torch.save({"a": torch.ones(1)}, weights)
    with pytest.raises(DataError, match="must hold the state dict of timm's resnet10t"):
        train(dataclasses.replace(taught, output=tmp_path / "other"))


def test_teacher_and_distillation_head_go_together(config):
    with pytest.raises(SpecError, match=r"train\.teacher: head\.distillation must be true with"):
        dataclasses.replace(config, arch=arch(distillation=True))


def test_images_must_fit_the_classes_and_the_batch(config, images, tmp_path):
    shutil.copytree(images / "train" / "dark", tmp_path / "train" / "dark")
    with pytest.raises(DataError, match=r"holds train/ and must hold val/ or test/ beside it"):
        train(dataclasses.replace(config, data=tmp_path))
    with pytest.raises(DataError, match=r"must hold train/ and val/, .* it holds dark/, light/"):
        train(dataclasses.replace(config, data=images / "train"))
    for split in ("train", "val"):
        shutil.copytree(images / "val" / "light", tmp_path / split / "new")
        for name in ("dark", "light"):
            shutil.copytree(images / "val" / name, tmp_path / split / name, dirs_exist_ok=True)
    with pytest.raises(DataError, match=r"must hold 2 classes, .* it holds 3"):
        train(dataclasses.replace(config, data=tmp_path))
    with pytest.raises(DataError, match="must be a folder of images, there is none"):
        train(dataclasses.replace(config, data=tmp_path / "nowhere"))
    large = dataclasses.replace(config.recipe, accumulate=10)
    with pytest.raises(
        DataError, match=r"at least batch_size \* accumulate = 40 training images, .* 18"
    ):
        train(dataclasses.replace(config, recipe=large))


def test_images_are_read_as_a_proxy_reads_them(config, images, tmp_path):
    shutil.copytree(images / "train", tmp_path / "Training")
    shutil.copytree(images / "val", tmp_path / "VALIDATION")
    ramp = np.linspace(0, 65535, 20 * 24).reshape(20, 24).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "Training" / "dark" / "0.png")
    (tmp_path / "Training" / ".ipynb_checkpoints").mkdir()
    said: list[Any] = []
    train(dataclasses.replace(config, data=tmp_path, recipe=ONE_EPOCH), tell=said.append)
    (told,) = said
    assert "18 training and 6 held-out images (Training/ and VALIDATION/) of 2 classes" in told
    assert told.endswith("left out: 1 hidden file or folder")
    pixels, label = ImageFiles(list(images_of(tmp_path, classes=2).train))[0]
    assert label == 0
    assert np.asarray(pixels).mean() == pytest.approx(127.5, abs=0.5)
    train(dataclasses.replace(config, data=tmp_path, recipe=ONE_EPOCH))
    Image.fromarray(ramp[::-1]).save(tmp_path / "Training" / "dark" / "0.png")
    with pytest.raises(DataError, match=r"run holds a training on other images \(class dark has"):
        train(dataclasses.replace(config, data=tmp_path, recipe=ONE_EPOCH))


def test_the_released_schedule():
    recipe = Recipe()
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


def test_a_recipe_that_cannot_be_is_refused():
    with pytest.raises(SpecError, match=r"train\.warmup_epochs: must be at least 0 and below"):
        Recipe(epochs=5)


def test_losses_by_hand():
    flat = torch.zeros(2, 4)
    targets = torch.full((2, 4), 0.25)
    sure = torch.tensor([[100.0, 0, 0, 0], [0, 100.0, 0, 0]])
    ln4 = float(np.log(4))
    both = distillation_loss((flat, sure), targets, taught=sure, alpha=0.5)
    assert both.item() == pytest.approx(0.5 * ln4)
    wrong = distillation_loss((flat, sure), targets, taught=sure.flip(0), alpha=0.25)
    assert wrong.item() == pytest.approx(0.75 * ln4 + 0.25 * 100)
    assert mesa_loss(flat, sure, nn.Identity()).item() == pytest.approx(ln4)
    assert mesa_loss(sure, sure, nn.Identity()).item() == pytest.approx(0, abs=1e-6)


def numpy_state() -> object:
    state: Any = np.random.get_state()
    return state[1].tolist()


def test_global_generators_are_given_back():
    before = (random.getstate(), numpy_state(), torch.get_rng_state())
    draws = []
    for _ in range(2):
        with globally_seeded(0, "x"):
            draws.append((random.random(), float(np.random.rand()), float(torch.rand(1))))
    assert draws[0] == draws[1]
    assert before[0] == random.getstate()
    assert before[1] == numpy_state()
    assert torch.equal(before[2], torch.get_rng_state())


def test_it_begins_with_weights_of_other_classes(config):
    torch.manual_seed(3)
    taught = build(ArchSpec.from_dict(config.arch.to_dict() | {"num_classes": 5}))
    path = config.output.parent / "taught.pt"
    torch.save({"model_ema": {f"module.{k}": v for k, v in taught.state_dict().items()}}, path)
    with pytest.raises(DataError, match="new_classifier"):
        train(dataclasses.replace(config, weights=path))
    still = dataclasses.replace(config.recipe, lr=0.0, lr_floor=0.0, warmup_lr=0.0)
    begun = dataclasses.replace(config, weights=path, new_classifier=True, recipe=still)
    assert train(begun).status == "complete"
    held = torch.load(config.output / "checkpoint.pt", weights_only=True)["model"]
    for name, value in taught.named_parameters():
        assert name.startswith("head.classifier") or torch.equal(held[name], value), name
    assert held["head.classifier.weight"].shape[0] == 2
    with pytest.raises(DataError):  # the training that is there began otherwise
        train(dataclasses.replace(begun, weights=None, new_classifier=False))
