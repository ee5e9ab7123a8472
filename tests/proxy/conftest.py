"""A small set that can be learnt, and a small network that learns it."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from evnas.proxy.budget import ProxyBudget
from evnas.proxy.data import ImageSet, ProxyData


def stripes(count: int, seed: int) -> ImageSet:
    """Noise with a bright horizontal (0) or vertical (1) stripe, (count, 1, 12, 12)."""
    draw = torch.Generator().manual_seed(seed)
    images = torch.randint(80, (count, 1, 12, 12), generator=draw, dtype=torch.uint8)
    labels = torch.arange(count) % 2
    places = torch.randint(2, 10, (count,), generator=draw)
    for image, label, place in zip(images, labels, places, strict=True):
        if label:
            image[0, :, place] = 255
        else:
            image[0, place] = 255
    return ImageSet(images=images, labels=labels)


@pytest.fixture(scope="session")
def data() -> ProxyData:
    return ProxyData(
        name="stripes",
        train=stripes(96, 0),
        held_out=stripes(40, 1),
        classes=("horizontal", "vertical"),
        mean=(0.2,),
        std=(0.2,),
    )


@pytest.fixture
def budget() -> ProxyBudget:
    return ProxyBudget(
        epochs=3,
        images_per_epoch=48,
        resolution=12,
        batch_size=8,
        lr=1e-2,
        points_per_epoch=2,
        curve_images=20,
    )


def small_net() -> nn.Module:
    """(B, 3, 12, 12) -> (B, 2), with batch norm and dropout, drawn from the global generator."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(16, 2),
    )


@pytest.fixture
def make_net() -> Callable[[], nn.Module]:
    return small_net
