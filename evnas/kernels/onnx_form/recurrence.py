"""The recurrence of a selective scan as one node of an ONNX graph, as torch sees it.

The node is of a domain of ours; `evnas.kernels.onnx_form.nodes` writes ONNX's own Scan in its
place. So the number of steps need not be known, and nothing but products of decays in [0, 1] is
formed: nothing overflows however strong a decay is.

A step of a runtime's loop costs some microseconds an operator, however little it does. So a step
of the loop is several of the sequence's, as far as a core's cache holds what they make. Of one
state the step sizes cost as much as all else, and are formed there too. Its sequences may be cut
in chunks instead, which are walked side by side, twice: first each from h = 0, which gives what it
adds to the state; then, the chunks' own recurrence having been walked, each from the state that it
begins with. That is sqrt(L) steps, three times, for few channels and images.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from evnas.kernels.onnx_form.exporting import sides_are_fixed
from evnas.kernels.onnx_form.step_size import softplus_form
from evnas.kernels.operator import operator

DOMAIN = "evnas"
NODE = "SelectiveRecurrence"
MOST_AT_ONCE = 16
"""Steps of a sequence in one of the loop: each is two nodes more of the graph."""
MOST_ELEMENTS = 2**17
"""Of channels, states, routes and images of such steps: a core's cache holds them with ease."""
FEW_ELEMENTS = 2**11
"""Of channels, routes and images of a step, below which chunks side by side are the faster."""


def recurrence(
    x: Tensor,
    low: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    *,
    dt_weight: Tensor | None,
    bias: Tensor | None,
    skip: Tensor | None,
    softplus: bool,
    chunks_of: int | None = None,
) -> Tensor:
    """y[t] = <C[t], h[t]> + skip x[t] with h[t] = exp(dt[t] A) h[t-1] + dt[t] x[t] B[t], from
    h = 0, where dt is the product of low and dt_weight, plus bias, through softplus if asked for.

    Args:
        x: input, (L, K, Bt, Dm).
        low: (L, K, Bt, R); (L, K, Bt, Dm) where it is the product already.
        A: continuous decay, (K, Dm, N), negative.
        B: input matrix, (L, K, Bt, N).
        C: output matrix, (L, K, Bt, N).
        dt_weight: (K, Dm, R), or None.
        bias, skip: (K, Dm); zero where they are None.
        chunks_of: of how many sequences the Bt are the chunks, the first of each sequence first;
            None where each is a sequence of its own. Only for N = 1.

    Returns:
        y: (L, K, Bt, Dm).
    """
    K, Dm, N = (int(size) for size in A.shape)  # a tracer's sizes are tensors
    rate = A.transpose(1, 2)  # (K, N, Dm): channels side by side, as in every other operand
    if bias is None:
        bias = torch.zeros_like(A[..., 0])
    attributes = {
        "states": N,
        "routes": K,
        "softplus": int(softplus),
        "in_chunks": int(chunks_of is not None),
        "at_once": 1 if chunks_of is not None else steps_at_once(x, A),
    }
    if N > 1:  # whose decays cost most, and the step sizes next to nothing
        dt = (low if dt_weight is None else low @ dt_weight.transpose(1, 2)) + bias.unsqueeze(1)
        dt = (softplus_form(dt) if softplus else dt).unsqueeze(3)
        start = x.new_zeros((K, x.shape[2], N, Dm))
        drive, B, C = dt * x.unsqueeze(3), B.unsqueeze(4), C.unsqueeze(3)
        y: Tensor = _Recurrence.apply(drive, dt, rate.unsqueeze(1), B, C, start, attributes)
        return y.squeeze(3) if skip is None else y.squeeze(3) + skip.unsqueeze(1) * x
    start = x.new_zeros((K, x.shape[2], Dm))
    whole = start if chunks_of is None else x.new_zeros((K, chunks_of, Dm))
    if skip is None:
        skip = torch.zeros_like(bias)
    product = () if dt_weight is None else (dt_weight.transpose(1, 2),)
    vectors = (bias.unsqueeze(1), skip.unsqueeze(1))
    y = _Recurrence.apply(x, low, rate, B, C, start, whole, *vectors, *product, attributes)
    return y


def wants_chunks(images: int, A: Tensor) -> bool:
    """Whether whole sequences of so many images are to be cut, where A is (K, Dm, N)."""
    return int(A.shape[2]) == 1 and not (
        sides_are_fixed() and int(images) * A.numel() >= FEW_ELEMENTS
    )


def steps_at_once(x: Tensor, A: Tensor) -> int:
    """How many steps of (L, K, Bt, Dm) may be one of the loop, where A is (K, Dm, N)."""
    if not sides_are_fixed():
        return 1
    steps, elements = int(x.shape[0]), max(1, int(x.shape[2]) * A.numel())
    most = min(MOST_AT_ONCE, steps, max(1, MOST_ELEMENTS // elements))
    return max(n for n in range(1, most + 1) if steps % n == 0)


@operator("onnx_recurrence")
def onnx_recurrence_op(
    dt: Tensor, drive: Tensor, rate: Tensor, B: Tensor, C: Tensor, whole: Tensor
) -> Tensor:
    """What is read of the states: a tracer sees no steps, and has true values.

    Args:
        dt, drive: (L, K, Bt, Dm), of several states (L, K, Bt, 1, Dm), as is the result.
        rate: (K, 1, Dm), of several states (K, 1, N, Dm).
        B, C: (L, K, Bt, 1), of several states (L, K, Bt, N, 1) and (L, K, Bt, 1, N).
        whole: the state before the sequences, which may be fewer than the Bt chunks of them.
    """
    h, y = whole, []
    joined = (_joined(operand, whole) for operand in (dt, drive, B, C))
    for dt_t, drive_t, B_t, C_t in zip(*joined, strict=True):
        h = torch.exp(dt_t * rate) * h + drive_t * B_t
        y.append(C_t @ h if h.ndim == 4 else C_t * h)
    steps = torch.stack(y)
    chunks = steps.view(-1, len(dt), *steps.shape[1:])  # (S, T, K, Bt, ...)
    return chunks.movedim(0, 2).flatten(2, 3)


def _joined(operand: Tensor, whole: Tensor) -> Tensor:
    """(T, K, S * Bt, ...) -> (S * T, K, Bt, ...): chunks one after another."""
    chunks = operand.reshape(*operand.shape[:2], -1, whole.shape[1], *operand.shape[3:])
    return chunks.movedim(2, 0).flatten(0, 1)


class _Recurrence(torch.autograd.Function):
    """Of several states takes drive, dt, rate, B, C and the state before; of one what forms them:
    x, low, rate, B, C, the states before the chunks and before the sequences, bias, skip, and
    dt_weight where there is one."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        x, low, rate, B, C, start, *more, attributes = inputs
        if attributes["states"] > 1:
            y: Tensor = onnx_recurrence_op(low, x, rate, B, C, start)
            return y
        whole, bias, skip, *product = more
        dt = (low @ product[0] if product else low) + bias
        dt = F.softplus(dt) if attributes["softplus"] else dt
        y = onnx_recurrence_op(dt, dt * x, rate, B, C, whole)
        skipped: Tensor = skip * x
        return y + skipped

    @staticmethod
    def symbolic(g: Any, *inputs: Any) -> Any:
        *tensors, attributes = inputs
        numbers = {f"{name}_i": value for name, value in attributes.items()}
        node = g.op(f"{DOMAIN}::{NODE}", *tensors, **numbers)
        return node.setType(tensors[0].type())
