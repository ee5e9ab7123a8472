"""Where time goes: parts in order, shares that add up, kinds by name, implementations named."""

import pytest
import torch
from torch import nn

from evnas.arch.catalog import entry
from evnas.blocks.backbone import build
from evnas.kernels import dispatch, implementation_in_use
from evnas.measure.timing.breakdown import REST, breakdown, kind_of, part_modules
from evnas.measure.timing.implementations import implementations
from evnas.measure.timing.profiling import profiled, self_times_ns


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return build(entry("efficientvim_m1").arch.scaled(0.25), seed=0).eval()


def test_parts_of_a_backbone(model):
    assert list(part_modules(model)) == [
        "stem",
        "stages.0",
        "stages.0.downsample",
        "stages.1",
        "stages.1.downsample",
        "stages.2",
        "head",
    ]


def test_times_add_up(model):
    images = torch.randn(2, 3, 64, 64)

    def call() -> object:
        with torch.inference_mode():
            return model(images)

    call()
    split = breakdown(call, model, "cpu")
    assert sum(split.parts_ms.values()) == pytest.approx(split.latency_ms)
    assert sum(split.operators_fraction.values()) == pytest.approx(1.0)
    assert all(ms > 0 for path, ms in split.parts_ms.items() if path != REST)
    assert {"convolution", "norm", "scan", "elementwise"} <= set(split.operators_fraction)


def test_time_within_a_part_is_its_own_alone():
    """A downsampling that its stage calls itself counts once."""

    class Down(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ x

    class Stage(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.downsample = Down()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.downsample(x)
            return y

    model = nn.Sequential(Stage())
    x = torch.randn(500, 500)
    split = breakdown(lambda: model(x), model, "cpu")
    assert split.parts_ms["0.downsample"] > split.parts_ms["0"]
    assert split.parts_ms[REST] >= 0


@pytest.mark.parametrize(
    ("operator", "kind"),
    [
        ("aten::mkldnn_convolution", "convolution"),
        ("evnas::ss2d_scan", "scan"),
        ("evnas::channel_layer_norm", "norm"),
        ("aten::addmm", "matmul"),
        ("aten::mul", "elementwise"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", "attention"),
        ("aten::empty", "rest"),
    ],
)
def test_operators_have_a_kind(operator, kind):
    assert kind_of(operator) == kind


def test_the_implementations_that_ran_are_named(model, monkeypatch, tmp_path):
    nothing_measured = tmp_path / "choices.json"
    nothing_measured.write_text("[]")
    monkeypatch.setattr(dispatch, "CHOICES_FILE", nothing_measured)
    ran = implementations(model, torch.randn(2, 3, 64, 64))
    assert ran == {
        name: implementation_in_use(name, "cpu") for name in ("channel_layer_norm", "hsm_ssd")
    }
    assert implementations(nn.Conv2d(3, 3, 1), torch.randn(2, 3, 8, 8)) == {}


def test_self_times_are_torchs():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.LazyLinear(5))
    images = torch.randn(2, 3, 8, 8)
    model(images)
    profile = profiled(lambda: model(images), cuda=False, memory=False)
    mine = self_times_ns(profile)
    theirs = {e.key: e.self_cpu_time_total for e in profile.key_averages()}
    assert mine.keys() == theirs.keys()
    for name, spent in theirs.items():
        assert mine[name] / 1000 == pytest.approx(spent, abs=0.01)
