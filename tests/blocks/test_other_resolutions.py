"""Weights know nothing of a resolution: they load strictly at any, where counts are as printed."""

import pytest
import torch

from evnas.arch.catalog import entry
from evnas.arch.paths import edit
from evnas.blocks.backbone import build
from evnas.measure.counting.flops import count
from evnas.papers.published import prints_as, published_row


@pytest.mark.parametrize(("row", "side"), [("2", 384), ("4", 512)])
def test_m4_costs_what_table_b_prints(row: str, side: int) -> None:
    """EfficientViM, supplement, Table B. Its parameters are a known difference."""
    printed = published_row("EfficientViM", "B", row)
    assert printed.resolution == side
    macs = count(entry("efficientvim_m4").arch, side).macs["efficientvim"]
    assert prints_as(macs / 1e9, printed.printed["flops_g"])


@pytest.mark.parametrize("name", ["efficientvim_m1", "vssd_micro", "vmamba_t", "evmamba_t"])
def test_a_224_network_runs_at_384_and_512(name: str) -> None:
    arch = entry(name).arch
    narrow = edit(arch.scaled(0.25), {"num_classes": 5, "stages[*].depth": 1})
    trained = build(narrow, seed=0)
    again = build(narrow, seed=1).eval()
    again.load_state_dict(trained.state_dict(), strict=True)
    assert not any("224" in str(tuple(v.shape)) for v in again.state_dict().values())
    with torch.inference_mode():
        for side in (224, 384, 512):
            logits = again(torch.randn(1, 3, side, side))
            assert logits.shape == (1, 5) and logits.isfinite().all()
