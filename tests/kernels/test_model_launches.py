"""Models that pretend to be on a GPU start our kernels there, so that they can be compiled."""

import importlib
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from evnas import kernels

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NORM = importlib.import_module("evnas.kernels.channel_layer_norm.kernel")


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)
        self.norm = nn.BatchNorm2d(8)
        self.weight, self.bias = nn.Parameter(torch.ones(8)), nn.Parameter(torch.ones(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return kernels.channel_layer_norm(self.norm(self.conv(x)), self.weight, self.bias)


@pytest.fixture
def model_launches(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("model_launches")
    sys.modules.pop("model_launches", None)


@pytest.fixture
def launched(monkeypatch):
    """What the kernel's launcher is handed."""
    found = []

    def launcher(x, weight, bias, eps):
        found.append((x.dtype, weight.dtype, x.device.type, x.is_contiguous()))
        return torch.empty_like(x)

    monkeypatch.setattr(NORM, "channel_layer_norm_triton", launcher)
    return found


def images() -> torch.Tensor:
    return torch.empty(2, 3, 4, 4, device="cuda")


def test_a_model_reaches_the_launchers(model_launches, launched):
    model = Normed().eval()
    with model_launches.as_on_a_gpu(model), torch.no_grad():
        y = model(images())
    assert launched == [(torch.float32, torch.float32, "cuda", True)]
    assert (y.device.type, y.shape) == ("cuda", (2, 8, 4, 4))


def test_autocast_holds_though_no_gpu_is_there(model_launches, launched):
    model = Normed().eval()
    with model_launches.as_on_a_gpu(model), torch.no_grad(), model_launches._half_by_autocast():
        model(images())
    assert launched[0][:2] == (torch.float16, torch.float32)


def test_layouts_are_kept(model_launches, launched):
    model = Normed().eval().to(memory_format=torch.channels_last)
    with model_launches.as_on_a_gpu(model), torch.no_grad():
        model(images().contiguous(memory_format=torch.channels_last))
    assert not launched[0][3]


def test_bytes_are_counted_without_a_launch(model_launches, launched):
    traffic = importlib.import_module("traffic")
    model = Normed().eval()
    with model_launches.as_on_a_gpu(model, launching=False):
        found = traffic.traffic_by_operator(lambda: model(images()))
    assert launched == []
    assert found["evnas.channel_layer_norm.default"] == 4 * (2 * 2 * 8 * 16 + 2 * 8)
    assert not any("device" in name for name in found)
