"""Short-schedule training of one candidate: a learning curve and a held-out top-1.

Data, budget, seed and the model's first weights fix the curve to the last bit on one machine's
CPU with one thread count, broken off and resumed at any epoch or not.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evnas.errors import DataError
from evnas.proxy import checkpoint as checkpoints
from evnas.proxy.augment import training_batch
from evnas.proxy.budget import CurvePoint, Ending, ProxyBudget, ProxyResult, TrainingProgress
from evnas.proxy.data import ProxyData
from evnas.proxy.evaluation import autocast, right_answers, to_hex
from evnas.proxy.hooks import Hooks, WorkTime
from evnas.proxy.schedule import adamw, chunks, epoch_order, learning_rate
from evnas.proxy.seeding import seeded, stream

CHUNK_STEPS = 4
"""Steps between two looks at the lock, the clock and the hooks."""


def train(
    model: nn.Module,
    data: ProxyData,
    budget: ProxyBudget,
    *,
    seed: int = 0,
    until_epoch: int | None = None,
    checkpoint: Path | None = None,
    hooks: Hooks | None = None,
) -> ProxyResult:
    """Train on the device where `data` lies.

    Args:
        model: (B, 3, H, W) -> logits (B, classes); initialise it within `seeded(seed, "init")`.
            It is moved to the data's device in channels_last order and trained in place.
        data: images and labels.
        budget: the schedule.
        seed: of the order, the crops and flips, and of dropout inside the model.
        until_epoch: break off after so many epochs of the schedule (a rung); None runs it all.
        checkpoint: a file to go on from if it is there, written after each epoch.
        hooks: see `Hooks`.

    Returns:
        The result; a loss that is not finite (`diverged`), memory that does not suffice (`oom`),
        `budget.limit_s` (`timeout`) and `should_stop` (`pruned`) are results too.

    Raises:
        DataError: the training set is smaller than a batch, or the checkpoint is of another
            training.
    """
    steps = budget.steps_per_epoch(len(data.train))
    if steps < budget.points_per_epoch:
        raise DataError(
            f"{data.name} must give at least {budget.points_per_epoch} batches of "
            f"{budget.batch_size} images per epoch, it has {len(data.train)} training images; "
            "lower proxy.batch_size or proxy.points_per_epoch"
        )
    run = _ProxyRun(model=model, data=data, budget=budget, seed=seed, hooks=hooks or Hooks())
    try:
        run.prepare(checkpoint)
        for epoch in range(run.epochs, budget.epochs if until_epoch is None else until_epoch):
            run.train_epoch(epoch)
            run.save(checkpoint)
    except _EndedEarly as end:
        return run.result(end.status, str(end))
    except (RuntimeError, MemoryError) as e:
        if not _is_out_of_memory(e):
            raise
        return run.result("oom", str(e).splitlines()[0] if str(e) else "out of memory")
    return run.result("complete")


class _EndedEarly(Exception):
    """The training ended before its time."""

    def __init__(self, status: Ending, reason: str) -> None:
        super().__init__(reason)
        self.status: Ending = status


def _is_out_of_memory(error: BaseException) -> bool:
    # on a CPU torch's allocator raises a plain RuntimeError
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        "DefaultCPUAllocator" in str(error) or "CUDA out of memory" in str(error)
    )


@dataclass(kw_only=True)
class _ProxyRun:
    """A training under way."""

    model: nn.Module
    data: ProxyData
    budget: ProxyBudget
    seed: int
    hooks: Hooks
    curve: list[CurvePoint] = field(default_factory=list)
    epochs: int = 0
    steps: int = 0
    correct_hex: str = ""
    losses: list[float] = field(default_factory=list)
    """Since the last point."""

    def __post_init__(self) -> None:
        self.device = self.data.train.images.device
        self.training_time = WorkTime(self.hooks)
        self.evaluation_time = WorkTime(self.hooks)
        self.steps_per_epoch = self.budget.steps_per_epoch(len(self.data.train))
        self.total = self.budget.epochs * self.steps_per_epoch

    @property
    def seconds(self) -> float:
        return self.training_time.seconds + self.evaluation_time.seconds

    def prepare(self, checkpoint: Path | None) -> None:
        self.model.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = adamw(self.model, self.budget)
        if checkpoint is not None:
            self.identity = checkpoints.identity(
                self.model, self.data, budget=self.budget, seed=self.seed
            )
            if checkpoint.exists():
                self._restore(checkpoints.load(checkpoint, self.identity, device=self.device))

    def _restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.curve = [CurvePoint(**point) for point in state["curve"]]
        self.epochs, self.steps = state["epochs"], state["steps"]
        self.training_time.seconds = state["training_s"]
        self.evaluation_time.seconds = state["evaluation_s"]
        self.correct_hex = state["correct_hex"]

    def save(self, checkpoint: Path | None) -> None:
        if checkpoint is None:
            return
        checkpoints.save(
            checkpoint,
            {
                "identity": self.identity,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "curve": [point.to_dict() for point in self.curve],
                "epochs": self.epochs,
                "steps": self.steps,
                "training_s": self.training_time.seconds,
                "evaluation_s": self.evaluation_time.seconds,
                "correct_hex": self.correct_hex,
            },
        )

    def train_epoch(self, epoch: int) -> None:
        size = self.budget.batch_size
        images = self.steps_per_epoch * size
        order = epoch_order(self.seed, epoch, images=images, train_images=len(self.data.train))
        batches = order.view(self.steps_per_epoch, size)
        views = stream(self.seed, "views", epoch)
        with (
            seeded(self.seed, "model", epoch),
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
        ):
            for run, ends_in_point in chunks(
                self.steps_per_epoch, self.budget.points_per_epoch, longest=CHUNK_STEPS
            ):
                self._between_steps()
                self._train_chunk(batches[run.start : run.stop], views)
                if ends_in_point:
                    self._add_point()
        self.epochs = epoch + 1

    def _between_steps(self) -> None:
        if self.seconds > self.budget.limit_s:
            limit_s = self.budget.limit_s
            raise _EndedEarly(
                "timeout",
                f"stopped at step {self.steps} of {self.total}: the limit of {limit_s:g} s is "
                "over",
            )
        if self.hooks.should_stop():
            raise _EndedEarly("pruned", f"stopped at step {self.steps} of {self.total}")

    def _train_chunk(self, batches: Tensor, views: torch.Generator) -> None:
        self.model.train()
        first, before = self.steps, self.training_time.seconds
        with self.training_time():
            losses = torch.stack([self._step(indices, views) for indices in batches]).tolist()
        for step, loss in enumerate(losses, start=first + 1):
            if not math.isfinite(loss):
                self.steps = step
                raise _EndedEarly(
                    "diverged", f"the loss was {loss} at step {step} of {self.total}"
                )
        self.losses += losses
        rate = batches.numel() / max(self.training_time.seconds - before, 1e-9)
        self.hooks.on_progress(
            TrainingProgress(
                step=self.steps, total=self.total, loss=losses[-1], throughput_img_s=rate
            )
        )

    def _step(self, indices: Tensor, views: torch.Generator) -> Tensor:
        """One step of the optimizer; returns the loss, () float32, on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.steps, self.total, self.budget)
        images, labels = training_batch(
            self.data, indices, resolution=self.budget.resolution, generator=views
        )
        loss = torch.zeros((), device=self.device)
        parts = self.budget.parts
        for part, labels_of_part in zip(
            images.tensor_split(parts), labels.tensor_split(parts), strict=True
        ):
            share = len(part) / len(images)
            mean = self._loss(part, labels_of_part)
            (mean if share == 1 else share * mean).backward()  # type: ignore[no-untyped-call]
            loss += share * mean.detach()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.budget.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.steps += 1
        return loss

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """The mean loss of some images, () float32."""
        with autocast(self.device, self.budget.precision):
            outputs = self.model(images)
        # without a teacher, both heads of a model for distillation learn the labels
        heads = outputs if isinstance(outputs, tuple) else (outputs,)
        smoothing = self.budget.label_smoothing
        return torch.stack(
            [F.cross_entropy(z.float(), labels, label_smoothing=smoothing) for z in heads]
        ).mean()

    def _add_point(self) -> None:
        ends = self.steps == self.total
        wanted = self.budget.held_out_images if ends else self.budget.curve_images
        images = min(wanted, len(self.data.held_out))
        right = right_answers(
            self.model,
            self.data,
            images=images,
            resolution=self.budget.resolution,
            precision=self.budget.precision,
            device_lock=self.evaluation_time,
        )
        if right is None:
            raise _EndedEarly("diverged", f"a logit was not finite after step {self.steps}")
        self.correct_hex = to_hex(right)
        point = CurvePoint(
            epoch=self.steps / self.steps_per_epoch,
            images=self.steps * self.budget.batch_size,
            loss=math.fsum(self.losses) / len(self.losses),
            top1_percent=100 * right.double().mean().item(),
            held_out_images=images,
            seconds=self.seconds,
        )
        self.losses.clear()
        self.curve.append(point)
        self.hooks.on_point(point)

    def result(self, status: Ending, error: str = "") -> ProxyResult:
        parts = self.budget.parts
        return ProxyResult(
            status=status,
            curve=tuple(self.curve),
            epochs=self.epochs,
            steps=self.steps,
            images=self.steps * self.budget.batch_size,
            seconds=self.seconds,
            train_seconds=self.training_time.seconds,
            error=error,
            correct_hex=self.correct_hex,
            details={
                "threads": torch.get_num_threads(),
                "device": str(self.device),
                **({} if parts == 1 else {"batch_parts": parts}),
            },
        )
