"""The recurrence of a selective scan as one node of an ONNX graph, as torch sees it.

The node is of a domain of ours; `evnas.kernels.onnx_form.nodes` writes ONNX's own Scan in its
place. So the number of steps need not be known, and nothing but products of decays in [0, 1] is
formed: nothing overflows however strong a decay is.

A step of a runtime's loop costs some microseconds an operator, however little it does. So a
sequence of one state may be cut in chunks that are walked side by side, twice: first each from
h = 0, which gives what it adds to the state; then, the chunks' own recurrence having been walked,
each from the state that it begins with. That is sqrt(L) steps, three times. Of several states the
decays cost most, and are not formed twice: there some steps of a sequence may be one of the loop.
"""

from typing import Any

import torch
from torch import Tensor

from evnas.kernels.onnx_form.exporting import sides_are_fixed
from evnas.kernels.operator import operator

DOMAIN = "evnas"
NODE = "SelectiveRecurrence"
MOST_AT_ONCE = 16
"""Steps of a sequence in one of the loop: each is two nodes more of the graph."""
MOST_ELEMENTS = 2**17
"""Of channels, states, routes and images of such steps: a core's cache holds them with ease."""


def recurrence(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    *,
    chunks_of: int | None = None,
    at_once: int = 1,
) -> Tensor:
    """y[t] = <C[t], h[t]> with h[t] = exp(dt[t] A) h[t-1] + dt[t] x[t] B[t], from h = 0.

    Args:
        x: input, (L, Bt, K, Dm).
        dt: step size, after softplus, (L, Bt, K, Dm).
        A: continuous decay, (K, Dm, N), negative.
        B: input matrix, (L, Bt, K, N).
        C: output matrix, (L, Bt, K, N).
        chunks_of: of how many sequences the Bt are the chunks, the first of each sequence first;
            None where each is a sequence of its own. Only for N = 1.
        at_once: steps of the sequence, a divisor of L, that are one of the loop. Only for N > 1.

    Returns:
        y: (L, Bt, K, Dm).
    """
    rate = A.transpose(1, 2)  # (K, N, Dm): channels side by side, as in every other operand
    start = x.new_zeros((x.shape[1], *rate.shape))
    whole = start if chunks_of is None else x.new_zeros((chunks_of, *rate.shape))
    drive, step = (dt * x).unsqueeze(3), dt.unsqueeze(3)
    states = int(A.shape[2])  # a tracer's sizes are tensors
    operands = (step, drive, rate, B.unsqueeze(4), C.unsqueeze(3), start, whole)
    y: Tensor = _Recurrence.apply(*operands, states, chunks_of is not None, at_once)
    return y.squeeze(3)


def steps_at_once(x: Tensor, A: Tensor) -> int:
    """How many steps of (L, Bt, K, Dm) may be one of the loop, where A is (K, Dm, N)."""
    if not sides_are_fixed():
        return 1
    steps, elements = int(x.shape[0]), max(1, int(x.shape[1]) * A.numel())
    most = min(MOST_AT_ONCE, steps, max(1, MOST_ELEMENTS // elements))
    return max(n for n in range(1, most + 1) if steps % n == 0)


@operator("onnx_recurrence")
def onnx_recurrence_op(
    dt: Tensor, drive: Tensor, rate: Tensor, B: Tensor, C: Tensor, start: Tensor, whole: Tensor
) -> Tensor:
    """What the node gives, (L, Bt, K, 1, Dm): a tracer sees no steps, and has true values.

    `whole` is the state before the sequences, `start` as many zeros as there are chunks of them.
    """
    h, y = whole, []
    for dt_t, drive_t, B_t, C_t in zip(
        *(_joined(o, whole) for o in (dt, drive, B, C)), strict=True
    ):
        h = torch.exp(dt_t * rate) * h + drive_t * B_t
        y.append(C_t @ h)
    steps = torch.stack(y)
    return steps.view(-1, len(dt), *steps.shape[1:]).transpose(0, 1).flatten(1, 2)


def _joined(operand: Tensor, whole: Tensor) -> Tensor:
    """(T, S * Bt, ...) -> (S * T, Bt, ...): chunks one after another."""
    chunks = operand.reshape(len(operand), -1, len(whole), *operand.shape[2:])
    return chunks.transpose(0, 1).flatten(0, 1)


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        y: Tensor = onnx_recurrence_op(*inputs[:-3])
        return y

    @staticmethod
    def symbolic(g: Any, *inputs: Any) -> Any:
        *tensors, states, in_chunks, at_once = inputs
        node = g.op(
            f"{DOMAIN}::{NODE}",
            *tensors,
            states_i=states,
            in_chunks_i=int(in_chunks),
            at_once_i=at_once,
        )
        return node.setType(tensors[0].type())
