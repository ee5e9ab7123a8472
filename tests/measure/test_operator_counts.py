"""One count of our operators: the trace's, torch's own counter's, and by hand are the same."""

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from evnas import kernels
from evnas.kernels import flops
from evnas.measure.counting.op_trace import record_forward
from evnas.measure.counting.operators import is_free, known


def scan_inputs(*leading: int, K: int, C: int, N: int, sizes: tuple[int, ...]):
    B = torch.empty(*leading, K, N, *sizes)
    return torch.empty(*leading, K, C, *sizes), torch.empty(K, C, N), B, B, torch.empty(K, C)


def ss2d(scan: str, step: int, K: int):
    delta, A, B, C, D = scan_inputs(2, K=K, C=3, N=5, sizes=(5, 7))
    u = torch.empty(2, 3, 5, 7)
    return kernels.ss2d_scan, (u, delta, A, B, C, D, D), {"scan": scan, "step": step}


def selective(skip: bool):
    delta, A, B, C, D = scan_inputs(2, K=2, C=3, N=4, sizes=(7,))
    delta, A = delta.flatten(1, 2), A.flatten(0, 1)
    return kernels.selective_scan, (delta, delta, A, B, C, D.flatten() if skip else None), {}


def hsm(*names: str):
    shapes = {
        "u": (2, 6, 11),
        "dt": (2, 4, 11),
        "B": (2, 4, 11),
        "C": (2, 4, 11),
        "A": (4,),
        "Q": (6, 6),
        "O": (6, 3),
        "D": (1,),
        "h": (2, 6, 4),
    }
    return tuple(torch.empty(shapes[name]) for name in names)


def nc():
    v, tokens, heads = torch.empty(2, 6, 11), torch.empty(2, 4, 11), torch.empty(3)
    delta = torch.empty(2, 3, 11)
    return kernels.nc_ssd, (v, delta, heads, tokens, tokens, heads), {"heads": 3}


# by hand: images, routes, channels, positions and the MACs of one of them
CALLS = {
    "cross": (ss2d("cross", 1, 4), 2 * 4 * 3 * 35 * (3 * 5 + 1), 2 * 5),
    "atrous": (ss2d("atrous", 2, 4), 2 * 4 * 3 * 12 * (3 * 5 + 1), 2 * 5),  # 3 x 4 padded
    "sequence": (selective(True), 2 * 6 * 7 * (3 * 4 + 1), 2 * 4),
    "sequence without skip": (selective(False), 2 * 6 * 7 * 3 * 4, 2 * 4),
    "compress": ((kernels.hsm_ssd_compress, hsm("u", "dt", "B", "A"), {}), 2 * 6 * 11 * 4, 0),
    "expand": ((kernels.hsm_ssd_expand, hsm("h", "C"), {}), 2 * 6 * 11 * 4, 0),
    "hsm": (
        (kernels.hsm_ssd, hsm("u", "dt", "B", "C", "A", "Q", "O", "D"), {}),
        2 * (2 * 6 * 11 * 4 + 4 * (6 * 6 + 6 * 3)),
        0,
    ),
    "nc": (nc(), 2 * 2 * 6 * 11 * 4, 0),
    "norm": ((kernels.channel_layer_norm, hsm("u"), {}), 0, 0),
}


class One(torch.nn.Module):
    def __init__(self, call):
        super().__init__()
        self.op, _, self.options = call

    def forward(self, *inputs):
        return self.op(*inputs, **self.options)


@pytest.mark.parametrize("name", CALLS)
def test_the_tape_torchs_counter_and_a_count_by_hand_agree(name):
    call, by_hand, recomputed = CALLS[name]
    inputs: list[Any] = [None if t is None else t.to("meta").requires_grad_() for t in call[1]]
    (operation,), _ = record_forward(One(call), *inputs)
    assert flops.MACS[operation.op.removeprefix("evnas.")](operation.arguments) == by_hand

    with FlopCounterMode(display=False) as counter:
        outputs = One(call)(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        sum(y.sum() for y in outputs).backward()
    counted = {str(op): n for op, n in counter.get_flop_counts()["Global"].items()}
    assert counted.keys() == {operation.op, f"{operation.op}_backward"}
    assert counted[operation.op] == 2 * by_hand
    steps = by_hand // (3 * inputs[2].shape[-1] + (inputs[5] is not None)) if recomputed else 0
    assert counted[f"{operation.op}_backward"] == 2 * (2 * by_hand + steps * recomputed)


def test_every_operator_has_a_count():
    registered = {
        name.removeprefix("evnas::").partition(".")[0]
        for name in torch._C._dispatch_get_all_op_names()
        if name.startswith("evnas::")
    }
    assert registered == flops.MACS.keys()
    for name in registered:
        assert known(f"evnas.{name}") and not is_free(f"evnas.{name}")
