"""Batches of images: timm's transforms over one order an epoch, the same on any number of devices.

What happens to an image is named by the seed, the epoch and its place in the epoch's order; which
process loads it, and with how many others, changes nothing. So a training that was broken off
within an epoch goes on to the last bit.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from PIL import Image, ImageOps
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.data.transforms_factory import create_transform
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, get_worker_info

from evnas.errors import DataError, SpecError
from evnas.proxy.seeding import stream
from evnas.train.config import BatchPlan
from evnas.train.data import Split, Stream, is_stream
from evnas.train.recipe import Recipe
from evnas.train.seeding import globally_seeded

MEAN: tuple[float, float, float] = IMAGENET_DEFAULT_MEAN
STD: tuple[float, float, float] = IMAGENET_DEFAULT_STD
"""Of all trainings: ImageNet's, so that weights fit from one set to another."""
NO_LABEL = -1
"""Of a held-out image that could not be read."""
MOST_BROKEN = 100
"""In a row, after which the set is taken for broken."""

_POLICY_PART = re.compile(r"[a-z]+\d[\d.]*|t[a-z0-9]*")

Key = tuple[int, int, int]
"""Epoch, place in its order, number of the image."""
Transform = Callable[[Any], Tensor]


class Batch(NamedTuple):
    """What a loader gives."""

    images: Tensor
    """(B, 3, H, W) float32, normalised."""
    labels: Tensor
    """(B,) int64; `NO_LABEL` of held-out images that could not be read."""
    broken: list[str]
    """Names of the images that could not be read and were replaced or left out."""
    error: str
    """Why there are no images, or ""; a process of its own cannot raise it in one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How an image is shown to a network in evaluation: resized, centre cut out, normalised."""

    resolution: int
    """Side in pixels."""
    crop_fraction: float = 0.875
    """Share of the resized side that the centre keeps."""
    interpolation: str = "bicubic"
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD

    def transform(self) -> Transform:
        """PIL image -> (3, H, W) float32."""
        made: Transform = create_transform(
            input_size=(3, self.resolution, self.resolution),
            is_training=False,
            interpolation=self.interpolation,
            crop_pct=self.crop_fraction,
            mean=self.mean,
            std=self.std,
        )
        return made


def training_transform(recipe: Recipe, resolution: int) -> Transform:
    """Random resized crop, flip, augmentation and erasing: PIL image -> (3, H, W) float32.

    Raises:
        SpecError: timm knows no such policy of augmentation.
    """
    try:
        # timm passes over a part without a number
        wrong = [p for p in recipe.auto_augment.split("-")[1:] if not _POLICY_PART.fullmatch(p)]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is no part of one")
        made = _training_transform(recipe, resolution)
    except (AssertionError, ValueError, KeyError, IndexError) as e:
        raise SpecError(
            "must be a policy as timm spells them, rand-m9-mstd0.5-inc1 say, got "
            f"{recipe.auto_augment!r} ({str(e) or type(e).__name__})",
            "recipe.auto_augment",
        ) from e
    for op in _augment_ops(made):
        if op.name.startswith("Posterize"):
            op.aug_fn = _posterized
    return made


def _training_transform(recipe: Recipe, resolution: int) -> Transform:
    made: Transform = create_transform(
        input_size=(3, resolution, resolution),
        is_training=True,
        scale=recipe.crop_scale,
        hflip=recipe.flip_probability,
        color_jitter=recipe.color_jitter,
        auto_augment=recipe.auto_augment or None,
        interpolation=recipe.interpolation,
        re_prob=recipe.erasing,
        re_mode="pixel",
        mean=MEAN,
        std=STD,
    )
    return made


def _augment_ops(made: Any) -> Iterator[Any]:
    """Every operation of timm's policies in a transform."""
    for part in getattr(made, "transforms", ()):
        for op in [*getattr(part, "ops", ()), *itertools.chain(*getattr(part, "policy", ()))]:
            if hasattr(op, "aug_fn"):
                yield op


def _posterized(
    image: Image.Image, bits: int, *, fillcolor: object = None, resample: object = None
) -> Image.Image:
    """An image with so many bits a channel, as timm draws them.

    `rand-m9-mstd0.5-inc1` asks for 0 bits now and then. That was black when the papers trained;
    Pillow refuses it since version 13.
    """
    return ImageOps.posterize(image, bits) if bits > 0 else Image.new(image.mode, image.size)


def epoch_order(seed: int, epoch: int, images: int) -> Tensor:
    """A permutation of all images, (images,) int64."""
    return torch.randperm(images, generator=stream(seed, "order", epoch))


@dataclass(frozen=True, slots=True)
class _Loaded:
    """One image, or why there is none."""

    image: Tensor | None
    label: int
    broken: tuple[str, ...] = ()
    error: str = ""


class _TrainingImages(Dataset[_Loaded]):
    def __init__(self, split: Split, transform: Transform, seed: int, skip_broken: bool) -> None:
        self.split, self.transform = split, transform
        self.seed, self.skip_broken = seed, skip_broken

    def __getitem__(self, key: Any) -> _Loaded:
        epoch, place, index = key
        broken: list[str] = []
        for _ in range(MOST_BROKEN):
            try:
                image, label = self.split[index]
            except DataError as e:
                if not self.skip_broken:
                    return _Loaded(None, NO_LABEL, error=str(e))
                broken.append(self.split.name(index))
                index = (index + 1) % len(self.split)
                continue
            with globally_seeded(self.seed, "view", epoch, place):
                return _Loaded(self.transform(image), label, tuple(broken))
        return _Loaded(
            None,
            NO_LABEL,
            error=f"{broken[0]} and the {MOST_BROKEN - 1} images after it must be images, none "
            "can be read",
        )


class _HeldOutImages(Dataset[_Loaded]):
    def __init__(self, split: Split, view: View, skip_broken: bool, mine: range) -> None:
        self.split, self.skip_broken, self.mine = split, skip_broken, mine
        self.transform, self.side = view.transform(), view.resolution

    def __len__(self) -> int:
        return len(self.mine)

    def __getitem__(self, place: int) -> _Loaded:
        index = self.mine[place]
        try:
            image, label = self.split[index]
        except DataError as e:
            if not self.skip_broken:
                return _Loaded(None, NO_LABEL, error=str(e))
            return _Loaded(torch.zeros(3, self.side, self.side), NO_LABEL,
                           (self.split.name(index),))  # fmt: skip
        return _Loaded(self.transform(image), label)


class _StreamImages(IterableDataset[_Loaded]):
    """A stream's images; what happens to one is named by the worker that has it and its turn."""

    def __init__(self, found: Stream, transform: Transform, seed: int, rank: int) -> None:
        self.found, self.transform, self.seed, self.rank = found, transform, seed, rank
        self.epoch: Tensor = torch.zeros((), dtype=torch.int64)
        self.epoch.share_memory_()  # type: ignore[no-untyped-call]
        """Workers that live on see it change."""

    def __iter__(self) -> Iterator[_Loaded]:
        info = get_worker_info()
        worker = 0 if info is None else info.id
        epoch = int(self.epoch)
        purpose = ("view", epoch, self.rank, worker)
        for turn, (image, label) in enumerate(self.found.read(epoch, self.seed)):
            with globally_seeded(self.seed, *purpose, turn):
                loaded = _Loaded(self.transform(image.convert("RGB")), int(label))
            yield loaded


def _collated(loaded: list[_Loaded]) -> Batch:
    error = next((one.error for one in loaded if one.error), "")
    broken = [name for one in loaded for name in one.broken]
    images = [one.image for one in loaded if one.image is not None]
    if error or not images:
        return Batch(torch.empty(0), torch.empty(0, dtype=torch.int64), broken, error)
    return Batch(torch.stack(images), torch.tensor([one.label for one in loaded]), broken, "")


class _Order(Sampler[list[Key]]):
    """One device's batches of an epoch, from some step on."""

    def __init__(self, plan: BatchPlan, seed: int, rank: int) -> None:
        self.plan, self.seed, self.rank = plan, seed, rank
        self.epoch = self.first_step = 0

    def __len__(self) -> int:
        return (self.plan.steps_per_epoch - self.first_step) * self.plan.accumulate

    def __iter__(self) -> Iterator[list[Key]]:
        plan = self.plan
        order = epoch_order(self.seed, self.epoch, plan.images).tolist()
        for step in range(self.first_step, plan.steps_per_epoch):
            for turn in range(plan.accumulate):
                part = part_of_step(plan, step, turn, self.rank)
                start = part * plan.device_batch
                places = range(start, start + plan.device_batch)
                yield [(self.epoch, place, order[place]) for place in places]


def part_of_step(plan: BatchPlan, step: int, turn: int, rank: int) -> int:
    """The number, in an epoch, of the batch that a device takes in its `turn` of a step.

    Two devices that take one batch each take those that one device takes one after the other.
    """
    return step * plan.parts + turn * plan.devices + rank


class TrainingBatches:
    """A device's batches, epoch after epoch; worker processes live as long as this does."""

    def __init__(
        self,
        data: Split | Stream,
        transform: Transform,
        plan: BatchPlan,
        *,
        seed: int,
        rank: int,
        workers: int,
        skip_broken: bool,
        pin: bool,
    ) -> None:
        self._plan = plan
        self._stream: Stream | None = None
        if is_stream(data):
            self._stream = data
            data.read_by(workers, batch=plan.device_batch)
            self._images = _StreamImages(data, transform, seed, rank)
            chosen: dict[str, Any] = {"batch_size": plan.device_batch, "drop_last": True}
            dataset: Dataset[_Loaded] = self._images
        else:
            self._order = _Order(plan, seed, rank)
            chosen = {"batch_sampler": self._order}
            dataset = _TrainingImages(data, transform, seed, skip_broken)
        self._loader = DataLoader(
            dataset,
            collate_fn=_collated,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=pin,
            **chosen,
        )

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """The batches from step `first_step` of an epoch on: `accumulate` a step.

        Raises:
            DataError: an image cannot be read.
        """
        passed = 0
        if self._stream is not None:
            self._images.epoch.fill_(epoch)
            passed = first_step * self._plan.accumulate
        else:
            self._order.epoch, self._order.first_step = epoch, first_step
        left = self._plan.steps_per_epoch * self._plan.accumulate - passed
        for number, batch in enumerate(self._loader):
            if batch.error:
                raise DataError(batch.error)
            if number < passed:
                continue
            if left == 0:
                return
            left -= 1
            yield batch


def evaluation_batches(
    split: Split | Stream,
    view: View,
    *,
    batch_size: int,
    workers: int = 0,
    skip_broken: bool = False,
    rank: int = 0,
    devices: int = 1,
) -> Iterator[Batch]:
    """The held-out images in their order; those of one device where there are several.

    Args:
        skip_broken: give an image that cannot be read the label `NO_LABEL`.

    Raises:
        DataError: an image cannot be read.
    """
    if is_stream(split):
        split.read_by(workers, batch=batch_size)
        dataset: Any = _StreamImages(split, view.transform(), 0, 0)
    else:
        mine = range(rank, len(split), devices)
        dataset = _HeldOutImages(split, view, skip_broken, mine)
    loader = DataLoader(dataset, batch_size=batch_size, collate_fn=_collated, num_workers=workers)
    for batch in loader:
        if batch.error:
            raise DataError(batch.error)
        yield batch
