"""Batches: crops, flips, sizes, and that randomness comes from the generator alone."""

import dataclasses

import pytest
import torch

from evnas.proxy.augment import (
    Crop,
    crop_for,
    crop_indices,
    evaluation_batch,
    normalised,
    training_batch,
)
from evnas.proxy.data import ImageSet
from evnas.proxy.seeding import stream


def with_images(data, images):
    split = ImageSet(images=images, labels=torch.zeros(len(images), dtype=torch.int64))
    channels = images.shape[1]
    still = {"mean": (0.0,) * channels, "std": (1.0 / 255,) * channels}
    return dataclasses.replace(data, train=split, held_out=split, **still)


def test_small_images_are_padded_and_larger_ones_cut():
    assert crop_for(28, 56) == Crop(28, 28, 3)
    assert crop_for(64, 56) == Crop(64, 56, 0)
    assert crop_for(56, 56) == Crop(56, 56, 7)
    assert crop_for(128, 56) == Crop(128, 128, 16)
    assert crop_for(64, 56).places == 9


@pytest.mark.parametrize(("stored", "resolution", "channels"), [(12, 12, 1), (14, 12, 3)])
def test_a_training_view_is_a_window_of_its_image(data, stored, resolution, channels):
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(1, 256, (6, channels, stored, stored), generator=draw).byte()
    source = with_images(data, images)
    views, labels = training_batch(
        source, torch.tensor([4, 1]), resolution=resolution, generator=stream(0, "test")
    )
    assert views.shape == (2, 3, resolution, resolution)
    assert views.is_contiguous(memory_format=torch.channels_last)
    assert labels.dtype == torch.int64
    pad = crop_for(stored, resolution).pad
    for view, index in zip(views, (4, 1), strict=True):
        padded = torch.nn.functional.pad(images[index].float(), (pad,) * 4)
        windows = padded.unfold(1, resolution, 1).unfold(2, resolution, 1)
        windows = windows.permute(1, 2, 0, 3, 4).reshape(-1, channels, resolution, resolution)
        windows = torch.cat([windows, windows.flip(-1)]).expand(-1, 3, -1, -1)
        assert any(torch.allclose(view, w, atol=1e-3) for w in windows)


def test_flips_and_places_are_all_drawn():
    crop = Crop(12, 12, 1)
    rows, columns = crop_indices(200, crop, flip=True, generator=stream(0, "test"))
    assert set(rows[:, 0].tolist()) == {0, 1, 2}
    rising = columns[:, 1] > columns[:, 0]
    assert 60 < rising.sum() < 140
    _, columns = crop_indices(200, crop, flip=False, generator=stream(0, "test"))
    assert (columns[:, 1] > columns[:, 0]).all()


def test_views_come_from_the_generator_alone(data):
    picked = torch.arange(8)
    first, _ = training_batch(data, picked, resolution=12, generator=stream(1, "a"))
    torch.rand(3)
    second, _ = training_batch(data, picked, resolution=12, generator=stream(1, "a"))
    other, _ = training_batch(data, picked, resolution=12, generator=stream(2, "a"))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_evaluation_takes_the_centre(data):
    images = torch.zeros(2, 1, 14, 14, dtype=torch.uint8)
    images[:, :, 1:13, 1:13] = 7
    batch = evaluation_batch(with_images(data, images), 0, 2, resolution=12)
    assert batch.shape == (2, 3, 12, 12)
    assert torch.allclose(batch, torch.full_like(batch, 7.0))


def test_normalised_has_zero_mean_and_unit_variance(data):
    images = torch.tensor([51, 153], dtype=torch.uint8).view(1, 1, 1, 2).expand(1, 1, 2, 2)
    by_hand = dataclasses.replace(data, mean=(0.4,), std=(0.2,))
    x = normalised(images, by_hand, 2)
    assert torch.allclose(x[0, :, 0], torch.tensor([-1.0, 1.0]).expand(3, 2))
    assert normalised(images, by_hand, 5).shape == (1, 3, 5, 5)
