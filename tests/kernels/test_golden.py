"""The references against values worked out by hand, or recorded from released code."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from evnas import kernels

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
RECORDED = Path(__file__).parent.parent / "data" / "kernels" / "selective_scan.npz"


@pytest.mark.gpu
@pytest.mark.parametrize("impl", ["reference", "cpu", "triton"])
def test_selective_scan_matches_the_released_code(impl):
    with np.load(RECORDED) as data:
        t = {n.removeprefix("scan_"): torch.from_numpy(data[n]).to(DEVICE) for n in data}
    y = kernels.selective_scan(
        *(t[n] for n in ("u", "delta", "A", "B", "C", "D")),
        delta_bias=t["delta_bias"],
        delta_softplus=True,
        impl=impl,
    )
    torch.testing.assert_close(y, t["out"], rtol=0, atol=5e-6)


def test_selective_scan_by_hand():
    A = torch.tensor([[-math.log(2.0)]])  # each unit of dt halves the state
    x, delta = torch.tensor([[[8.0, 2.0, 1.0]]]), torch.tensor([[[1.0, 1.0, 2.0]]])
    one = torch.ones(1, 1, 1, 3)
    y = kernels.selective_scan(x, delta, A, one, one, torch.tensor([10.0]), impl="reference")
    # h: 8; 8/2 + 2 = 6; 6/4 + 2*1 = 3.5
    torch.testing.assert_close(y, torch.tensor([[[88.0, 26.0, 13.5]]]))


def counting_scan(scan, *, step=1, K=4):
    """y at each pixel = sum over routes of the walked pixels' values so far, without decay."""
    u = torch.arange(1.0, 7.0, dtype=torch.float64).view(1, 1, 2, 3)
    unit = math.log(math.e - 1)  # softplus(unit) = 1
    maps = torch.zeros(1, K, 1, 2, 3, dtype=torch.float64)
    return kernels.ss2d_scan(
        u,
        maps,
        torch.full((K, 1, 1), -1e-30, dtype=torch.float64),
        maps + 1,
        maps + 1,
        torch.zeros(K, 1, dtype=torch.float64),
        torch.full((K, 1), unit, dtype=torch.float64),
        scan=scan,
        step=step,
        impl="reference",
    )


def test_ss2d_by_hand():
    # map 1 2 3 / 4 5 6; prefix sums by row + by column + both reversed = two totals + two u
    row = torch.tensor([1.0, 3, 6, 10, 15, 21])
    col = torch.tensor([1.0, 7, 15, 5, 12, 21])  # walked 1 4 2 5 3 6
    u = torch.arange(1.0, 7.0)
    cross = row + col + (21 - row + u) + (21 - col + u)
    assert counting_scan("cross").flatten().tolist() == pytest.approx(cross.tolist())
    assert counting_scan("unidi").flatten().tolist() == pytest.approx((4 * row).tolist())
    # each row forward, plus each row backward left where its steps fell
    rows = [1 + 3, 3 + 5, 6 + 6, 4 + 6, 9 + 11, 15 + 15]
    assert counting_scan("rows", K=2).flatten().tolist() == pytest.approx(rows)
    # phases {1, 3}, {4, 6}, {2}, {5} of step 2
    assert counting_scan("atrous", step=2).flatten().tolist() == pytest.approx([1, 2, 4, 4, 5, 10])


def test_hsm_ssd_by_hand():
    u = torch.tensor([[[1.0, 3.0]]])
    dt = torch.tensor([[[0.0, math.log(3.0)]]])  # softmax: 1/4, 3/4
    B = torch.tensor([[[2.0, 4.0]]])
    h0 = kernels.hsm_ssd_compress(u, dt, B, torch.tensor([5.0]), impl="reference")
    assert h0.item() == pytest.approx(1 * 0.25 * 2 + 3 * 0.75 * 4)
    y = kernels.hsm_ssd_expand(h0, torch.tensor([[[1.0, -2.0]]]), impl="reference")
    assert y.flatten().tolist() == pytest.approx([9.5, -19.0])


def test_nc_ssd_by_hand():
    v = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])  # two heads of one channel
    delta = torch.tensor([[[1.0, 0.5], [2.0, 1.0]]])
    B, C = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[1.0, 3.0]]])
    A_log, D = torch.tensor([0.0, math.log(2.0)]), torch.tensor([1.0, 0.0])
    y, state = kernels.nc_ssd(v, delta, A_log, B, C, D, heads=2, impl="reference")
    assert state.flatten().tolist() == pytest.approx([1 + 2, 4 * 3 + 2 * 2 * 4])
    assert y.flatten().tolist() == pytest.approx([3 + 1, 9 + 2, 28, 84])


def test_channel_layer_norm_by_hand():
    x = torch.tensor([[[1.0], [3.0]]])
    y = kernels.channel_layer_norm(
        x, torch.tensor([2.0, 2.0]), torch.tensor([1.0, 1.0]), eps=0.0, impl="reference"
    )
    assert y.flatten().tolist() == pytest.approx([-1.0, 3.0])
