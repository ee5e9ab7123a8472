"""The order in which routes walk the pixels, against lists of the released code."""

import json
from pathlib import Path

import pytest
import torch

from evnas.kernels.ss2d_scan.routes import route_count, scan_orders

ORDERS = json.loads(
    (Path(__file__).parent.parent / "data" / "kernels" / "scan_orders.json").read_text()
)


@pytest.mark.parametrize("name", ORDERS)
def test_orders_match_the_released_code(name):
    kind, size = name.split()[0].rsplit("_", 1)
    H, W = map(int, size.split("x"))
    scan, step = ("atrous", 2) if kind == "es2d" else (kind.removeprefix("vmamba_"), 1)
    read, write = scan_orders(scan, H, W, step=step)
    assert read[:, 0].tolist() == ORDERS[name]
    assert torch.equal(read, write)


@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (6, 4)], ids=str)
def test_atrous_phases_partition_the_map(step, size):
    read, _ = scan_orders("atrous", *size, step=step)
    assert read.shape[0] == route_count("atrous", step) == step * step
    inside = read[read >= 0]
    assert sorted(inside.tolist()) == list(range(size[0] * size[1]))


def test_second_route_of_rows_is_not_flipped_back():
    read, write = scan_orders("rows", 2, 3)
    assert read.tolist() == [[[0, 1, 2], [3, 4, 5]], [[2, 1, 0], [5, 4, 3]]]
    assert write.tolist() == [[[0, 1, 2], [3, 4, 5]]] * 2
    read, write = scan_orders("cols", 2, 3)
    assert read.tolist() == [[[0, 3], [1, 4], [2, 5]], [[3, 0], [4, 1], [5, 2]]]
    assert write.tolist() == [[[0, 3], [1, 4], [2, 5]]] * 2
