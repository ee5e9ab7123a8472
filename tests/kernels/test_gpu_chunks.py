"""Chunks of the plain forms on a GPU: launches are what costs there, so they are few."""

import importlib

import pytest
import torch

SS2D = importlib.import_module("evnas.kernels.ss2d_scan.cpu")
SELECTIVE = importlib.import_module("evnas.kernels.selective_scan.cpu")


class OnGpu:
    """A tensor's place and shape."""

    is_cuda = True

    def __init__(self, *shape: int) -> None:
        self.shape = torch.Size(shape)


@pytest.mark.parametrize("states", [1, 16])
def test_vmamba_s_first_stage_is_few_chunks(states):
    u = OnGpu(128, 192, 56, 56)
    parts = list(SS2D._chunks(u, 4, states))
    assert len(parts) <= 12
    covered = sum(
        len(range(*rows.indices(128))) * len(range(*channels.indices(192)))
        for rows, channels in parts
    )
    assert covered == 128 * 192


def test_so_is_a_sequence():
    assert len(list(SELECTIVE._chunks(OnGpu(128, 4 * 96, 3136), 4))) <= 8
