"""A whole training: it begins or goes on, keeps checkpoints, and ends or leaves when asked to."""

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evnas.errors import DataError, StoreError
from evnas.files import drafts_in, write_whole
from evnas.store.trainings import KeptTraining, keep_training
from evnas.train import checkpoint as checkpoints
from evnas.train.config import Status, TrainConfig, TrainResult
from evnas.train.data import NOTED, images_noted, is_stream
from evnas.train.metrics import Sink, must_be_installed, sinks, write_curve
from evnas.train.progress import EpochProgress, memory_mib
from evnas.train.seeding import globally_seeded
from evnas.train.session import Session, identity_of
from evnas.train.stop import StopRequest, listening
from evnas.train.world import World, joined
from evnas.words import counted

SUMMARY = "training.json"
OLD_CHECKPOINT = "checkpoint.pt"
AGREE_EVERY = 10
"""Steps after which several devices see that one of them was asked to leave."""
LOOK_EVERY = 50
"""Steps between two looks at whether the loss is finite, which wait for the device."""


def train(config: TrainConfig, *, tell: Callable[[str], None] = lambda _: None) -> TrainResult:
    """Train, or go on from `config.output`, to the end of the recipe.

    Below `torchrun` each process calls it, and they train together. SIGTERM and SIGUSR1 save
    and end it as `stopped`.

    Afterwards `config.output` holds `checkpoints/`, `best.pt` and, with a moving average,
    `best_ema.pt` (see `evnas.train.checkpoint`), `curve.json`, `metrics.csv`, `metrics.jsonl`,
    `images.json` (what it was trained on) and `training.json` (what it is, and how it ended).

    Args:
        config: what is trained, on what.
        tell: hears sentences: the images before the first step, then how far it is. Of several
            processes the first alone speaks.

    Raises:
        DataError: images, weights or a fitting checkpoint are not there, or the images are others
            than those of the training that would go on.
        SpecError: the recipe's batch cannot be made on these devices, or names what is not there.
    """
    must_be_installed(tensorboard=config.tensorboard, wandb=config.wandb)
    must_be_a_folder(config.output)
    with (
        joined(config.device) as world,
        listening() as asked,
        globally_seeded(config.seed, "training"),  # gives the generators back
    ):
        says = tell if world.is_first else _silent
        run = _Run(Session(config, world, says), says, asked)
        run.prepare()
        return run.to_its_end()


def must_be_a_folder(output: Path) -> None:
    """Make it if need be. Raises DataError where it is none that can be written."""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise DataError(
            f"--output {output} must be a folder that can be written ({e.strerror})"
        ) from e
    if not os.access(output, os.W_OK):
        raise DataError(f"--output {output} must be a folder that can be written, it cannot")


def _silent(_: str) -> None:
    """What processes beside the first say."""


class _Ended(Exception):
    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status: Status = status


@dataclass
class _Run:
    """A session and how far it is."""

    session: Session
    tell: Callable[[str], None]
    asked: StopRequest
    curve: list[dict[str, float]] = field(default_factory=list)
    costs: list[dict[str, float]] = field(default_factory=list)
    """What each epoch took: `seconds`, `throughput_img_s`, `peak_mib`."""
    first_step: int = 0
    """Steps of the epoch under way that are done."""
    loss_sum: float = 0.0
    """Over those steps, of the mean over all devices."""
    epoch_seconds: float = 0.0
    """That the epoch under way took before this process."""

    def __post_init__(self) -> None:
        self.config, self.recipe = self.session.config, self.session.recipe
        self.world: World = self.session.world
        self.plan = self.session.plan
        self.sinks: list[Sink] = []
        self.saved_at = time.monotonic()
        self.agreed = 0
        self.study_refused = False

    @property
    def epochs(self) -> int:
        """Finished."""
        return len(self.curve)

    def prepare(self) -> None:
        """Find the checkpoint to go on from; note what is trained on what."""
        output = self.config.output
        if (output / OLD_CHECKPOINT).exists() and not checkpoints.checkpoints_in(output):
            raise DataError(
                f"{output} holds a training of an earlier evnas, which cannot go on; name another "
                f"--output, and begin from it by --weights {output / OLD_CHECKPOINT}"
            )
        if self.world.is_first:
            for left_behind in drafts_in(output):
                left_behind.unlink(missing_ok=True)
            self._must_be_the_images()
        found = checkpoints.newest_whole(output, self.tell)
        if found is not None:
            self._restore(*found)
        self.world.wait()
        self.progress = EpochProgress(
            self.tell,
            steps=self.plan.steps_per_epoch,
            epochs=self.recipe.all_epochs,
            images_per_step=self.plan.batch_size,
            device=self.session.device,
        )
        if self.world.is_first:
            self.sinks = sinks(
                output,
                tensorboard=self.config.tensorboard,
                wandb=self.config.wandb,
                settings=self._summary("running"),
            )
            self._write_summary("running")

    def to_its_end(self) -> TrainResult:
        status: Status = "complete"
        reason = ""
        last = self.recipe.all_epochs
        if self.config.until_epoch is not None:
            last = min(last, self.config.until_epoch)
        try:
            for epoch in range(self.epochs, last):
                self._train_epoch(epoch)
                self._close_epoch(epoch)
            if last < self.recipe.all_epochs:
                status = "stopped"
        except _Ended as end:
            status, reason = end.status, str(end)
        if self.world.is_first:
            self._write_summary(status, reason)
            for sink in self.sinks:
                sink.close()
        self.world.wait()
        return TrainResult(
            status=status, epochs=self.epochs, curve=tuple(self.curve), error=reason
        )

    def _train_epoch(self, epoch: int) -> None:
        session, began = self.session, time.monotonic()
        steps = self.plan.steps_per_epoch
        session.begin_training()
        batches = session.batches.epoch(epoch, self.first_step)
        unread: list[Tensor] = []
        for step in range(self.first_step, steps):
            loss = session.step(epoch, step, batches)
            asked = self._agree(loss, unread, last=step + 1 == steps)
            session.follow(epoch * steps + step + 1)
            is_due, last = self.progress.due(), step + 1 == steps
            if is_due or asked or last or (step + 1) % LOOK_EVERY == 0:
                self._read(unread)
            if asked or last or (step + 1) % LOOK_EVERY == 0:  # the same steps on all devices
                self._must_be_finite(epoch)
            if is_due:
                self.progress.say(epoch, step + 1, self.loss_sum / (step + 1))
            if asked or (not last and self._is_old()):
                self.first_step = step + 1
                self._read(unread)
                if math.isfinite(self.loss_sum):
                    self._save(self.epoch_seconds + time.monotonic() - began)
            if asked:
                name = self.asked.signal_name or "a signal to another process"
                raise _Ended(
                    "stopped",
                    f"{name} came in epoch {epoch + 1}, after step {step + 1} of {steps}",
                )
        self.epoch_seconds += time.monotonic() - began

    def _agree(self, loss: Tensor, unread: list[Tensor], *, last: bool) -> bool:
        """Average over devices what each has of its own; whether any was asked to leave."""
        if self.world.size == 1:
            unread.append(loss)
            return self.asked.came
        own = torch.stack([loss, torch.full_like(loss, float(self.asked.came))])
        mean, came = self.world.average_together(self.session.statistics.buffers(), own)
        unread.append(mean)
        self.agreed += 1
        # the answer is waited for now and then: all devices look after the same steps
        return (last or self.agreed % AGREE_EVERY == 0) and bool(came > 0)

    def _read(self, unread: list[Tensor]) -> None:
        for loss in torch.stack(unread).tolist() if unread else ():
            self.loss_sum += loss
        unread.clear()

    def _must_be_finite(self, epoch: int) -> None:
        if not math.isfinite(self.loss_sum):
            raise _Ended("diverged", f"the loss was {self.loss_sum} in epoch {epoch + 1}")

    def _is_old(self) -> bool:
        """Whether a checkpoint within the epoch is due; the first process alone writes it."""
        minutes = self.config.checkpoint_minutes
        return minutes is not None and time.monotonic() - self.saved_at > 60 * minutes

    def _close_epoch(self, epoch: int) -> None:
        """Evaluate both networks, and write everything down."""
        session = self.session
        found, *of_average = session.evaluate(session.networks())
        if not all(math.isfinite(one["held_out_loss"]) for one in (found, *of_average)):
            raise _Ended("diverged", f"a logit was not finite after epoch {epoch + 1}")
        point = {
            "epoch": float(epoch + 1),
            "loss": self.loss_sum / self.plan.steps_per_epoch,
            "lr": float(max(group["lr"] for group in session.optimizer.param_groups)),
            **found,
            **{f"ema_{name}": value for one in of_average for name, value in one.items()},
        }
        images = self.plan.steps_per_epoch * self.plan.batch_size
        cost = {
            "seconds": self.epoch_seconds,
            "throughput_img_s": images / max(self.epoch_seconds, 1e-9),
            "peak_mib": memory_mib(session.device),
        }
        self._tell_broken()
        before = list(self.curve)
        self.curve.append(point)
        self.costs.append(cost)
        self.first_step, self.loss_sum, self.epoch_seconds = 0, 0.0, 0.0
        if self.world.is_first:
            self._save_best(point, before)
            self._save(0.0)
            write_curve(self.config.output, self.curve, self.costs)
            self._keep_in_study("running")
            for sink in self.sinks:
                sink.write(epoch + 1, {**point, **cost})
            self.tell(_line(point, self.recipe.all_epochs))
        self.world.wait()

    def _tell_broken(self) -> None:
        names = sorted(self.world.gathered(self.session.broken))
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            were = "was" if len(names) == 1 else "were"
            self.tell(
                f"{counted(len(names), 'image')} could not be read and {were} left out: "
                f"{', '.join(names[:3])}{more}"
            )

    def _save_best(self, point: Mapping[str, float], before: list[dict[str, float]]) -> None:
        session = self.session
        for quantity, key, model, name in (
            ("top1_percent", "model", session.model, "best.pt"),
            ("ema_top1_percent", "model_ema",
             session.average.module if session.average else None, "best_ema.pt"),
        ):  # fmt: skip
            if model is None:
                continue
            best = max((p[quantity] for p in before), default=-math.inf)
            if point[quantity] > best:
                content = self._described() | {key: model.state_dict()}
                checkpoints.save(self.config.output / name, content)

    def _described(self) -> dict[str, Any]:
        session, view = self.session, self.session.view
        return {
            "format": checkpoints.FORMAT,
            "arch": session.arch.to_dict(),
            "recipe": self.recipe.model_dump(mode="json"),
            "recipe_name": self.config.recipe_name,
            "epoch": self.epochs,
            "metrics": dict(self.curve[-1]) if self.curve else {},
            "classes": list(session.classes),
            "resolution": view.resolution,
            "crop_fraction": view.crop_fraction,
            "interpolation": view.interpolation,
            "mean": list(view.mean),
            "std": list(view.std),
            "origin": dict(self.config.origin),
        }

    def _save(self, seconds: float) -> None:
        """The checkpoint of this moment; older ones go."""
        self.saved_at = time.monotonic()
        if not self.world.is_first:
            return
        session, output = self.session, self.config.output
        content = self._described() | {"model": session.model.state_dict()}
        if session.average is not None:
            content["model_ema"] = session.average.module.state_dict()
        content["progress"] = {
            "identity": identity_of(session),
            "optimizer": session.optimizer.state_dict(),
            "scaler": session.scaler.state_dict(),
            "curve": self.curve,
            "costs": self.costs,
            "step": self.first_step,
            "loss_sum": self.loss_sum,
            "epoch_seconds": seconds,
            "devices": self.plan.devices,
            "device_batch": self.plan.device_batch,
            "workers": session.workers,
        }
        name = checkpoints.checkpoint_name(self.epochs, self.first_step)
        checkpoints.save(output / checkpoints.FOLDER / name, content)
        checkpoints.keep_newest(output, self.config.keep)

    def _restore(self, path: Path, held: dict[str, Any]) -> None:
        """Go on from a checkpoint. Raises DataError when it is of another training."""
        session, progress = self.session, held["progress"]
        for name, value in identity_of(session).items():
            there = progress["identity"].get(name)
            if there != value:
                raise DataError(
                    f"{path} is the checkpoint of another training: {name} is {there!r} there and "
                    f"{value!r} here; make them equal, or name another --output"
                )
        session.model.load_state_dict(held["model"])
        if session.average is not None:
            session.average.module.load_state_dict(held["model_ema"])
        session.optimizer.load_state_dict(progress["optimizer"])
        session.scaler.load_state_dict(progress["scaler"])
        self.curve, self.costs = progress["curve"], progress["costs"]
        self.first_step, self.loss_sum = progress["step"], progress["loss_sum"]
        self.epoch_seconds = progress["epoch_seconds"]
        self._tell_of_going_on(path, progress)
        if self.world.is_first and self.curve:
            write_curve(self.config.output, self.curve, self.costs)

    def _tell_of_going_on(self, path: Path, progress: Mapping[str, Any]) -> None:
        where = f"after epoch {self.epochs} of {self.recipe.all_epochs}"
        if self.first_step:
            where += f" and {counted(self.first_step, 'step')} of the next"
        self.tell(f"going on from {path}, {where}")
        self._tell_of_workers(progress.get("workers"))
        devices, batch = progress["devices"], progress["device_batch"]
        if (devices, batch) == (self.plan.devices, self.plan.device_batch):
            return
        plan = self.plan
        said = (
            f"it ran on {counted(devices, 'device')} with {counted(batch, 'image')} at a "
            f"time, and goes on with {plan.devices} and {plan.device_batch}: a step still takes "
            f"{counted(plan.batch_size, 'image')}, in "
            f"{counted(plan.accumulate, 'batch', 'batches')} a device"
        )
        if batch != plan.device_batch:
            said += "; batches are mixed and normalised otherwise from here on"
        self.tell(said)

    def _tell_of_workers(self, before: int | None) -> None:
        """Shards are shared out over the loaders, so another number is another order."""
        now = self.session.workers
        if before is None or before == now or not is_stream(self.session.data.train):
            return
        self.tell(
            f"the shards were read by {counted(before, 'worker')} and are by {now} from here on, "
            "so images come in another order than in an unbroken training; "
            f"--workers {before} keeps it"
        )

    def _must_be_the_images(self) -> None:
        """Note the images of a training beside it; of one that goes on, they are the same."""
        output = self.config.output
        before, data = images_noted(output), self.session.data
        now = data.identify(before)
        changes = "" if before is None else now.changes_since(before)
        if changes:
            raise DataError(
                f"{output} holds a training on other images ({changes}); put them back, or name "
                "another --output"
            )
        write_whole(output / NOTED, json.dumps(now.to_dict(), indent=1) + "\n")
        if colours := now.about.removeprefix(str(data)).lstrip("; "):
            self.tell(colours)

    def _summary(self, status: str, reason: str = "") -> dict[str, Any]:
        plan, config = self.plan, self.config
        return {
            "status": status,
            "reason": reason,
            "epochs": self.epochs,
            "of_epochs": self.recipe.all_epochs,
            "arch": self.session.arch.digest,
            "data": self.session.data.name,
            "resolution": config.side,
            "seed": config.seed,
            "recipe_name": config.recipe_name,
            "recipe": self.recipe.model_dump(mode="json"),
            "devices": plan.devices,
            "device_batch": plan.device_batch,
            "accumulate": plan.accumulate,
            "steps_per_epoch": plan.steps_per_epoch,
            "origin": dict(config.origin),
        }

    def _write_summary(self, status: str, reason: str = "") -> None:
        text = json.dumps(self._summary(status, reason), indent=1)
        write_whole(self.config.output / SUMMARY, text + "\n")
        self._keep_in_study(status, reason)

    def _keep_in_study(self, status: str, reason: str = "") -> None:
        """A copy for the page of the study. It is no reason to end a training of days."""
        config = self.config
        if config.study is None:
            return
        found = KeptTraining(
            trial=str(config.origin.get("trial", "")),
            digest=str(config.origin.get("digest", "")),
            data=self.session.data.name,
            recipe_name=config.recipe_name,
            status=status,
            output=str(config.output),
            seed=config.seed,
            resolution=config.side,
            epochs=self.epochs,
            of_epochs=self.recipe.all_epochs,
            written=time.time(),
            curve=tuple(self.curve),
        )
        try:
            keep_training(config.study, found, self._summary(status, reason))
        except (OSError, StoreError) as e:
            if not self.study_refused:
                self.tell(f"{config.study} keeps no copy of the curve for its page ({e})")
            self.study_refused = True


def _line(point: Mapping[str, float], epochs: int) -> str:
    average = point.get("ema_top1_percent")
    both = f", of the average {average:.2f} %" if average is not None else ""
    return (
        f"epoch {point['epoch']:.0f} of {epochs}: loss {point['loss']:.4f}, top-1 "
        f"{point['top1_percent']:.2f} %{both}"
    )
