"""How the norm's programs share a map: each sector of memory is read by about one of them."""

import importlib

import pytest
import torch
from torch.library import opcheck

from evnas import kernels

NORM = importlib.import_module("evnas.kernels.channel_layer_norm.kernel")
SECTOR = NORM.SECTOR_BYTES


def sectors_read(C, images, P, size):
    """By all programs, over those that the map (images, C, P) has; each program reads a sector
    once, however many of its positions lie there."""
    BC, BI, BP = NORM.tile_sizes(C, images, P, size, channels_last=False)
    assert BC <= C * 2 and BP % BI == 0
    read = 0
    for first in range(0, images, BP // BI):
        for start in range(0, P, BI):
            taken = set()
            for image in range(first, min(images, first + BP // BI)):
                for c in range(C):
                    row = (image * C + c) * P * size
                    low, high = row + start * size, row + min(P, start + BI) * size
                    taken |= set(range(low // SECTOR, (high - 1) // SECTOR + 1))
            read += len(taken)
    return read / (images * C * P * size / SECTOR)


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize(
    ("C", "P"),
    [(512, 16), (768, 49), (512, 49), (384, 196), (256, 49), (128, 196), (96, 64), (1024, 4)],
)
def test_a_sector_is_read_by_about_one_program(C, P, size):
    assert sectors_read(C, 2, P, size) < 1.3


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(
    ("C", "images", "P"), [(1, 1, 1), (8192, 3, 1), (2048, 2, 3136), (64, 256, 3), (33, 1, 77)]
)
def test_tiles_stay_within_their_bounds(C, images, P, channels_last):
    BC, BI, BP = NORM.tile_sizes(C, images, P, 2, channels_last=channels_last)
    assert BP <= NORM.MOST_POSITIONS and BI < 2 * P and BP >= BI
    assert max(NORM.MOST_ELEMENTS, 2 * C) >= BC * BP
    assert BC >= C or BP == NORM.MOST_POSITIONS


def test_chunks_are_as_exact_as_the_whole_about_a_large_mean():
    """Sums of squares would cancel: the mean is 4,000 standard deviations away."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 300, 49, generator=generator) + 4000
    want = kernels.channel_layer_norm(x.double(), impl="reference")
    assert not NORM._walk(x).at_once
    y = kernels.channel_layer_norm(x, impl="triton")
    assert (y - want).abs().max() < 2e-3


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, behind the interpreter
def test_nan_stays_at_its_position():
    x = torch.randn(1, 300, 49, generator=torch.Generator().manual_seed(0))
    x[0, 7, 3], x[0, 290, 40] = float("nan"), float("inf")
    y = kernels.channel_layer_norm(x, impl="triton")
    assert y.isnan().any(1)[0].nonzero().flatten().tolist() == [3, 40]
    assert y[0, :, [3, 40]].isnan().all()


def test_the_operator_is_whole_in_chunks(build_call):
    given = build_call("channel_layer_norm-wide").to(torch.float32).inputs
    opcheck(torch.ops.evnas.channel_layer_norm, (*given.values(), 1e-5, "triton"))
