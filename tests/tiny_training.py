"""The smallest training that still has all parts: an architecture, a recipe and a folder."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from evnas.arch.spec import ArchSpec
from evnas.train.config import TrainConfig
from evnas.train.recipe import Recipe

RECIPE = Recipe(
    epochs=3,
    warmup_epochs=1,
    cooldown_epochs=1,
    batch_size=8,
    lr=2e-3,
    lr_floor=2e-5,
    warmup_lr=2e-6,
    weight_decay=0.05,
    clip=1.0,
    label_smoothing=0.1,
    mixup=0.8,
    cutmix=1.0,
    auto_augment="rand-m9-mstd0.5-inc1",
    flip_probability=0.5,
    erasing=0.25,
    ema_decay=0.9,
    mesa=1.0,
    mesa_start_fraction=0.5,
    drop_path=0.1,
)
SIDE = 16


def tiny_arch(*, distillation: bool = False, classes: int = 2) -> ArchSpec:
    """Two blocks of 16 and 24 channels."""
    stage = {
        "depth": 1,
        "dim": 16,
        "block": "efficientvim",
        "mixer": {"kind": "hsm_ssd", "states": 4},
        "mlp_ratio": 1,
    }
    return ArchSpec.from_dict(
        {
            "stem": {"kind": "efficientvim", "stride": 4},
            "stages": [stage, stage | {"dim": 24}],
            "downsample": "efficientvim",
            "norm": "partial_ln",
            "head": {"fusion": "hidden", "distillation": distillation},
            "num_classes": classes,
        }
    )


def make_images(root: Path, *, train: int = 9, val: int = 3, classes: int = 2) -> Path:
    """Noise that is brighter from class to class, in `train/` and `val/`."""
    draw = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for label in range(classes):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for i in range(count):
                low = 120 * label // max(classes - 1, 1)
                pixels = draw.integers(low, low + 100, (20, 24, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    return root


def tiny_config(data: Path | str, output: Path, **changes: Any) -> TrainConfig:
    """Eighteen images in two steps an epoch, each of two batches."""
    recipe = changes.pop("recipe", {})
    fields: dict[str, Any] = {
        "arch": tiny_arch(),
        "recipe": RECIPE.edited(recipe) if isinstance(recipe, dict) else recipe,
        "data": str(data),
        "output": output,
        "resolution": SIDE,
        "device_batch": 4,
        "workers": 0,
    }
    return TrainConfig(**{**fields, **changes})
