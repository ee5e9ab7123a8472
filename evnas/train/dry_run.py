"""What a training would take: epochs, steps, hours and memory, from some seconds of it."""

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from evnas.train.config import BatchPlan, TrainConfig
from evnas.train.data import image_count
from evnas.train.loaders import Batch, evaluation_batches
from evnas.train.progress import duration, memory_mib
from evnas.train.session import Session
from evnas.train.world import World
from evnas.words import counted

SECONDS = 5.0
"""For the steps, for the loader, and for evaluation, each: at least one batch of each is timed."""
MOST_BATCHES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingForecast:
    """One device's share of a training."""

    recipe: str
    epochs: int
    """Cool-down included."""
    plan: BatchPlan
    held_out: int
    """Held-out images."""
    step_s: float
    """Forward, backward, step and average over one batch of the recipe, images being there."""
    loading_s: float
    """That the loader takes for the same images."""
    evaluation_s: float
    """After each epoch."""
    peak_mib: float
    device: str
    workers: int
    """Processes that load; with 0 loading and computing take turns."""

    @property
    def steps(self) -> int:
        """Of the optimizer, in all."""
        return self.epochs * self.plan.steps_per_epoch

    @property
    def images(self) -> int:
        """Presented in all."""
        return self.steps * self.plan.batch_size

    @property
    def hours(self) -> float:
        """The slower of loading and computing, or both where they take turns; and evaluation."""
        both = (self.step_s, self.loading_s)
        epoch_s = self.plan.steps_per_epoch * (max(both) if self.workers else sum(both))
        return self.epochs * (epoch_s + self.evaluation_s) / 3600

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        plan = dataclasses.asdict(self.plan)
        return {
            **{k: v for k, v in dataclasses.asdict(self).items() if k != "plan"},
            **plan,
            "batch_size": self.plan.batch_size,
            "steps_per_epoch": self.plan.steps_per_epoch,
            "steps": self.steps,
            "images_presented": self.images,
            "hours": self.hours,
        }

    def __str__(self) -> str:
        plan, rate = self.plan, self.plan.batch_size / max(self.step_s, 1e-9)
        loads = self.plan.batch_size / max(self.loading_s, 1e-9)
        slower = "loading keeps up"
        if not self.workers:
            slower = "one after the other: --workers 0"
        elif loads < rate:
            slower = "the loader is slower: more --workers"
        lines = [
            f"recipe {self.recipe}: {counted(self.epochs, 'epoch')} of "
            f"{counted(plan.steps_per_epoch, 'step')}, "
            f"{self.steps} in all, {counted(self.images, 'image')}",
            f"a step's {counted(plan.batch_size, 'image')}: "
            f"{counted(plan.accumulate, 'batch', 'batches')} "
            f"of {plan.device_batch} on {counted(plan.devices, 'device')}",
            f"on this {self.device}: {rate:.0f} images/s computed, {loads:.0f} images/s loaded "
            f"({slower})",
            f"expected: {self.hours:.2g} h ({duration(3600 * self.hours)}), of which evaluation "
            f"{self.epochs * self.evaluation_s / 3600:.2g} h",
            f"memory: {self.peak_mib / 1024:.2f} GiB at {counted(plan.device_batch, 'image')}",
        ]
        return "\n".join(lines)


def dry_run(
    config: TrainConfig, *, tell: Callable[[str], None] = lambda _: None
) -> TrainingForecast:
    """Train for some seconds, keep nothing, and say what the whole would take.

    Of several devices, one is measured; what they say to each other is not.

    Raises:
        DataError, SpecError: as `train` does.
    """
    device = torch.device(config.device)
    session = Session(config, World(0, 1, device), tell)
    session.begin_training()
    batches = session.batches.epoch(0)
    first = next(batches)
    loading_s = _timed(lambda: next(batches, None), device) * session.plan.accumulate
    step_s = _step_seconds(session, first)
    held_out = session.data.held_out
    count = image_count(held_out)
    judged = evaluation_batches(
        held_out,
        session.view,
        batch_size=session.plan.device_batch,
        workers=session.workers,
        skip_broken=config.skip_broken,
    )
    networks = session.networks()
    for network in networks:
        network.eval()

    def evaluate() -> object:
        batch = next(judged, None)
        if batch is not None:
            with torch.inference_mode():
                for network in networks:
                    network(session.images_of(batch))
        return batch

    batches_of_held_out = -(-count // session.plan.device_batch)
    each_s = _timed(evaluate, device)
    return TrainingForecast(
        recipe=config.recipe_name,
        epochs=config.recipe.all_epochs,
        plan=session.plan,
        held_out=count,
        step_s=step_s,
        loading_s=loading_s,
        evaluation_s=each_s * batches_of_held_out,
        peak_mib=memory_mib(device),
        device=device.type,
        workers=session.workers,
    )


def _step_seconds(session: Session, batch: Batch) -> float:
    """The mean over the epochs: with MESA, those that ask the average take longer."""
    recipe, same = session.recipe, _again(batch)
    late = recipe.mesa_epoch if recipe.mesa else 0

    def step(epoch: int) -> object:
        session.step(epoch, 0, same)
        session.follow(2)
        return True

    step(late)  # warms up: kernels are chosen, and the most memory is taken
    late_s = _timed(lambda: step(late), session.device)
    if not late:
        return late_s
    early_s = _timed(lambda: step(0), session.device)
    return (early_s * late + late_s * (recipe.all_epochs - late)) / recipe.all_epochs


def _again(batch: Batch) -> Iterator[Batch]:
    """The same images time and again, as mixing finds them: it works in place."""
    for _ in itertools.count():
        yield batch._replace(images=batch.images.clone())


def _timed(work: Callable[[], object], device: torch.device) -> float:
    """Mean seconds of one call, for `SECONDS` or until it gives None."""
    began, done = time.monotonic(), 0
    while done < MOST_BATCHES:
        if work() is None and done:
            break
        done += 1
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if time.monotonic() - began > SECONDS:
            break
    return (time.monotonic() - began) / max(done, 1)
