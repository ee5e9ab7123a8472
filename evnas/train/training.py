"""Full-schedule training of a chosen architecture on one device, resumed where it stopped."""

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import timm
import torch
from timm.scheduler.cosine_lr import CosineLRScheduler
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn

from evnas.blocks.backbone import build
from evnas.blocks.fill import fill
from evnas.blocks.official import read_checkpoint
from evnas.blocks.unwrap import unwrapped
from evnas.errors import DataError
from evnas.proxy.checkpoint import load, save
from evnas.proxy.evaluation import autocast
from evnas.proxy.schedule import decay_groups
from evnas.train.loaders import (
    ImageFiles,
    images_of,
    mixing,
    must_be_the_images_of,
    training_loader,
    validation_loader,
)
from evnas.train.losses import distillation_loss, mesa_loss, soft_cross_entropy
from evnas.train.recipe import Recipe, Teacher, TrainConfig, TrainResult
from evnas.train.seeding import globally_seeded

CHECKPOINT = "checkpoint.pt"


def train(config: TrainConfig, *, tell: Callable[[str], None] = lambda _: None) -> TrainResult:
    """Train, or go on from `config.output`, to the end of the recipe.

    `tell` hears a sentence about the images before the first step.

    After every epoch `config.output` holds `checkpoint.pt` (everything), `best.pt` and
    `best_ema.pt` (state dicts of the best epochs, raw and moving average) and `curve.json`.

    `images.json` says what it was trained on.

    Raises:
        DataError: images, the teacher's weights or a fitting checkpoint are not there, or the
            images are others than those of the training that would go on.
    """
    session = _Session(config)
    tell(f"images: {session.found}")
    must_be_the_images_of(config.output, session.found)
    path = config.output / CHECKPOINT
    if path.exists():
        session.restore(path)
    for epoch in range(len(session.curve), config.recipe.all_epochs):
        with globally_seeded(config.seed, "full", epoch):
            loss = session.train_epoch(epoch)
        if not math.isfinite(loss):
            return session.result("diverged", f"the loss was {loss} in epoch {epoch + 1}")
        session.close_epoch(epoch, loss)
    return session.result("complete")


def scheduler(
    optimizer: torch.optim.Optimizer, recipe: Recipe, *, updates_per_epoch: int
) -> CosineLRScheduler:
    """Linear warm-up, then one cosine to the floor, an update per step; the floor afterwards."""
    warmup = recipe.warmup_epochs * updates_per_epoch
    return CosineLRScheduler(
        optimizer,
        t_initial=recipe.epochs * updates_per_epoch - warmup,
        lr_min=recipe.lr_floor,
        warmup_t=warmup,
        warmup_lr_init=recipe.warmup_lr,
        warmup_prefix=True,
        t_in_epochs=False,
    )


def load_teacher(teacher: Teacher, *, classes: int, device: torch.device) -> nn.Module:
    """The frozen teacher in evaluation mode. Raises DataError when its weights do not fit."""
    model: nn.Module = timm.create_model(teacher.name, num_classes=classes)
    try:
        state = torch.load(teacher.weights, map_location="cpu", weights_only=True)
        model.load_state_dict(state)
    except (OSError, RuntimeError, TypeError) as e:
        raise DataError(
            f"{teacher.weights} must hold the state dict of timm's {teacher.name} with {classes} "
            f"classes: {str(e).splitlines()[0]}"
        ) from e
    return model.to(device).eval().requires_grad_(False)


def begin_with(model: nn.Module, weights: Path, new_classifier: bool) -> str:
    """Fill a model from a file; the digest of what was read.

    Raises:
        DataError: the file cannot be read, or is of another model.
    """
    state = unwrapped(read_checkpoint(weights))
    fill(model, state, where=f"{weights} does not fit the model", new_classifier=new_classifier)
    return hashlib.sha256(weights.read_bytes()).hexdigest()[:12]


class _Session:
    """Model, optimizer and images of a training under way."""

    def __init__(self, config: TrainConfig) -> None:
        self.config, self.recipe = config, config.recipe
        self.device = torch.device(config.device)
        classes = config.arch.num_classes
        self.found = images_of(config.data, classes=classes)
        trained_on = ImageFiles(list(self.found.train))
        self.images = training_loader(config, trained_on)
        self.updates_per_epoch = len(self.images) // self.recipe.accumulate
        if self.updates_per_epoch < 1:
            needed = self.recipe.batch_size * self.recipe.accumulate
            raise DataError(
                f"{config.data} must hold at least batch_size * accumulate = {needed} training "
                f"images, it holds {len(trained_on)}; lower one of them"
            )
        self.held_out = validation_loader(config, ImageFiles(list(self.found.held_out)))
        with globally_seeded(config.seed, "init"):
            model = build(config.arch)
        self.weights_digest: str | None = None
        if config.weights is not None:
            self.weights_digest = begin_with(model, config.weights, config.new_classifier)
        self.model = model.to(self.device)
        self.average = ModelEmaV3(self.model, decay=self.recipe.ema_decay)
        self.optimizer = torch.optim.AdamW(
            decay_groups(self.model, self.recipe.weight_decay), lr=self.recipe.lr, fused=True
        )
        self.scheduler = scheduler(
            self.optimizer, self.recipe, updates_per_epoch=self.updates_per_epoch
        )
        self.mix = mixing(self.recipe, classes=classes)
        teacher = config.teacher
        self.teacher: nn.Module | None = None
        if teacher is not None:
            self.teacher = load_teacher(teacher, classes=classes, device=self.device)
        self.curve: list[dict[str, float]] = []

    def train_epoch(self, epoch: int) -> float:
        """The mean loss over the batches; not finite when it diverged."""
        self.model.train()
        total, update = 0.0, epoch * self.updates_per_epoch
        batches = self.updates_per_epoch * self.recipe.accumulate
        for i, (images, labels) in zip(range(batches), self.images, strict=False):
            if i % self.recipe.accumulate == 0:
                self.scheduler.step_update(update)
                self.optimizer.zero_grad()
            loss = self._loss(*self._mixed(images, labels), epoch)
            (loss / self.recipe.accumulate).backward()  # type: ignore[no-untyped-call]
            total += loss.item()
            if not math.isfinite(total):
                return total
            if (i + 1) % self.recipe.accumulate == 0:
                nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
                self.optimizer.step()
                update += 1
                self.average.update(self.model, step=update)
        return total / batches

    def _mixed(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        mixed: tuple[Tensor, Tensor] = self.mix(images.to(self.device), labels.to(self.device))
        return mixed

    def _loss(self, images: Tensor, targets: Tensor, epoch: int) -> Tensor:
        with autocast(self.device, self.recipe.precision):
            outputs = self.model(images)
            if self.teacher is not None and self.config.teacher is not None:
                taught = self.teacher(images)
                alpha = self.config.teacher.alpha
                return distillation_loss(outputs, targets, taught=taught, alpha=alpha)
            loss = soft_cross_entropy(outputs, targets)
            if self.recipe.mesa and epoch >= self.recipe.mesa_epoch:
                loss = loss + self.recipe.mesa * mesa_loss(outputs, images, self.average.module)
        return loss

    def close_epoch(self, epoch: int, loss: float) -> None:
        """Evaluate both models, and write everything down."""
        point = {
            "epoch": float(epoch + 1),
            "loss": loss,
            "lr": float(self.optimizer.param_groups[0]["lr"]),
            "top1_percent": self._top1_percent(self.model),
            "ema_top1_percent": self._top1_percent(self.average.module),
        }
        output = self.config.output
        for quantity, model, name in (
            ("top1_percent", self.model, "best.pt"),
            ("ema_top1_percent", self.average.module, "best_ema.pt"),
        ):
            before = max((p[quantity] for p in self.curve), default=-math.inf)
            if point[quantity] > before:
                save(output / name, model.state_dict())
        self.curve.append(point)
        save(output / CHECKPOINT, self._state())
        (output / "curve.json").write_text(json.dumps(self.curve, indent=1) + "\n")

    def _top1_percent(self, model: nn.Module) -> float:
        model.eval()
        right = images_seen = 0
        with torch.inference_mode(), autocast(self.device, self.recipe.precision):
            for images, labels in self.held_out:
                logits = model(images.to(self.device))
                right += int((logits.argmax(1).cpu() == labels).sum())
                images_seen += len(labels)
        return 100 * right / images_seen

    def _identity(self) -> dict[str, Any]:
        return {
            "arch": self.config.arch.digest,
            "seed": self.config.seed,
            "recipe": repr(self.recipe),
            "resolution": self.config.resolution,
            "teacher": repr(self.config.teacher),
            "weights": self.weights_digest,  # None, as in checkpoints that know nothing of them
            "new_classifier": self.config.new_classifier or None,
        }

    def _state(self) -> dict[str, Any]:
        return {
            "identity": self._identity(),
            "model": self.model.state_dict(),
            "average": self.average.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "curve": self.curve,
        }

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint. Raises DataError when it is of another training."""
        state = load(path, self._identity(), device=self.device)
        self.model.load_state_dict(state["model"])
        self.average.module.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.curve = state["curve"]

    def result(self, status: Literal["complete", "diverged"], error: str = "") -> TrainResult:
        return TrainResult(
            status=status, epochs=len(self.curve), curve=tuple(self.curve), error=error
        )
