"""Parameters and FLOPs of all eleven rows print as the paper prints them."""

from pathlib import Path

import pytest

from evnas.measure.counting.flops import count
from evnas.papers.published import prints_as, published_table
from evnas.sweep.sweep import load_sweep

SWEEP = load_sweep(Path(__file__).parents[2] / "sweeps" / "table_c.yaml")


@pytest.mark.parametrize("row", SWEEP.candidates, ids=lambda row: row.label)
def test_prints_as_published(row):
    printed = published_table("EfficientViM", "C")[row.label].printed
    counts = count(row.arch, 224)
    assert prints_as(counts.params / 1e6, printed["params_m"])
    assert prints_as(counts.macs["efficientvim"] / 1e9, printed["flops_g"])
