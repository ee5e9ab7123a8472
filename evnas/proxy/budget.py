"""What a short training costs and how it is done (`ProxyBudget`), and what it found."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from evnas.errors import SpecError
from evnas.sweep.parts import ProxyPrecision, steps_an_epoch

Ending = Literal["complete", "pruned", "diverged", "oom", "timeout"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyBudget:
    """The schedule of a proxy training; with data, model and seed it fixes the learning curve.

    Source: AdamW, its betas, weight decay, exemptions, base rate and floor are EfficientViM's
    recipe (arXiv 2411.15241, released training code). Deviations for short schedules: batch and
    rate for thousands of images, warm-up as a fraction, clipping at 1 in place of 0.02, no
    mixup, cutmix, random augmentation or weight averaging, since none pays within a few epochs.
    """

    epochs: int = 2
    """Length of the schedule. An epoch shows `images_per_epoch` images."""
    images_per_epoch: int = 1_600
    """Image presentations per epoch, at most the training set. Epochs go on through one endless
    shuffle: no image is shown twice before every image was shown once."""
    resolution: int = 56
    """Side of the images, pixels."""
    batch_size: int = 32
    """Images a step; what an epoch leaves over is dropped."""
    lr: float = 2e-3
    """Peak learning rate, reached after the warm-up."""
    lr_floor: float = 2e-5
    """Learning rate at the end of the cosine."""
    warmup_fraction: float = 0.1
    """Share of all steps with a linearly rising rate."""
    weight_decay: float = 0.05
    """Of parameters with two or more axes whose name does not end in `bias`."""
    label_smoothing: float = 0.1
    clip_norm: float = 1.0
    """Largest global gradient norm."""
    precision: ProxyPrecision = "float32"
    """`bfloat16`: autocast; parameters and optimizer stay float32."""
    points_per_epoch: int = 2
    """Points of the learning curve an epoch, the last one at its end."""
    curve_images: int = 500
    """Held-out images behind every point but the last of the schedule."""
    held_out_images: int = 10_000
    """Held-out images behind that last point, at most: no data set here holds out more."""
    parts: int = 1
    """In how many parts the images of a step go through the model, for want of memory; their
    gradients add up, and batch norms see the images of a part."""
    limit_s: float = math.inf
    """Seconds of training and evaluation after which it ends as `timeout`."""

    def __post_init__(self) -> None:
        at_least_one = ("epochs", "images_per_epoch", "resolution", "batch_size")
        for name in (
            *at_least_one,
            "points_per_epoch",
            "curve_images",
            "held_out_images",
            "parts",
        ):
            _require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        for name in ("lr", "clip_norm", "limit_s"):
            _require(getattr(self, name) > 0, name, "over 0", getattr(self, name))
        for name in ("weight_decay", "lr_floor"):
            _require(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))
        for name in ("warmup_fraction", "label_smoothing"):
            value = getattr(self, name)
            _require(0 <= value < 1, name, "at least 0 and below 1", value)
        if self.batch_size > self.images_per_epoch:
            raise SpecError(
                f"must be at most images_per_epoch ({self.images_per_epoch}), "
                f"got {self.batch_size}",
                "proxy.batch_size",
            )
        steps = self.images_per_epoch // self.batch_size
        if self.points_per_epoch > steps:
            raise SpecError(
                f"must be at most the {steps} steps of an epoch, got {self.points_per_epoch}",
                "proxy.points_per_epoch",
            )

    def steps_per_epoch(self, train_images: int) -> int:
        """Optimizer steps of one epoch over a training set of `train_images`."""
        return steps_an_epoch(self.images_per_epoch, self.batch_size, train_images)

    def presentations(self, train_images: int) -> int:
        """Images shown over the whole schedule."""
        return self.epochs * self.steps_per_epoch(train_images) * self.batch_size

    def to_dict(self) -> dict[str, Any]:
        """Plain data; an infinite limit is left out, since JSON has none."""
        return {name: value for name, value in asdict(self).items() if value != math.inf}


def _require(holds: bool, name: str, must: str, got: object) -> None:
    if not holds:
        raise SpecError(f"must be {must}, got {got}", f"proxy.{name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """One point of a learning curve."""

    epoch: float
    """Epochs done, with fractions."""
    images: int
    """Image presentations so far."""
    loss: float
    """Mean training loss since the point before."""
    top1_percent: float
    held_out_images: int
    """How many held-out images stand behind `top1_percent`."""
    seconds: float
    """Training and evaluation so far, waiting for the lock not counted."""

    def to_dict(self) -> dict[str, float]:
        """Plain data, for `Record.curve`."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProgress:
    """Where a training stands."""

    step: int
    total: int
    loss: float
    throughput_img_s: float
    """Images trained a second over the last chunk of steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyResult:
    """How a training ended; every ending is a result."""

    status: Ending
    curve: tuple[CurvePoint, ...]
    epochs: int
    """Epochs finished."""
    steps: int
    images: int
    seconds: float
    """Training and evaluation, waiting for the lock not counted."""
    train_seconds: float
    """Of these, training alone."""
    error: str = ""
    """Why it ended early."""
    correct_hex: str = ""
    """Which held-out images the last evaluation got right: a bit per image, first image highest,
    the last digit padded with zeros. Two models' bits give the interval of their difference."""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def top1_percent(self) -> float | None:
        """Held-out top-1 of the last point; None when there is none."""
        return self.curve[-1].top1_percent if self.curve else None

    def values(self) -> dict[str, float]:
        """Point results, for `Record.values`; a diverged training has no top-1."""
        found = {
            "train_images": float(self.images),
            "train_seconds": self.train_seconds,
            "train_throughput_img_s": self.images / max(self.train_seconds, 1e-9),
        }
        if self.curve and self.status != "diverged":
            found["top1_percent"] = self.curve[-1].top1_percent
            found["held_out_images"] = float(self.curve[-1].held_out_images)
        return found
