"""Images for full training: timm's transforms and loaders over a folder."""

from pathlib import Path
from typing import Any

from timm.data.loader import create_loader
from timm.data.mixup import Mixup
from torchvision.datasets import ImageFolder

from evnas.errors import DataError
from evnas.train.recipe import Recipe, TrainConfig


def folder(root: Path, *, classes: int) -> ImageFolder:
    """One split of an image folder.

    Raises:
        DataError: it is not there, has no images, or another number of classes than the model.
    """
    try:
        found = ImageFolder(str(root))
    except FileNotFoundError as e:
        raise DataError(
            f"{root} must be a folder with a subfolder of images a class: {e}"
        ) from None
    if len(found.classes) != classes:
        raise DataError(
            f"{root} must hold {classes} classes, as the architecture's num_classes says, it "
            f"holds {len(found.classes)}; set num_classes to that"
        )
    return found


def training_loader(config: TrainConfig, dataset: ImageFolder) -> Any:
    """Shuffled batches, the last incomplete one dropped.

    Random resized crop (bicubic), flip, random augmentation, random erasing.
    """
    recipe = config.recipe
    return create_loader(
        dataset,
        input_size=(3, config.resolution, config.resolution),
        batch_size=recipe.batch_size,
        is_training=True,
        re_prob=recipe.erasing,
        re_mode="pixel",
        color_jitter=0.4,
        auto_augment=recipe.auto_augment or None,
        interpolation="bicubic",
        num_workers=config.workers,
        use_prefetcher=False,
        persistent_workers=False,  # workers take their seeds at the start of each epoch
    )


def validation_loader(config: TrainConfig, dataset: ImageFolder) -> Any:
    """Whole images at 256/224 of the resolution, then the centre."""
    return create_loader(
        dataset,
        input_size=(3, config.resolution, config.resolution),
        batch_size=config.recipe.batch_size,
        is_training=False,
        interpolation="bicubic",
        crop_pct=224 / 256,
        num_workers=config.workers,
        use_prefetcher=False,
        persistent_workers=False,
    )


def mixing(recipe: Recipe, *, classes: int) -> Mixup:
    """Mixup and cutmix by batch, label smoothing inside the mixed targets."""
    return Mixup(  # type: ignore[no-untyped-call]  # timm leaves it untyped
        mixup_alpha=recipe.mixup,
        cutmix_alpha=recipe.cutmix,
        prob=1.0,
        switch_prob=0.5,
        mode="batch",
        label_smoothing=recipe.label_smoothing,
        num_classes=classes,
    )
