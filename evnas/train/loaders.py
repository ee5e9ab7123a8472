"""Images for full training: timm's transforms and loaders over a folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from timm.data.loader import create_loader
from timm.data.mixup import Mixup
from torch.utils.data import Dataset

from evnas.errors import DataError
from evnas.proxy.fingerprint import KnownImages, files_known
from evnas.proxy.folder_survey import FolderSurvey, Sample, survey
from evnas.proxy.image_file import read_rgb
from evnas.train.recipe import Recipe, TrainConfig

IMAGES = "images.json"


class ImageFiles(Dataset[tuple[Any, int]]):
    """One split: (image, number of its class), decoded when it is asked for."""

    def __init__(self, samples: list[Sample]) -> None:
        self.samples = samples
        self.transform: Callable[[Image.Image], Any] | None = None
        """Set by timm's loader."""

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        path, label = self.samples[index]
        image = read_rgb(path)
        return image if self.transform is None else self.transform(image), label


def images_of(root: Path, *, classes: int) -> FolderSurvey:
    """Both splits of an image folder.

    Raises:
        DataError: it is not there, has no splits of its own, or another number of classes than
            the model.
    """
    found = survey(root, may_split=False)
    if len(found.classes) != classes:
        raise DataError(
            f"{root} must hold {classes} classes, as the architecture's num_classes says, it "
            f"holds {len(found.classes)}; set num_classes to that"
        )
    return found


def must_be_the_images_of(output: Path, found: FolderSurvey) -> None:
    """Note the images of a training beside it; of one that goes on, they are the same.

    Raises:
        DataError: they are others.
    """
    path = output / IMAGES
    before = KnownImages.from_dict(json.loads(path.read_text())) if path.exists() else None
    now = files_known(found, before=before)
    changes = "" if before is None else now.changes_since(before)
    if changes:
        raise DataError(
            f"{output} holds a training on other images ({changes}); put them back, or name "
            "another --output"
        )
    output.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(now.to_dict(), indent=1) + "\n")


def training_loader(config: TrainConfig, dataset: ImageFiles) -> Any:
    """Shuffled batches, the last incomplete one dropped.

    Random resized crop (bicubic), flip, random augmentation, random erasing.
    """
    recipe = config.recipe
    return create_loader(
        dataset,  # type: ignore[arg-type]  # any data set with a transform will do
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


def validation_loader(config: TrainConfig, dataset: ImageFiles) -> Any:
    """Whole images at 256/224 of the resolution, then the centre."""
    return create_loader(
        dataset,  # type: ignore[arg-type]  # any data set with a transform will do
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
