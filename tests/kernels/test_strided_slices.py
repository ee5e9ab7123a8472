"""Kernels of the state-space duals read slices of a larger map as they lie: nothing is copied."""

import importlib

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from evnas.kernels.operator import BODIES

CONTRACTION = importlib.import_module("evnas.kernels.contraction.kernel")
KERNELS = {
    "hsm_ssd": importlib.import_module("evnas.kernels.hsm_ssd.kernel"),
    "nc_ssd": importlib.import_module("evnas.kernels.nc_ssd.kernel"),
}


class Copies(TorchDispatchMode):
    """Copies of tensors of `rows` tokens' worth."""

    def __init__(self, size):
        super().__init__()
        self.size, self.found = size, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func._opname in ("clone", "_to_copy", "copy_") and result.numel() in self.size:
            self.found.append((func._opname, tuple(result.shape)))
        return result


class Launched:
    """Stands for a kernel: it runs nothing, so that only the launcher's copies are seen."""

    def __getitem__(self, grid):
        return lambda *args, **options: None


@pytest.fixture
def nothing_runs(monkeypatch):
    for module in (CONTRACTION, *KERNELS.values()):
        for name, value in vars(module).items():
            if name.startswith("_") and hasattr(value, "fn"):
                monkeypatch.setattr(module, name, Launched())


def sliced(*rows, L=9):
    t = torch.randn(2, sum(rows), L)
    return torch.split(t, list(rows), dim=1)


def test_hsm_ssd_copies_no_slice(nothing_runs):
    C, N, L = 12, 5, 9
    B, Cm, dt = sliced(N, N, N)
    given = (torch.randn(2, C, L), dt, B, Cm, None, torch.randn(2 * C, C), torch.randn(C, C))
    weights = (*given[4:], torch.ones(1))
    with Copies({2 * N * L, 2 * C * L}) as copies:
        y, h, states, hz, log_sum = BODIES["hsm_ssd"](*given[:4], *weights, 1, "triton")
        cotangents = (y, h, *given[:4], *weights[1:], h, states, hz, log_sum)
        BODIES["hsm_ssd_backward"](*cotangents, 1, "triton")
    assert copies.found == []
    assert states.is_contiguous() and states.shape == (2, N, C)


def test_nc_ssd_copies_no_slice(nothing_runs):
    heads, p, N, L = 2, 6, 5, 9
    v, B, Cm = sliced(heads * p, N, N)
    given = (v, torch.rand(2, heads, L), torch.ones(heads), B, Cm, torch.ones(heads))
    with Copies({2 * N * L, v.numel()}) as copies:
        y, state = BODIES["nc_ssd"](*given, "triton")
        BODIES["nc_ssd_backward"](y, state, *given, state, "triton")
    assert copies.found == []


def test_an_offset_past_int32_is_copied():
    assert CONTRACTION.strided(torch.empty(1, 4, 3, device="meta"))[1] == (12, 3, 1)
    apart = torch.empty(1, device="meta").as_strided((2, 3, 3), (9, 2**30, 1))
    assert CONTRACTION.strided(apart)[1] == (9, 3, 1)
