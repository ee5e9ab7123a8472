"""Maps larger than a tile go strip by strip; small tiles stand in for large maps here."""

import importlib
from pathlib import Path

import pytest
import torch

import evnas.kernels

FORWARD = importlib.import_module("evnas.kernels.ss2d_scan.kernel")
BACKWARD = importlib.import_module("evnas.kernels.ss2d_scan.backward.kernel")
SEQUENCE = importlib.import_module("evnas.kernels.selective_scan.kernel")


@pytest.fixture
def small_tiles(monkeypatch):
    for module in (FORWARD, BACKWARD, SEQUENCE):
        monkeypatch.setattr(module, "TILE_ELEMENTS", 8)
    monkeypatch.setattr(SEQUENCE, "BACKWARD_TILE", 8)
    monkeypatch.setattr(SEQUENCE, "LINE", 2)


def check(call):
    call = call.to(torch.float32)
    want = call.to(torch.float64).gradients("reference")
    for key, value in call.gradients("triton").items():
        scale = want[key].abs().max().clamp(min=1.0)
        assert ((value - want[key]).abs().max() / scale).item() < 2e-5, key


@pytest.mark.parametrize("scan", ["cross", "bidi", "rows", "cols", "atrous"])
def test_strips_of_a_map_agree_with_reference(build_scan, scan, small_tiles):
    side = (5, 7) if scan == "atrous" else (3, 4)
    check(build_scan(scan, 2 if scan == "atrous" else 1, 1, 1, 2, *side))


def test_strips_of_a_sequence_agree_with_reference(build_call, small_tiles):
    check(build_call("selective_scan-plain"))


def test_channels_of_a_part_are_added_to_it(build_scan, small_tiles, monkeypatch):
    monkeypatch.setattr(BACKWARD, "PROGRAMS", 2)  # three channels, so one of two has two
    check(build_scan("bidi", 1, 1, 3, 1, 2, 3))


def test_parts_are_bounded_in_number_and_in_size():
    assert BACKWARD._parts(128, 96, 1 << 20) == 8
    assert BACKWARD._parts(1, 96, 1 << 20) == 64
    assert BACKWARD._parts(1, 96, 1 << 30) == 1
    assert BACKWARD._parts(4096, 96, 1 << 20) == 1


def test_nothing_is_added_by_atomics():
    """Whose order differs from run to run, and with it the last bits of a training."""
    folder = Path(evnas.kernels.__file__).parent
    assert [path for path in folder.rglob("*.py") if "tl.atomic" in path.read_text()] == []
