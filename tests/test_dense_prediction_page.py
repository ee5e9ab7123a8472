"""The guide's page on detection and segmentation runs, and what it trains improves."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import evnas

PAGE = Path(__file__).parents[1] / "docs" / "guide" / "dense_prediction.md"

PATCHES = ("vanilla_t", "evmamba_t")


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """What the page's Python leaves behind, with what it printed."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    printed: list[str] = []
    names: dict[str, Any] = {"print": lambda *parts: printed.append(" ".join(map(str, parts)))}
    exec(compile("\n".join(blocks), str(PAGE), "exec"), names)
    return names | {"printed": printed}


def test_what_is_printed_stands_on_the_page(page: dict[str, Any]) -> None:
    promised = re.findall(r"^(?:.*\S  )?# (\[.*\]|\d+)(?::.*)?$", PAGE.read_text(), re.M)
    assert promised == [page["printed"][0], page["printed"][1], page["printed"][-1]]


@pytest.mark.parametrize(
    ("losses", "share"), [("retina_losses", 0.8), ("mask_losses", 0.8), ("pixel_losses", 0.5)]
)
def test_what_is_trained_improves(page: dict[str, Any], losses: str, share: float) -> None:
    found = page[losses]
    assert found[-1] < share * found[0], found


@pytest.mark.parametrize(
    ("name", "strides"),
    [
        ("efficientvim_m1", [16, 32, 64]),
        ("vssd_micro", [4, 8, 16, 32]),
        ("vmamba_t", [4, 8, 16, 32]),
        ("vanilla_t", [4, 8, 16, 32]),
        ("evmamba_t", [4, 8, 16, 32]),
    ],
)
def test_sides_are_rounded_up_at_every_halving(name: str, strides: list[int]) -> None:
    with torch.device("meta"):
        body = evnas.build(name, features_only=True)
        maps = body(torch.zeros(1, 3, 800, 1333))
    info: Any = body.feature_info
    assert info.reduction() == strides
    width = 1332 if name in PATCHES else 1333  # such a stem leaves the remainder of 4 out
    for found, stride, channels in zip(maps, strides, info.channels(), strict=True):
        assert tuple(found.shape) == (1, channels, -(-800 // stride), -(-width // stride))


@pytest.mark.parametrize(
    ("size", "printed"), [((800, 1280), 349 - 271), ((512, 2048), 1028 - 949)]
)
def test_backbones_differ_as_printed_detectors_do(size: tuple[int, int], printed: int) -> None:
    """VMamba, Table 2: Mask R-CNN and UperNet on Tiny and Small, whose stages are as wide; each
    printed figure is rounded to a whole G."""
    tiny, small = (
        evnas.count(name, size).macs["vmamba"] / 1e9 for name in ("vmamba_t", "vmamba_s")
    )
    assert abs(small - tiny - printed) <= 1.0
