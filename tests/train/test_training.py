"""Whole trainings on a handful of images: what they leave, and what they refuse."""

import json
import math
import random
import shutil
import sys
import types
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from tiny_training import SIDE, make_images, tiny_arch, tiny_config
from torch import nn

from evnas.arch.spec import ArchSpec
from evnas.blocks.backbone import build
from evnas.blocks.official import read_checkpoint
from evnas.blocks.unwrap import unwrapped
from evnas.errors import DataError, SpecError
from evnas.train import session as sessions
from evnas.train.checkpoint import load_checkpoint
from evnas.train.seeding import globally_seeded
from evnas.train.session import Session
from evnas.train.training import train
from evnas.train.world import World

ONE_EPOCH = {"epochs": 1, "warmup_epochs": 0, "cooldown_epochs": 0}
PLAIN = {"mesa": 0, "mixup": 0, "cutmix": 0, "drop_path": 0}


def alone(config):
    """A session of one process on the CPU."""
    return Session(config, World(0, 1, torch.device("cpu")))


@pytest.fixture(scope="module")
def trained(images, tmp_path_factory):
    said: list[str] = []
    config = tiny_config(images, tmp_path_factory.mktemp("trained") / "run", recipe_name="tiny")
    return config, train(config, tell=said.append), said


def test_it_runs_the_recipe_and_leaves_its_files(trained):
    config, result, said = trained
    assert (result.status, result.epochs) == ("complete", 4)
    assert [p["epoch"] for p in result.curve] == [1, 2, 3, 4]
    assert result.curve[-1]["lr"] == config.recipe.lr_floor
    assert all(np.isfinite(list(p.values())).all() for p in result.curve)
    files = {str(path.relative_to(config.output)) for path in config.output.rglob("*.*")}
    kept = {f"checkpoints/epoch_000{i}.pt" for i in (2, 3, 4)}
    assert files == kept | {
        "best.pt",
        "best_ema.pt",
        "curve.json",
        "metrics.csv",
        "metrics.jsonl",
        "images.json",
        "training.json",
    }
    assert json.loads((config.output / "curve.json").read_text()) == list(result.curve)
    rows = [json.loads(x) for x in (config.output / "metrics.jsonl").read_text().splitlines()]
    assert [row["loss"] for row in rows] == [point["loss"] for point in result.curve]
    assert all(row["throughput_img_s"] > 0 and row["peak_mib"] > 0 for row in rows)
    header, *lines = (config.output / "metrics.csv").read_text().splitlines()
    assert header.split(",") == list(rows[0])
    assert len(lines) == 4
    summary = json.loads((config.output / "training.json").read_text())
    assert (summary["status"], summary["accumulate"]) == ("complete", 2)
    assert said[0].startswith("images: ")
    assert any(line.startswith("epoch 4 of 4: loss") for line in said)


def test_weights_say_what_they_are_of(trained):
    config, result, _ = trained
    found = load_checkpoint(config.output)
    assert found.path.name == "best_ema.pt"
    assert found.arch == config.arch
    assert (found.resolution, found.crop_fraction, found.interpolation) == (16, 0.875, "bicubic")
    assert found.classes == ("class0", "class1")
    assert found.recipe["lr"] == config.recipe.lr
    assert found.metrics["ema_top1_percent"] == result.best("ema_top1_percent")
    raw = load_checkpoint(config.output / "best.pt")
    assert raw.weights_ema is None
    assert raw.metrics["top1_percent"] == result.best("top1_percent")
    images = torch.rand(2, 3, 16, 16)
    model = build(config.arch)
    model.load_state_dict(dict(raw.state_dict()))
    torch.testing.assert_close(raw.model()(images), model.eval()(images))
    last = load_checkpoint(config.output / "checkpoints" / "epoch_0004.pt")
    for file, ema in ((found.path, True), (raw.path, False), (last.path, True)):
        taken, held = unwrapped(read_checkpoint(file)), load_checkpoint(file).state_dict(ema=ema)
        assert all(torch.equal(taken[name], held[name]) for name in held)
    assert last.epoch == 4
    assert not torch.equal(last.model(ema=True)(images), last.model(ema=False)(images))
    with pytest.raises(DataError, match=r"best\.pt must hold a moving average, it does not"):
        raw.state_dict(ema=True)
    with pytest.raises(DataError, match=r"must hold best_ema\.pt or best\.pt, it holds neither"):
        load_checkpoint(config.output / "checkpoints")


def test_a_folder_gives_the_weights_that_are_better_on_held_out_images(trained, tmp_path):
    # the last point of each file's curve: its own figure counts, not the other's
    raw = {"top1_percent": 40.0, "ema_top1_percent": 99.0}
    for of_average, better in ((10.0, "best.pt"), (50.0, "best_ema.pt")):
        average = {"top1_percent": 90.0, "ema_top1_percent": of_average}
        for name, metrics in (("best_ema.pt", average), ("best.pt", raw)):
            held = {**read_checkpoint(trained[0].output / name), "metrics": metrics}
            torch.save(held, tmp_path / name)
        assert load_checkpoint(tmp_path).path.name == better


def test_the_average_follows_every_step(images, tmp_path, monkeypatch):
    name = "head.classifiers.0.weight"
    steps: list[torch.Tensor] = []
    step = Session.step

    def noted(self, *arguments):
        loss = step(self, *arguments)
        steps.append(self.model.get_parameter(name).detach().clone())
        return loss

    monkeypatch.setattr(Session, "step", noted)
    train(tiny_config(images, tmp_path, recipe={"ema_decay": 0.75}, until_epoch=2))
    average = steps[0]  # taken over whole
    for weights in steps[1:]:
        average = 0.75 * average + 0.25 * weights
    held = load_checkpoint(tmp_path / "checkpoints" / "epoch_0002.pt")
    assert len(steps) == 4
    torch.testing.assert_close(held.state_dict(ema=True)[name], average)


def test_without_an_average_there_is_none(images, tmp_path):
    result = train(tiny_config(images, tmp_path, recipe={**ONE_EPOCH, "ema_decay": 0, "mesa": 0}))
    assert "ema_top1_percent" not in result.curve[0]
    assert not (tmp_path / "best_ema.pt").exists()
    assert load_checkpoint(tmp_path).path.name == "best.pt"


def test_a_loss_that_is_not_finite_ends_as_diverged(images, tmp_path, monkeypatch):
    poison = torch.tensor(float("nan"), requires_grad=True)
    monkeypatch.setattr(sessions, "training_loss", lambda *a, **k: poison * 1)
    result = train(tiny_config(images, tmp_path))
    assert (result.status, result.epochs) == ("diverged", 0)
    assert result.error == "the loss was nan in epoch 1"


def test_a_logit_that_is_not_finite_is_no_answer(images, tmp_path, monkeypatch):
    config = tiny_config(images, tmp_path)

    class Broken(nn.Module):
        def forward(self, images):
            return torch.full((len(images), 2), float("nan"))

    monkeypatch.setattr(Session, "step", lambda *a: torch.tensor(1.0))
    evaluate = Session.evaluate
    monkeypatch.setattr(Session, "evaluate", lambda self, models: evaluate(self, [Broken()] * 2))
    result = train(config)
    assert (result.status, result.error) == ("diverged", "a logit was not finite after epoch 1")


def teacher_file(path, classes=2, name="resnet10t"):
    with globally_seeded(0, "teacher"):
        torch.save(timm.create_model(name, num_classes=classes).state_dict(), path)
    return path


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_a_teacher_teaches(images, tmp_path, kind):
    recipe = {**ONE_EPOCH, "distillation": kind, "teacher": "resnet10t", "mesa": 0}
    taught = tiny_config(
        images,
        tmp_path / "run",
        arch=tiny_arch(distillation=kind == "hard"),
        recipe=recipe,
        teacher_weights=teacher_file(tmp_path / "teacher.pt"),
    )
    assert train(taught).status == "complete"


class Says(nn.Module):
    """Answers with the same logits whatever it sees."""

    def __init__(self, *logits):
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, images):
        return self.logits


def loss_in(session, epoch):
    """Of two images of class 0, to which the network gives 3/4 each."""
    session.parallel = Says([math.log(3), 0.0], [math.log(3), 0.0])
    with torch.no_grad():
        return session._loss(torch.zeros(2, 3, SIDE, SIDE), torch.tensor([0, 0]), epoch).item()


def test_a_session_adds_mesa_from_its_epoch_on(images, tmp_path):
    session = alone(tiny_config(images, tmp_path, recipe={"mesa": 0.5, "label_smoothing": 0}))
    assert session.average is not None
    session.average.module = Says([0.0, 100.0], [100.0, 0.0])  # sure of class 1, then of 0
    labels = math.log(4 / 3)
    assert loss_in(session, 0) == pytest.approx(labels)
    assert loss_in(session, 1) == pytest.approx(labels + 0.5 * (math.log(4) + labels) / 2)


# hard: -log(1/4) for the teacher's class; soft: the divergence of (3/4, 1/4) from (1/4, 3/4)
@pytest.mark.parametrize(("kind", "want"), [("hard", math.log(4)), ("soft", 0.5 * math.log(3))])
def test_a_session_asks_its_teacher(images, tmp_path, kind, want):
    recipe = {"distillation": kind, "teacher": "resnet10t", "distillation_share": 1.0, "mesa": 0}
    file = teacher_file(tmp_path / "teacher.pt")
    session = alone(tiny_config(images, tmp_path, recipe=recipe, teacher_weights=file))
    session.teacher = Says([0.0, math.log(3)], [0.0, math.log(3)])
    assert loss_in(session, 0) == pytest.approx(want)


def test_a_step_learns_mixed_images_and_smoothed_shares(images, tmp_path, monkeypatch):
    session = alone(tiny_config(images, tmp_path, recipe={"cutmix": 0, "label_smoothing": 0.2}))
    session.begin_training()
    seen = []
    loss = session._loss

    def noted(pixels, targets, epoch):
        seen.append((pixels, targets))
        return loss(pixels, targets, epoch)

    monkeypatch.setattr(session, "_loss", noted)
    batches = list(session.batches.epoch(0))[2:]  # the first ones have a class each
    kept = [batch.images.clone() for batch in batches]
    session.step(0, 1, iter(batches))
    for batch, before, (pixels, targets) in zip(batches, kept, seen, strict=True):
        assert ((targets > 0.11) & (targets < 0.89)).any()  # two classes met
        own = torch.full((4, 2), 0.1) + 0.8 * torch.eye(2)[batch.labels]
        far = (before - before.flip(0)).abs().flatten(1).sum(1)
        moved = (pixels - before).abs().flatten(1).sum(1) / far  # the other image's share
        share = moved[:, None]
        torch.testing.assert_close(targets, (1 - share) * own + share * own.flip(0))


def test_a_teacher_sees_images_as_it_was_trained_on_them(tmp_path):
    from evnas.train.loaders import MEAN, STD
    from evnas.train.teacher import Teacher

    pixels = torch.rand(2, 3, 4, 4)
    shape = (1, 3, 1, 1)
    seen = (pixels - torch.tensor(MEAN).view(shape)) / torch.tensor(STD).view(shape)
    half = Teacher(nn.Identity(), (0.5,) * 3, (0.25,) * 3)
    torch.testing.assert_close(half(seen), (pixels - 0.5) / 0.25)
    assert torch.equal(Teacher(nn.Identity(), MEAN, STD)(seen), seen)


def test_teachers_that_do_not_fit(images, tmp_path):
    recipe = {**ONE_EPOCH, "distillation": "hard", "teacher": "resnet10t", "mesa": 0}

    def config(weights, **changes):
        return tiny_config(
            images,
            tmp_path / "run",
            recipe={**recipe, **changes},
            teacher_weights=weights,
        )

    other = teacher_file(tmp_path / "other.pt", classes=5)
    with pytest.raises(
        DataError, match="a teacher with the data's 2 classes, it has 5; fine-tune"
    ):
        train(config(other))
    torch.save({"a": torch.ones(1)}, other)
    with pytest.raises(DataError, match="must hold the state dict of timm's resnet10t"):
        train(config(other))
    with pytest.raises(SpecError, match=r"recipe\.teacher: .* got 'resnet10'; did you mean"):
        train(config(other, teacher="resnet10"))
    with pytest.raises(SpecError, match="teacher_weights: must be the state dict of timm's"):
        config(None)
    with pytest.raises(SpecError, match="teacher_weights: must be left out with a recipe without"):
        tiny_config(images, tmp_path, teacher_weights=other)


def test_a_new_classifier_is_of_weights_that_are_given(images, tmp_path):
    with pytest.raises(SpecError, match="new_classifier: leaves out the classifier of weights"):
        tiny_config(images, tmp_path, new_classifier=True)


def test_images_must_fit(images, tmp_path):
    def refused(data, reason, **changes):
        with pytest.raises((DataError, SpecError), match=reason):
            train(tiny_config(data, tmp_path / "run", **changes))

    shutil.copytree(images / "train" / "class0", tmp_path / "half" / "train" / "dark")
    refused(tmp_path / "half", r"holds train/ and must hold val/ or test/ beside it")
    refused(images / "train", r"must hold train/ and val/, .* it holds class0/, class1/")
    refused(tmp_path / "nowhere", "must be a folder of images, there is none; it may also be")
    one = make_images(tmp_path / "one", classes=1)
    refused(one, r"train must hold a subfolder for each of at least two classes, got 1")
    empty = make_images(tmp_path / "empty")
    shutil.rmtree(empty / "train" / "class0")
    (empty / "train" / "class0").mkdir()
    refused(empty, r"class0 must hold images \(.jpg, .png, ...\), it holds none")
    unequal = make_images(tmp_path / "unequal", classes=3)
    shutil.rmtree(unequal / "val" / "class2")
    refused(unequal, "must hold the classes of .*, they differ in class2")
    refused(images, "at most the 18 training images, got 40", recipe={"batch_size": 40})
    refused(images, "device_batch: must be even for mixup", device_batch=1)


def test_the_output_must_be_a_folder(images, tmp_path):
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(DataError, match="must be a folder that can be written"):
            train(tiny_config(images, output))


def test_the_head_follows_the_data(tmp_path):
    said: list[str] = []
    data = make_images(tmp_path / "three", classes=3)
    train(tiny_config(data, tmp_path / "run", recipe=ONE_EPOCH), tell=said.append)
    assert "the classifier is made for the 3 classes of the data, in place of 2" in said
    assert load_checkpoint(tmp_path / "run").arch == tiny_arch(classes=3)


def test_images_are_read_as_a_proxy_reads_them_and_stay_the_same(images, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(images / "train", data / "Training")
    shutil.copytree(images / "val", data / "VALIDATION")
    ramp = np.linspace(0, 65535, 20 * 24).reshape(20, 24).astype(np.uint16)
    Image.fromarray(ramp).save(data / "Training" / "class0" / "0.png")
    (data / "Training" / ".ipynb_checkpoints").mkdir()
    said: list[Any] = []
    config = tiny_config(data, tmp_path / "run", recipe=ONE_EPOCH)
    train(config, tell=said.append)
    assert "18 training and 6 held-out images (Training/ and VALIDATION/) of 2 classes" in said[0]
    assert said[0].endswith("left out: 1 hidden file or folder")
    pixels, label = alone(config).data.train[0]
    assert label == 0
    assert np.asarray(pixels).mean() == pytest.approx(127.5, abs=0.5)
    train(config)
    Image.fromarray(ramp[::-1]).save(data / "Training" / "class0" / "0.png")
    with pytest.raises(
        DataError, match=r"run holds a training on other images \(class class0 has"
    ):
        train(config)


def test_a_broken_image_ends_the_training_or_is_counted(images, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(images, data)
    for broken in ("train/class0/3.png", "val/class1/1.png"):
        (data / broken).write_bytes((data / broken).read_bytes()[:60])
    for workers in (0, 1):
        config = tiny_config(data, tmp_path / f"run{workers}", recipe=ONE_EPOCH, workers=workers)
        with pytest.raises(DataError) as caught:
            train(config)
        said = str(caught.value)
        assert "3.png must be an image, it cannot be read" in said
        assert "\n" not in said
    heard: list[str] = []
    skipping = tiny_config(data, tmp_path / "skip", recipe=ONE_EPOCH, skip_broken=True, workers=1)
    result = train(skipping, tell=heard.append)
    (line,) = [line for line in heard if "could not be read" in line]
    assert line.startswith("2 images could not be read and were left out: ")
    assert result.curve[0]["top1_percent"] * 5 / 100 == pytest.approx(
        round(result.curve[0]["top1_percent"] * 5 / 100)
    )  # five of six are judged


def numpy_state() -> object:
    state: Any = np.random.get_state()
    return state[1].tolist()


def test_global_generators_are_given_back(images, tmp_path):
    before = (random.getstate(), numpy_state(), torch.get_rng_state())
    train(tiny_config(images, tmp_path, recipe=ONE_EPOCH))
    assert before[0] == random.getstate()
    assert before[1] == numpy_state()
    assert torch.equal(before[2], torch.get_rng_state())


def test_it_begins_with_weights_of_other_classes(images, tmp_path):
    torch.manual_seed(3)
    taught = build(ArchSpec.from_dict(tiny_arch().to_dict() | {"num_classes": 5}))
    path = tmp_path / "taught.pt"
    torch.save({"model_ema": {f"module.{k}": v for k, v in taught.state_dict().items()}}, path)
    with pytest.raises(DataError, match="new_classifier"):
        train(tiny_config(images, tmp_path / "run", weights=path))
    still = {**ONE_EPOCH, "lr": 0.0, "lr_floor": 0.0, "warmup_lr": 0.0}
    config = tiny_config(images, tmp_path / "run", weights=path, new_classifier=True, recipe=still)
    assert train(config).status == "complete"
    held = load_checkpoint(tmp_path / "run" / "checkpoints" / "epoch_0001.pt").weights
    assert held is not None
    for name, value in taught.named_parameters():
        assert name.startswith("head.classifier") or torch.equal(held[name], value), name
    assert held["head.classifiers.0.weight"].shape[0] == 2
    with pytest.raises(DataError, match=r"weights is '.*' there and None here"):
        train(tiny_config(images, tmp_path / "run", recipe=still))


@pytest.mark.parametrize(
    ("frozen", "moves"),
    [(("stem", "stages.0"), ("stages.1", "head")), (("*",), ("head.classifiers",))],
)
def test_frozen_parts_stay_as_they_are(images, tmp_path, frozen, moves):
    config = tiny_config(images, tmp_path, recipe=ONE_EPOCH, frozen=frozen, seed=4)
    with globally_seeded(4, "init"):
        before = build(config.arch).state_dict()
    train(config)
    after = load_checkpoint(tmp_path / "checkpoints" / "epoch_0001.pt").state_dict(ema=False)
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert moved
    assert all(name.startswith(moves) for name in moved), moved
    with pytest.raises(SpecError, match=r"frozen: .* got 'stages\.7'; did you mean 'stages\.\d'"):
        train(tiny_config(images, tmp_path / "other", frozen=("stages.7",)))


def one_step(images, tmp_path, **changes):
    """The gradients' sum of squares and the loss of a first step."""
    config = tiny_config(images, tmp_path, **changes)
    session = alone(config)
    session.begin_training()
    found = []
    zero = session.optimizer.zero_grad

    def note(*_: object) -> None:
        grads = [p.grad for p in session.model.parameters() if p.grad is not None]
        found.append(torch.cat([g.flatten() for g in grads]))
        zero()

    session.optimizer.zero_grad = note
    loss = session.step(0, 0, session.batches.epoch(0))
    return loss.item(), found[0]


def test_recomputing_blocks_changes_nothing(images, tmp_path):
    plain = one_step(images, tmp_path, recipe={"drop_path": 0.5})
    again = one_step(images, tmp_path, recipe={"drop_path": 0.5, "grad_checkpointing": True})
    assert plain[0] == again[0]
    torch.testing.assert_close(plain[1], again[1])
    other = one_step(images, tmp_path, recipe={"drop_path": 0.0})
    assert other[0] != plain[0]


def test_the_memory_format_changes_rounding_alone(images, tmp_path):
    plain, other = (
        one_step(images, tmp_path, memory_format=name) for name in ("contiguous", "channels_last")
    )
    assert other[0] == pytest.approx(plain[0], rel=1e-4)


def test_accumulated_batches_give_the_mean_gradient(images, tmp_path):
    # without batch norm's batches and mixing, four batches of two are one of eight
    recipe = {**PLAIN, "clip": 0}
    frozen = ("stem", "stages.0", "stages.1")
    few = one_step(images, tmp_path, recipe=recipe, device_batch=2, frozen=frozen)
    whole = one_step(images, tmp_path, recipe=recipe, device_batch=8, frozen=frozen)
    assert few[0] == pytest.approx(whole[0], rel=1e-5)
    torch.testing.assert_close(few[1], whole[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_trains_near_whole(images, tmp_path, precision):
    whole, _ = one_step(images, tmp_path)
    half, grads = one_step(images, tmp_path, recipe={"precision": precision})
    assert half == pytest.approx(whole, rel=2e-2)
    assert half != whole
    assert grads.isfinite().all()


def test_a_gradient_that_overflows_float16_skips_the_step_and_halves_the_scale(images, tmp_path):
    config = tiny_config(images, tmp_path, recipe={"precision": "float16"})
    session = alone(config)
    session.begin_training()
    before = {n: p.clone() for n, p in session.model.named_parameters()}
    scale = session.scaler.get_scale()
    first = next(iter(session.model.parameters()))
    first.register_hook(lambda grad: grad * float("inf"))
    session.step(0, 0, session.batches.epoch(0))
    assert session.scaler.get_scale() == scale / 2
    assert all(torch.equal(before[n], p) for n, p in session.model.named_parameters())


def test_sinks_that_are_not_installed_get_a_sentence(images, tmp_path, monkeypatch):
    from evnas.train import metrics

    monkeypatch.setattr(metrics, "_has", lambda package: False)
    for name in ("tensorboard", "wandb"):
        with pytest.raises(SpecError, match=f"--{name} needs {name}, which is not installed"):
            train(tiny_config(images, tmp_path, **{name: True}))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of tensorboardX's own protobuf
def test_the_curve_goes_to_tensorboard(images, tmp_path):
    pytest.importorskip("tensorboardX")
    train(tiny_config(images, tmp_path, recipe=ONE_EPOCH, tensorboard=True))
    (events,) = (tmp_path / "tensorboard").iterdir()
    assert b"ema_top1_percent" in events.read_bytes()


def test_wandb_stays_offline(images, tmp_path, monkeypatch):
    calls: list[Any] = []

    class Run:
        def log(self, row, step):
            calls.append((step, row))

        def finish(self):
            calls.append("finished")

    def init(**given):
        calls.append(given)
        return Run()

    fake = types.ModuleType("wandb")
    fake.init = init  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setattr("evnas.train.metrics._has", lambda package: True)
    result = train(tiny_config(images, tmp_path, recipe=ONE_EPOCH, wandb=True))
    begun, (step, row), ended = calls
    assert (begun["mode"], begun["config"]["recipe"]["epochs"]) == ("offline", 1)
    assert (step, row["loss"], ended) == (1, result.curve[0]["loss"], "finished")


def test_training_again_after_the_end_changes_nothing(trained):
    config, result, _ = trained
    said: list[str] = []
    assert train(config, tell=said.append).curve == result.curve
    assert any("going on from" in line for line in said)
