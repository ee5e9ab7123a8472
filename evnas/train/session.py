"""Everything of a training under way: network, average, optimizer, images; and one step of it.

What is random in a batch is named by the seed, the epoch and the batch's number among those of all
devices. So two devices with a batch each do what one does with two accumulated batches, and a
training goes on in the middle of an epoch to the last bit.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from timm.data.mixup import Mixup
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from evnas.arch.paths import edit
from evnas.arch.spec import ArchSpec
from evnas.blocks.fill import fill, is_classifier
from evnas.blocks.official import read_checkpoint
from evnas.blocks.timm_backbone import TimmBackbone
from evnas.blocks.unwrap import unwrapped
from evnas.errors import DataError, SpecError, nearest
from evnas.proxy.fingerprint import reading_of
from evnas.runtime import Precision
from evnas.train.batch_norm import StepStatistics
from evnas.train.config import TrainConfig, batch_plan
from evnas.train.data import ImageData, image_count, images_noted, is_stream, open_dataset
from evnas.train.loaders import (
    NO_LABEL,
    Batch,
    TrainingBatches,
    View,
    evaluation_batches,
    part_of_step,
    training_transform,
)
from evnas.train.losses import training_loss
from evnas.train.optimizer import clip, optimizer_of, scheduler
from evnas.train.recipe import Recipe
from evnas.train.seeding import globally_seeded, seed_globally
from evnas.train.teacher import Teacher, load_teacher
from evnas.train.workers import image_workers
from evnas.train.world import World
from evnas.words import counted

ALL = "*"
"""Of `TrainConfig.frozen`: all but the classifiers."""
_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Session:
    """A training's parts, made from its config."""

    def __init__(
        self, config: TrainConfig, world: World, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self.config, self.recipe, self.world = config, config.recipe, world
        self.device = world.device
        self.workers = image_workers(config.workers)
        self._take_data(tell)
        self._make_network()
        self._make_optimizer()
        self._take_teacher()
        self._share_out()
        self.broken: set[str] = set()

    def _take_data(self, tell: Callable[[str], None]) -> None:
        """The images, the architecture with their classes, and how they come in batches."""
        config, world = self.config, self.world
        reading = reading_of(images_noted(config.output))
        self.data = open_dataset(config.data, reading=reading)
        tell(f"images: {self.data}")
        self.classes = class_names(self.data, config.arch)
        self.arch = config.arch
        if len(self.classes) != self.arch.num_classes:
            of_data = counted(len(self.classes), "class", "classes")
            tell(
                f"the classifier is made for the {of_data} of the data, in place of "
                f"{self.arch.num_classes}"
            )
            self.arch = edit(self.arch, {"num_classes": len(self.classes)})
        images = self.data.train
        self.plan = batch_plan(config, images=image_count(images), devices=world.size)
        if self.recipe.mixes and self.plan.device_batch % 2:
            raise SpecError(
                "must be even for mixup and cutmix, which pair images, got "
                f"{self.plan.device_batch}",
                "device_batch",
            )
        self.batches = TrainingBatches(
            images,
            training_transform(self.recipe, config.side),
            self.plan,
            seed=config.seed,
            rank=world.rank,
            workers=self.workers,
            skip_broken=config.skip_broken,
            pin=self.device.type == "cuda",
        )
        self.view = View(
            resolution=config.side,
            crop_fraction=self.recipe.crop_fraction,
            interpolation=self.recipe.interpolation,
        )

    def _make_network(self) -> None:
        """With its first weights, its frozen parts and its average, on the device."""
        config = self.config
        self.model = _network(self.arch, self.recipe, config.seed)
        self.weights_digest: str | None = None
        if config.weights is not None:
            self.weights_digest = begin_with(self.model, config.weights, config.new_classifier)
        self.frozen = freeze(self.model, config.frozen)
        self.model.to(self.device)
        self.channels_last = config.memory_format == "channels_last" or (
            config.memory_format == "auto" and channels_last_is_faster(self.device)
        )
        if self.channels_last:
            self.model.to(memory_format=torch.channels_last)
        self.average: ModelEmaV3 | None = None
        if self.recipe.ema_decay:
            self.average = ModelEmaV3(self.model, decay=self.recipe.ema_decay)

    def _make_optimizer(self) -> None:
        """And what changes with the steps."""
        self.optimizer = optimizer_of(self.model, self.recipe)
        self.scheduler = scheduler(
            self.optimizer, self.recipe, updates_per_epoch=self.plan.steps_per_epoch
        )
        self.scaler = torch.amp.GradScaler(
            self.device.type, enabled=self.recipe.precision == "float16"
        )
        self.statistics = StepStatistics(self.model, self.plan.accumulate)
        self.mix = _mixing(self.recipe, len(self.classes))

    def _take_teacher(self) -> None:
        config = self.config
        self.teacher: Teacher | None = None
        if config.teacher_weights is not None:
            self.teacher = load_teacher(
                self.recipe.teacher,
                config.teacher_weights,
                classes=len(self.classes),
                side=config.side,
                device=self.device,
            )

    def _share_out(self) -> None:
        """The network as all devices train it together."""
        config, world = self.config, self.world
        self.parallel: nn.Module = self.model
        if world.size > 1:
            self.parallel = DistributedDataParallel(
                self.model,
                device_ids=[self.device] if self.device.type == "cuda" else None,
                broadcast_buffers=False,  # running statistics are averaged once a step
                find_unused_parameters=bool(unused_parameters(self.model, config.side)),
            )

    def step(self, epoch: int, step: int, batches: Iterator[Batch]) -> Tensor:
        """One step of the optimizer; the mean loss of its batches on this device, () float32."""
        plan = self.plan
        update = epoch * plan.steps_per_epoch + step
        self.scheduler.step_update(update)
        losses = []
        for turn in range(plan.accumulate):
            batch = next(batches)
            self.broken.update(batch.broken)
            part = part_of_step(plan, step, turn, self.world.rank)
            seed_globally(self.config.seed, "part", epoch, part)
            self.statistics.begin_batch(turn)
            images, targets = self._mixed(self.images_of(batch), self.labels_of(batch))
            with self._communicating(turn == plan.accumulate - 1):
                loss = self._loss(images, targets, epoch)
                scaled = self.scaler.scale(loss / plan.accumulate)
                scaled.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
        self.statistics.end_step()
        if self.recipe.clip:
            self.scaler.unscale_(self.optimizer)
            clip(self.model, self.recipe)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        return torch.stack(losses).mean()

    def follow(self, update: int) -> None:
        """Move the average after step `update` of the training, from 1."""
        if self.average is not None:
            self.average.update(self.model, step=update)

    def begin_training(self) -> None:
        """Training mode, but for what is frozen."""
        self.model.train()
        for module in self.frozen:
            module.eval()

    def images_of(self, batch: Batch) -> Tensor:
        """(B, 3, H, W) on the device."""
        images = batch.images.to(self.device, non_blocking=True)
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return images

    def labels_of(self, batch: Batch) -> Tensor:
        """(B,) on the device. Raises DataError where one is no class."""
        least, most = int(batch.labels.min()), int(batch.labels.max())
        if least < 0 or most >= len(self.classes):
            raise DataError(
                f"{self.data.name} must have labels from 0 to {len(self.classes) - 1}, got "
                f"{least if least < 0 else most}"
            )
        return batch.labels.to(self.device, non_blocking=True)

    def _mixed(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if self.mix is None:
            return images, labels
        mixed: tuple[Tensor, Tensor] = self.mix(images, labels)
        return mixed

    def _communicating(self, now: bool) -> contextlib.AbstractContextManager[object]:
        """Gradients are exchanged with the last batch of a step alone."""
        if now or not isinstance(self.parallel, DistributedDataParallel):
            return contextlib.nullcontext()
        return self.parallel.no_sync()

    def _loss(self, images: Tensor, targets: Tensor, epoch: int) -> Tensor:
        counts = self.average is not None and epoch >= self.recipe.mesa_epoch
        with autocast(self.device, self.recipe.precision):
            return training_loss(
                self.parallel(images),
                targets,
                recipe=self.recipe,
                images=images,
                teacher=self.teacher,
                average=self.average.module if counts and self.average is not None else None,
            )

    def networks(self) -> list[nn.Module]:
        """What is evaluated: the network, and its moving average where there is one."""
        return [self.model, *([] if self.average is None else [self.average.module])]

    def evaluate(self, models: Sequence[nn.Module]) -> list[dict[str, float]]:
        """`top1_percent` and `held_out_loss` of each network, in one passage over the held-out
        images, on all devices together.

        The loss is not finite where a logit is not.

        Raises:
            DataError: an image cannot be read, or none has a label.
        """
        shares = not is_stream(self.data.held_out)
        sums = torch.zeros(len(models), 3, dtype=torch.float64)  # right, loss, images
        for model in models:
            model.eval()
        batches = evaluation_batches(
            self.data.held_out,
            self.view,
            batch_size=self.plan.device_batch,
            workers=self.workers,
            skip_broken=self.config.skip_broken,
            rank=self.world.rank if shares else 0,
            devices=self.world.size if shares else 1,
        )
        with torch.inference_mode():
            for batch in batches:
                self.broken.update(batch.broken)
                images = self.images_of(batch)
                for i, model in enumerate(models):
                    with autocast(self.device, self.recipe.precision):
                        logits = model(images)
                    sums[i] += _judged(logits.float().cpu(), batch.labels)
        if shares:
            self.world.total(sums)
        if not sums[0, 2]:
            raise DataError(f"{self.data.name} must have held-out images with labels, none has")
        return [
            {"top1_percent": 100 * right / count, "held_out_loss": loss / count}
            for right, loss, count in sums.tolist()
        ]


def _judged(logits: Tensor, labels: Tensor) -> Tensor:
    """(3,) float64: how many are right, the sum of their losses, how many there are."""
    known = labels != NO_LABEL
    logits, labels = logits[known], labels[known]
    right = (logits.argmax(1) == labels).sum()
    loss = nn.functional.cross_entropy(logits, labels, reduction="sum")
    return torch.stack([right.double(), loss.double(), known.sum().double()])


def class_names(data: ImageData, arch: ArchSpec) -> tuple[str, ...]:
    """The data's classes; where it does not say, as many as the architecture has.

    Raises:
        DataError: there is one.
    """
    names = data.classes or tuple(map(str, range(arch.num_classes)))
    if len(names) < 2:
        raise DataError(f"{data.name} must hold at least two classes, got {len(names)}")
    return names


def _network(arch: ArchSpec, recipe: Recipe, seed: int) -> TimmBackbone:
    with globally_seeded(seed, "init"):
        model = TimmBackbone(arch, num_classes=arch.num_classes, drop_path_rate=recipe.drop_path)
    model.set_distilled_training(arch.head.distillation)
    model.set_grad_checkpointing(recipe.grad_checkpointing)
    return model


def begin_with(model: nn.Module, weights: Path, new_classifier: bool) -> str:
    """Fill a model from a file; the digest of what was read.

    Raises:
        DataError: the file cannot be read, or is of another model.
    """
    state = unwrapped(read_checkpoint(weights))
    fill(model, state, where=f"{weights} does not fit the model", new_classifier=new_classifier)
    return hashlib.sha256(weights.read_bytes()).hexdigest()[:12]


def freeze(model: nn.Module, names: tuple[str, ...]) -> list[nn.Module]:
    """Take modules out of the training; those whose batch norms must stay in evaluation mode.

    Args:
        names: modules of the model, or `*` for all but its classifiers.

    Raises:
        SpecError: there is no such module.
    """
    known = dict(model.named_modules())
    kept: list[nn.Module] = []
    for name in names:
        if name != ALL and (name not in known or not name):
            shown = [n for n in known if n and n.count(".") < 2]
            raise SpecError(
                f"must name modules of the network or {ALL}, got {name!r}{nearest(name, shown)}; "
                f"there are {', '.join(n for n in shown if '.' not in n)} and those within",
                "frozen",
            )
        for key, parameter in model.named_parameters():
            inside = not is_classifier(key) if name == ALL else key.startswith(f"{name}.")
            if inside:
                parameter.requires_grad_(False)
        inner = known.values() if name == ALL else known[name].modules()
        kept += [module for module in inner if isinstance(module, _BatchNorm)]
    if names == (ALL,):  # a linear probe sees whole features: no stochastic depth either
        kept += [m for n, m in known.items() if n.startswith(("stem", "stages"))]
    return kept


def channels_last_is_faster(device: torch.device) -> bool:
    """Whether trainings take that format unasked: on GPUs, whose convolutions prefer it in half
    precision. On a CPU neither is surely faster (`benchmarks/training_rate.py`)."""
    return device.type == "cuda"


def _mixing(recipe: Recipe, classes: int) -> Mixup | None:
    """Mixup and cutmix by batch, label smoothing inside the mixed targets."""
    if not recipe.mixes:
        return None
    return Mixup(  # type: ignore[no-untyped-call]  # timm leaves it untyped
        mixup_alpha=recipe.mixup,
        cutmix_alpha=recipe.cutmix,
        prob=recipe.mix_probability,
        switch_prob=recipe.mix_switch_probability,
        mode="batch",
        label_smoothing=recipe.label_smoothing,
        num_classes=classes,
    )


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Half precision where asked for, otherwise nothing."""
    dtype = _DTYPES.get(precision)
    return torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None)


def unused_parameters(model: TimmBackbone, side: int) -> list[str]:
    """Names of parameters that no logit depends on; the model is left as it was.

    An exchange of gradients would wait for them.
    """
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    was_training = model.training
    device = next(model.parameters()).device
    with globally_seeded(0, "unused"):
        outputs: Any = model.train()(torch.rand(2, 3, side, side, device=device))
        logits = outputs if isinstance(outputs, tuple) else (outputs,)
        sum(z.float().sum() for z in logits).backward()
    found = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    model.zero_grad()
    model.train(was_training)
    with torch.no_grad():
        for name, value in model.named_buffers():
            value.copy_(buffers[name])
    return found


def identity_of(session: Session) -> dict[str, Any]:
    """What must be the same for a training to go on: plain data."""
    config = session.config
    return {
        "arch": session.arch.digest,
        "seed": config.seed,
        "resolution": config.side,
        "weights": session.weights_digest,
        "new_classifier": config.new_classifier,
        "frozen": list(config.frozen),
        **{f"recipe.{name}": _plain(v) for name, v in session.recipe.model_dump().items()},
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
