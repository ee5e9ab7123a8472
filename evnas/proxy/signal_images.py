"""The images that scores of a whole model are taken on, where a sweep has no proxy of its own."""

import functools

import torch
from torch import Tensor

from evnas.proxy.augment import training_batch
from evnas.proxy.data import load_data

SIDE = 96
"""Pixels: a stride of 32 keeps 3 x 3 tokens, and a forward stays cheap."""
IMAGES = 16


@functools.cache
def signal_images(side: int = SIDE, count: int = IMAGES) -> tuple[Tensor, Tensor]:
    """The first training images of Fashion-MNIST, (count, 3, side, side) normalised, and labels.

    Each class is among the first ten once. Which are cropped and flipped, and how, is fixed.
    """
    data = load_data("fashion-mnist-12k")
    views = torch.Generator().manual_seed(0)
    return training_batch(data, torch.arange(count), resolution=side, generator=views)
