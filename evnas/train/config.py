"""What one training is asked to do, and what it found. Plain data, no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from evnas.arch.spec import ArchSpec
from evnas.errors import SpecError
from evnas.runtime import MemoryFormat
from evnas.train.recipe import Recipe
from evnas.words import counted

Status = Literal["complete", "stopped", "diverged"]
DEVICE_BATCH = 256
"""Images that a device takes at a time where nobody says: at most the recipe's batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """One training, on one device or, below `torchrun`, on several."""

    arch: ArchSpec
    """Its number of classes gives way to that of the data."""
    recipe: Recipe
    data: str | Path
    """A folder, a name, `hfds/PATH` or `wds/PATH`; see `evnas.train.data.open_dataset`."""
    output: Path
    """Where checkpoints and curves go; a training found there goes on."""
    recipe_name: str = ""
    resolution: int = 224
    """Side of the images in pixels, where the recipe has none."""
    device_batch: int | None = None
    """Images a device takes at a time: what a batch norm sees. None for `DEVICE_BATCH` or the
    whole batch over the devices, whichever is smaller."""
    seed: int = 0
    device: str = "cpu"
    """Below `torchrun` with cuda, each process takes that of its local rank."""
    weights: Path | None = None
    """Weights to begin with, ours or of a release; None for fresh ones."""
    new_classifier: bool = False
    """With `weights`, keep their classifiers out: for other classes than theirs."""
    teacher_weights: Path | None = None
    """A state dict of the recipe's teacher."""
    frozen: tuple[str, ...] = ()
    """Modules (`stem`, `stages.0`) whose weights, and batch norms' statistics, stay as they are;
    `*` for all but the classifiers."""
    memory_format: MemoryFormat = "auto"
    workers: int | None = None
    """Processes that load images, for each device; 0 loads within the training's own, None takes
    the cores that it may use (`evnas.train.workers`)."""
    skip_broken: bool = False
    """Count images that cannot be read and leave them out, in place of ending there."""
    keep: int = 3
    """Newest checkpoints that are kept."""
    checkpoint_minutes: float | None = 20.0
    """Longest time between two checkpoints within an epoch; None for ends of epochs alone."""
    until_epoch: int | None = None
    """Stop after so many epochs of the whole schedule; None runs it all."""
    tensorboard: bool = False
    wandb: bool = False
    """Offline: nothing leaves the machine."""
    study: Path | None = None
    """Folder of the study that keeps a copy of the curve for its page."""
    origin: Mapping[str, Any] = field(default_factory=dict)
    """Where the architecture comes from, kept with the weights: study, trial, label."""

    def __post_init__(self) -> None:
        if self.keep < 1:
            raise SpecError(f"must be at least 1, got {self.keep}", "keep")
        if self.device_batch is not None and self.device_batch < 1:
            raise SpecError(f"must be at least 1, got {self.device_batch}", "device_batch")
        if self.new_classifier and self.weights is None:
            raise SpecError(
                "leaves out the classifier of weights that a training begins with, so it needs "
                "weights (--weights FILE)",
                "new_classifier",
            )
        if (self.recipe.distillation != "none") != (self.teacher_weights is not None):
            self._refuse_the_teacher()

    def _refuse_the_teacher(self) -> None:
        if self.teacher_weights is not None:
            raise SpecError(
                "must be left out with a recipe without distillation; --set "
                "recipe.distillation=hard and recipe.teacher=NAME, or take it away",
                "teacher_weights",
            )
        raise SpecError(
            f"must be the state dict of timm's {self.recipe.teacher}, which the recipe distils "
            "from; name it, or a recipe without distillation (efficientvim:base)",
            "teacher_weights",
        )

    @property
    def side(self) -> int:
        """Side of the images in pixels."""
        return self.recipe.resolution or self.resolution


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """How a recipe's batch is made on so many devices."""

    device_batch: int
    """Images that a device takes at a time."""
    accumulate: int
    """Such batches a device adds up before a step."""
    devices: int
    images: int
    """Training images."""

    @property
    def batch_size(self) -> int:
        """Images a step of the optimizer."""
        return self.device_batch * self.accumulate * self.devices

    @property
    def parts(self) -> int:
        """Batches, of all devices, that make a step."""
        return self.accumulate * self.devices

    @property
    def steps_per_epoch(self) -> int:
        """Whole steps; what is left of an epoch is left out."""
        return self.images // self.batch_size


def batch_plan(config: TrainConfig, *, images: int, devices: int) -> BatchPlan:
    """The accumulation that reaches the recipe's batch exactly.

    Raises:
        SpecError: none does, or the images do not fill one step.
    """
    whole = config.recipe.batch_size
    if whole % devices:
        raise SpecError(f"must be a multiple of the {devices} devices, got {whole}",
                        "recipe.batch_size")  # fmt: skip
    share = whole // devices
    device_batch = config.device_batch or _largest_divisor(share, DEVICE_BATCH)
    if share % device_batch:
        near = _largest_divisor(share, device_batch)
        raise SpecError(
            f"must divide the recipe's batch of {whole} over {counted(devices, 'device')}, got "
            f"{device_batch}; {near} does, or set recipe.batch_size",
            "device_batch",
        )
    if images < whole:
        raise SpecError(
            f"must be at most the {images} training images, got {whole}; lower it by --set "
            f"recipe.batch_size={2 ** (images.bit_length() - 1) if images else 1}",
            "recipe.batch_size",
        )
    return BatchPlan(
        device_batch=device_batch,
        accumulate=share // device_batch,
        devices=devices,
        images=images,
    )


def _largest_divisor(whole: int, most: int) -> int:
    return next(n for n in range(min(whole, most), 0, -1) if whole % n == 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """How a training ended."""

    status: Status
    """`stopped` where a signal or `until_epoch` ended it; it goes on when it is called again."""
    epochs: int
    """Epochs finished."""
    curve: tuple[Mapping[str, float], ...]
    """A point an epoch: `epoch`, `loss`, `lr`, `top1_percent`, `held_out_loss`, and with a moving
    average `ema_top1_percent` and `ema_held_out_loss`."""
    error: str = ""

    def best(self, quantity: Literal["top1_percent", "ema_top1_percent"]) -> float | None:
        """The best epoch's value; None before the first epoch, and without an average."""
        return max((point[quantity] for point in self.curve if quantity in point), default=None)
