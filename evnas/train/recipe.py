"""The full schedule as data, and what a full training found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from evnas.arch.spec import ArchSpec
from evnas.errors import SpecError

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """A frozen model of timm whose hard labels the distillation head learns."""

    name: str = "regnety_160"
    weights: Path
    """A state dict on disk, loaded with weights_only."""
    alpha: float = 0.5
    """Share of the teacher's loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """EfficientViM's training recipe; every default is a value of the released code.

    Source: EfficientViM, arXiv 2411.15241, supplement, Section A and Table A, and the released
    training code. Deviations: one device, so its eight times 256 images are `accumulate` = 8
    batches per step (batch norm sees 256 images, as there); bfloat16 in place of float16 with loss
    scaling; gammas of channel norms are not decayed, as `decay_groups` says.
    """

    epochs: int = 300
    """Warm-up and cosine together; `cooldown_epochs` come on top."""
    warmup_epochs: int = 20
    cooldown_epochs: int = 10
    """At the floor rate."""
    batch_size: int = 256
    accumulate: int = 8
    """Batches a step of the optimizer."""
    lr: float = 2e-3
    """Not scaled with the batch."""
    lr_floor: float = 2e-5
    warmup_lr: float = 2e-6
    weight_decay: float = 0.05
    """Of the parameters that `evnas.proxy.schedule.decay_groups` has decayed."""
    clip_norm: float = 0.02
    label_smoothing: float = 0.1
    mixup: float = 0.8
    cutmix: float = 1.0
    auto_augment: str = "rand-m9-mstd0.5-inc1"
    erasing: float = 0.25
    """Probability of random erasing, mode pixel."""
    ema_decay: float = 0.9995
    mesa: float = 1.0
    """Weight of the loss against the moving average's outputs; 0 leaves it out. Unused with a
    teacher."""
    mesa_start_fraction: float = 0.25
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate"):
            if getattr(self, name) < 1:
                raise SpecError(f"must be at least 1, got {getattr(self, name)}", f"train.{name}")
        if not 0 <= self.warmup_epochs < self.epochs:
            raise SpecError(
                f"must be at least 0 and below epochs ({self.epochs}), got {self.warmup_epochs}",
                "train.warmup_epochs",
            )

    @property
    def all_epochs(self) -> int:
        """Epochs that run, cool-down included."""
        return self.epochs + self.cooldown_epochs

    @property
    def mesa_epoch(self) -> int:
        """First epoch, from 0, with the loss against the moving average."""
        return int(self.mesa_start_fraction * self.epochs)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """One full training on one device."""

    arch: ArchSpec
    data: Path
    """A folder with `train/` and `val/`, a subfolder per class."""
    output: Path
    """Where checkpoints and the curve go; a training found there goes on."""
    resolution: int = 224
    recipe: Recipe = field(default_factory=Recipe)
    teacher: Teacher | None = None
    """Needs `arch.head.distillation`."""
    seed: int = 0
    device: str = "cpu"
    weights: Path | None = None
    """A state dict to begin with, ours or of a release; None for fresh weights."""
    new_classifier: bool = False
    """With `weights`, keep their classifiers out: for other classes than theirs."""
    workers: int = 8
    """Processes that load images; 0 loads within this one."""

    def __post_init__(self) -> None:
        if (self.teacher is not None) != self.arch.head.distillation:
            raise SpecError(
                "head.distillation must be true with a teacher and false without one, got "
                f"{self.arch.head.distillation} {'with' if self.teacher else 'without'} one",
                "train.teacher",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """How a full training ended."""

    status: Literal["complete", "diverged"]
    epochs: int
    """Epochs finished."""
    curve: tuple[Mapping[str, float], ...]
    """A point an epoch: `epoch`, `loss`, `lr`, `top1_percent`, `ema_top1_percent`."""
    error: str = ""

    def best(self, quantity: Literal["top1_percent", "ema_top1_percent"]) -> float | None:
        """The best epoch's value; None before the first epoch."""
        return max((point[quantity] for point in self.curve), default=None)
