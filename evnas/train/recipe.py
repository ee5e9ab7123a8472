"""How a network is trained, as data: every choice that a paper's table of settings prints."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationError

from evnas.arch.spec import first_fault
from evnas.errors import SpecError
from evnas.runtime import Precision
from evnas.sweep.messages import unknown_key
from evnas.sweep.numbers import NumbersAreNumbers

Distillation = Literal["none", "hard", "soft"]
ClipMode = Literal["norm", "value", "agc"]

_Fraction = Field(default=0.0, ge=0, le=1)


class Recipe(NumbersAreNumbers):
    """One schedule with its augmentation, averages and losses.

    Defaults leave a thing out. What a paper prints stands in `evnas/train/recipes/`, each value
    with its source.

    Raises:
        pydantic.ValidationError: a value of another kind or size; `of` and `edited` raise
            SpecError in its place.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(ge=1)
    """Warm-up and cosine together; `cooldown_epochs` come on top."""
    warmup_epochs: int = Field(default=0, ge=0)
    cooldown_epochs: int = Field(default=0, ge=0)
    """At the floor rate."""
    batch_size: int = Field(ge=1)
    """Images a step of the optimizer, over all devices and accumulated batches."""
    resolution: int | None = Field(default=None, ge=8)
    """Side of the images in pixels; None for the architecture's own."""

    optimizer: str = "adamw"
    """A name of timm's optimizers."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Of Adam's kin."""
    eps: float = Field(default=1e-8, gt=0)
    """Of Adam's kin."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of SGD's kin; Adam's has none beside its betas."""
    lr: float = Field(ge=0)
    """Peak rate, not scaled with the batch."""
    lr_floor: float = Field(default=0.0, ge=0)
    warmup_lr: float = Field(default=0.0, ge=0)
    """Rate of the first step."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Of what is decayed: no vectors, biases, nor the scans' A and D."""
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    """Factor of the rate from each block to the one before; 1 for one rate."""
    clip: float = Field(default=0.0, ge=0)
    """Bound of the gradient, 0 for none."""
    clip_mode: ClipMode = "norm"
    """`norm` of all gradients together, `value` of each number, `agc` of each unit's norm against
    its weights' (adaptive gradient clipping, arXiv 2102.06171)."""

    drop_path: float = Field(default=0.0, ge=0, lt=1)
    """Stochastic depth of the last block; earlier ones rise to it linearly from 0."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    mixup: float = Field(default=0.0, ge=0)
    """Both parameters of the beta distribution; 0 leaves it out."""
    cutmix: float = Field(default=0.0, ge=0)
    """Both parameters of the beta distribution; 0 leaves it out."""
    mix_probability: float = Field(default=1.0, ge=0, le=1)
    """Of mixing a batch at all."""
    mix_switch_probability: float = Field(default=0.5, ge=0, le=1)
    """Of cutmix, where there are both."""
    auto_augment: str = ""
    """A policy as timm spells them, `rand-m9-mstd0.5-inc1`; "" for none."""
    color_jitter: float = Field(default=0.0, ge=0)
    """Used where there is no `auto_augment`, as timm does."""
    flip_probability: float = _Fraction
    """Of a mirrored image."""
    erasing: float = _Fraction
    """Probability of random erasing, with noise a pixel."""
    crop_scale: tuple[float, float] = (0.08, 1.0)
    """Share of the image that a random resized crop keeps."""

    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    """Of the moving average of the weights, a step; 0 for no average."""
    mesa: float = Field(default=0.0, ge=0)
    """Weight of the loss against the average's outputs (MESA, arXiv 2205.14083)."""
    mesa_start_fraction: float = _Fraction
    """Share of `epochs` after which that loss begins."""
    distillation: Distillation = "none"
    """`hard`: the teacher's labels; `soft`: its probabilities. A second head learns them where the
    architecture has one, else the one head learns both."""
    teacher: str = ""
    """A name of timm's models."""
    distillation_share: float = Field(default=0.5, ge=0, le=1)
    """Of the teacher's loss in the whole."""
    distillation_temperature: float = Field(default=1.0, gt=0)
    """Of soft distillation."""

    precision: Precision = "float32"
    """Below float32 by autocast; float16 with loss scaling."""
    grad_checkpointing: bool = False
    """Recompute blocks in the backward: less memory, more time."""
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    crop_fraction: float = Field(default=0.875, gt=0, le=1)
    """Share of the side that evaluation keeps: 224 of 256 pixels."""

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Validate plain data.

        Raises:
            SpecError: naming the field that cannot be.
        """
        try:
            recipe = cls.model_validate(dict(data))
        except ValidationError as e:
            raise _complaint(e, data) from None
        recipe._must_hold_together()
        return recipe

    def edited(self, changes: Mapping[str, Any]) -> "Recipe":
        """The same recipe with some fields changed. Raises SpecError as `of` does."""
        return Recipe.of({**self.model_dump(), **changes})

    def _must_hold_together(self) -> None:
        if self.warmup_epochs >= self.epochs:
            raise SpecError(
                f"must be below epochs ({self.epochs}), got {self.warmup_epochs}", "warmup_epochs"
            )
        if self.mesa and not self.ema_decay:
            raise SpecError(
                f"must be 0 without a moving average (ema_decay), got {self.mesa}", "mesa"
            )
        if self.distillation != "none" and not self.teacher:
            raise SpecError(
                f"must be a name of timm's models with distillation: {self.distillation}, got ''",
                "teacher",
            )
        if not 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1:
            raise SpecError(
                f"must rise from over 0 to at most 1, got {list(self.crop_scale)}", "crop_scale"
            )

    @property
    def all_epochs(self) -> int:
        """Epochs that run, cool-down included."""
        return self.epochs + self.cooldown_epochs

    @property
    def mesa_epoch(self) -> int:
        """First epoch, from 0, with the loss against the moving average."""
        return int(self.mesa_start_fraction * self.epochs)

    @property
    def mixes(self) -> bool:
        """Whether batches are mixed."""
        return self.mix_probability > 0 and (self.mixup > 0 or self.cutmix > 0)


def _complaint(error: ValidationError, data: Mapping[str, Any]) -> SpecError:
    for fault in error.errors(include_url=False):  # a misspelt name explains what is missing
        if fault["type"] != "extra_forbidden":
            continue
        name = str(fault["loc"][0])
        return SpecError(unknown_key(name, list(Recipe.model_fields)), name)
    return first_fault(error, data)
