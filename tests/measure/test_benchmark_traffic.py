"""What the benchmarks count as read and written: copies too, however torch hands them over."""

import importlib
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize(
    ("operation", "copies"),
    [
        (lambda x: x.t().contiguous(), True),
        (lambda x: x.t().reshape(-1), True),
        (lambda x: x.contiguous(), False),
        (lambda x: x.flatten(), False),
        (lambda x: x.t(), False),
    ],
)
def test_a_copy_is_counted_and_a_view_is_not(monkeypatch, operation, copies):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    traffic = importlib.import_module("traffic")
    x = torch.ones(4, 6)
    assert traffic.traffic_bytes(lambda: operation(x)) == (2 * 4 * 6 * 4 if copies else 0)
