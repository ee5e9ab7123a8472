"""Batches for training and evaluation, made on the device from uint8 images."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from evnas.proxy.data import ProxyData


@dataclass(frozen=True, slots=True)
class Crop:
    """What is cut out of a stored image before it is resized, in pixels."""

    stored: int
    """Side of the stored image."""
    side: int
    """Side of the square cut out; evaluation takes the centre one."""
    pad: int
    """Zeros added around the image for training."""

    @property
    def places(self) -> int:
        """Positions of the square along one axis in training."""
        return self.stored + 2 * self.pad - self.side + 1


def crop_for(stored: int, resolution: int) -> Crop:
    """Images kept a little larger are cut to `resolution`; others are padded by an eighth."""
    if resolution < stored < 2 * resolution:
        return Crop(stored, resolution, 0)
    return Crop(stored, stored, stored // 8)


def training_batch(
    data: ProxyData, indices: Tensor, *, resolution: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Random crop, flip where the data allows it, resize, normalise.

    Args:
        data: the images; its device is the device of the result.
        indices: (B,) int64 on the CPU, into the training split.
        resolution: side of the result in pixels.
        generator: on the CPU, so that every device sees the same draws.

    Returns:
        Images (B, 3, resolution, resolution) float32 in channels_last order, labels (B,) int64.
    """
    device = data.train.images.device
    crop = crop_for(data.train.images.shape[-1], resolution)
    rows, columns = crop_indices(len(indices), crop, flip=data.flip, generator=generator)
    picked = indices.to(device, non_blocking=True)
    padded = F.pad(data.train.images[picked], (crop.pad,) * 4)
    batch = torch.arange(len(indices), device=device)[:, None, None]
    # advanced indices on both sides of the slice put the channels last
    cut = padded[batch, :, rows.to(device)[:, :, None], columns.to(device)[:, None, :]]
    images = normalised(cut.permute(0, 3, 1, 2), data, resolution)
    return images, data.train.labels[picked]


def crop_indices(
    batch: int, crop: Crop, *, flip: bool, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Rows and columns, each (B, crop.side), into the padded images."""
    pixels = torch.arange(crop.side)
    down, right = torch.randint(crop.places, (2, batch, 1), generator=generator)
    mirrored = torch.randint(2, (batch, 1), generator=generator).bool() & flip
    columns = right + pixels
    return down + pixels, torch.where(mirrored, columns.flip(1), columns)


def evaluation_batch(data: ProxyData, start: int, stop: int, *, resolution: int) -> Tensor:
    """Held-out images start to stop - 1, (B, 3, resolution, resolution): centre cut, no chance."""
    images = data.held_out.images[start:stop]
    crop = crop_for(images.shape[-1], resolution)
    first = (crop.stored - crop.side) // 2
    cut = images[..., first : first + crop.side, first : first + crop.side]
    return normalised(cut, data, resolution)


def normalised(images: Tensor, data: ProxyData, resolution: int) -> Tensor:
    """uint8 (B, C, H, W) to float32 (B, 3, resolution, resolution), zero mean, unit variance."""
    mean = torch.tensor(data.mean, device=images.device).view(1, -1, 1, 1)
    std = torch.tensor(data.std, device=images.device).view(1, -1, 1, 1)
    x = (images.float() / 255 - mean) / std
    if x.shape[-1] != resolution:
        shrink = x.shape[-1] > resolution
        size = (resolution, resolution)
        x = F.interpolate(x, size=size, mode="bilinear", antialias=shrink, align_corners=False)
    return x.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
