"""A frozen model of timm that a training distils from."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from evnas.blocks.official import read_checkpoint
from evnas.blocks.unwrap import unwrapped
from evnas.errors import DataError, SpecError, nearest
from evnas.train.loaders import MEAN, STD


class Teacher(nn.Module):
    """Gives logits for images as the student sees them, whatever the teacher was trained on."""

    ratio: Tensor
    shift: Tensor

    def __init__(self, model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.model = model
        ratio = [ours / theirs for ours, theirs in zip(STD, std, strict=True)]
        shift = [(a - b) / s for a, b, s in zip(MEAN, mean, std, strict=True)]
        self._same = all(map(math.isclose, (*MEAN, *STD), (*mean, *std)))
        self.register_buffer("ratio", torch.tensor(ratio).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("shift", torch.tensor(shift).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalised as `evnas.train.loaders` does -> (B, classes)."""
        if not self._same:
            images = images * self.ratio + self.shift
        logits: Tensor = self.model(images)
        return logits


def load_teacher(
    name: str, weights: Path, *, classes: int, side: int, device: torch.device
) -> Teacher:
    """The teacher in evaluation mode, frozen.

    Args:
        name: of timm's models.
        weights: its state dict, or a checkpoint that holds it.
        classes: of the data.
        side: of the images in pixels.
        device: where it shall live.

    Raises:
        SpecError: timm has no such model.
        DataError: its weights do not fit, have other classes, or take images of another size.
    """
    if not timm.is_model(name):
        hint = nearest(name, timm.list_models())
        raise SpecError(f"must be a name of timm's models, got {name!r}{hint}", "recipe.teacher")
    model: nn.Module = timm.create_model(name, num_classes=classes)
    state = unwrapped(read_checkpoint(weights))
    found = _classes_in(model, state)
    if found is not None and found != classes:
        raise DataError(
            f"{weights} must be of a teacher with the data's {classes} classes, it has {found}; "
            "fine-tune the teacher on the data first"
        )
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError) as e:
        raise DataError(
            f"{weights} must hold the state dict of timm's {name} with {classes} classes: "
            f"{str(e).splitlines()[0]}"
        ) from e
    model.eval().requires_grad_(False)
    _must_take(model, side, name)
    config: Mapping[str, Any] = getattr(model, "pretrained_cfg", {})
    teacher = Teacher(model, tuple(config.get("mean", MEAN)), tuple(config.get("std", STD)))
    return teacher.to(device).eval()


def _classes_in(model: nn.Module, state: Mapping[str, Any]) -> int | None:
    """Rows of the classifier in a state dict; None where they do not say."""
    name = getattr(model, "pretrained_cfg", {}).get("classifier", "")
    found = state.get(f"{name}.weight") if isinstance(name, str) else None
    return len(found) if isinstance(found, Tensor) and found.ndim else None


def _must_take(model: nn.Module, side: int, name: str) -> None:
    try:
        with torch.no_grad():
            model(torch.zeros(1, 3, side, side))
    except (AssertionError, RuntimeError) as e:
        raise DataError(
            f"the teacher {name} must take images of {side} pixels, it does not: "
            f"{str(e).splitlines()[0] if str(e) else type(e).__name__}"
        ) from e
