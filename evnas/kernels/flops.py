"""What the operators cost: the one count of them, for every counter that sees each as a whole.

Multiply-adds (MACs) of contractions alone, as torch counts its own: a scan step is three a state
(the input dt B x into the state, the decayed state, the read-out C h) and one per channel for the
skip D. Norms, gates, activations, sums and exponentials count nothing. A backward is twice its
forward, two products for each one, and the states that a scan computes again. What papers printed
follows conventions of their own (`evnas.measure.counting.conventions`).

Importing this module registers the counts, times two, with torch's FlopCounterMode; and those of
torch's own operators that it leaves out, which deployed models call.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils.flop_counter import flop_registry, register_flop_formula

# they register the operators that are counted here
from . import (  # noqa: F401
    channel_layer_norm,
    dense_conv,
    depthwise_conv,
    hsm_ssd,
    nc_ssd,
    pixel_linear,
    selective_scan,
    ss2d_scan,
)
from .ss2d_scan import low_rank  # noqa: F401

Arguments = Mapping[str, Any]
"""By the names of the operator's schema; a tensor is its shape, a missing one None or left out."""
Formula = Callable[[Arguments], int]

SCAN_MACS_PER_STATE = 3
RECOMPUTED_MACS_PER_STATE = 2
"""In a scan's backward: input and decay, without the read-out."""


def _scan_steps(a: Arguments) -> int:
    """(image, channel, route, position) of a scan, each one step of a recurrence."""
    if "x" in a:
        return math.prod(a["x"])
    images, channels, height, width = a["u"]
    step = int(a.get("step", 1)) if a["scan"] == "atrous" else 1
    positions = math.ceil(height / step) * math.ceil(width / step)  # padded pixels are steps
    return int(images * channels * a["A"][0] * positions)


def _scan(a: Arguments) -> int:
    skip = a.get("D") is not None
    return _scan_steps(a) * (SCAN_MACS_PER_STATE * int(a["A"][-1]) + skip)


def _scan_backward(a: Arguments) -> int:
    return 2 * _scan(a) + _scan_steps(a) * RECOMPUTED_MACS_PER_STATE * int(a["A"][-1])


def _low_rank_steps(a: Arguments) -> int:
    """The product that makes the steps."""
    return int(math.prod(a["low"]) * a["dt_weight"][1])


def _low_rank_scan(a: Arguments) -> int:
    return _scan(a) + _low_rank_steps(a)


def _low_rank_scan_backward(a: Arguments) -> int:
    """The product's own two, and the steps again."""
    return _scan_backward(a) + 3 * _low_rank_steps(a)


def _hsm_ssd_compress(a: Arguments) -> int:
    """h0 = u K^T."""
    return int(math.prod(a["u"]) * a["B"][1])


def _hsm_ssd_expand(a: Arguments) -> int:
    """y = h C."""
    return int(math.prod(a["h"]) * a["C"][2])


def _hsm_ssd(a: Arguments) -> int:
    """Compress and expand, Q h0 and O h."""
    images, states = a["u"][0], a["B"][1]
    mixed = math.prod(a["Q"]) + math.prod(a["O"])
    return int(2 * math.prod(a["u"]) * states + images * states * mixed)


def _nc_ssd(a: Arguments) -> int:
    """The state of every head and its read-out."""
    return int(2 * math.prod(a["v"]) * a["B"][1])


def _dense_conv(a: Arguments) -> int:
    """The taps of a kernel at every pixel of the result."""
    width, *taps = a["weight"]
    sides = zip(a["x"][2:], taps[1:], a["stride"], a["padding"], strict=True)
    pixels = math.prod((side + 2 * edge - tap) // step + 1 for side, tap, step, edge in sides)
    return int(a["x"][0] * width * pixels * math.prod(taps))


def _depthwise_conv(a: Arguments) -> int:
    """Nine taps a pixel of the result."""
    images, channels, height, width = a["x"]
    stride = int(a["stride"])
    pixels = math.ceil(height / stride) * math.ceil(width / stride)
    return int(images * channels * pixels * 9)


def _pixel_linear(a: Arguments) -> int:
    """A product a pixel."""
    return int(math.prod(a["x"]) * a["weight"][0])


def _free(a: Arguments) -> int:
    return 0


def _twice(forward: Formula) -> Formula:
    return lambda a: 2 * forward(a)


MACS: Mapping[str, Formula] = {
    "selective_scan": _scan,
    "selective_scan_backward": _scan_backward,
    "ss2d_scan": _scan,
    "ss2d_scan_backward": _scan_backward,
    "ss2d_scan_low_rank": _low_rank_scan,
    "ss2d_scan_low_rank_backward": _low_rank_scan_backward,
    "hsm_ssd_compress": _hsm_ssd_compress,
    "hsm_ssd_compress_backward": _twice(_hsm_ssd_compress),
    "hsm_ssd_expand": _hsm_ssd_expand,
    "hsm_ssd_expand_backward": _twice(_hsm_ssd_expand),
    "hsm_ssd": _hsm_ssd,
    "hsm_ssd_added": _hsm_ssd,
    "hsm_ssd_backward": _twice(_hsm_ssd),
    "nc_ssd": _nc_ssd,
    "nc_ssd_backward": _twice(_nc_ssd),
    "channel_layer_norm": _free,
    "channel_layer_norm_backward": _free,
    "dense_conv": _dense_conv,
    "depthwise_conv": _depthwise_conv,
    "pixel_linear": _pixel_linear,
}
"""Operator of the namespace `evnas` -> its MACs."""


def _register(name: str, formula: Formula) -> None:
    packet = getattr(torch.ops.evnas, name)
    names = [argument.name for argument in packet.default._schema.arguments]

    def flops(*shapes: Any, out_shape: Any = None, **named: Any) -> int:
        return 2 * formula(dict(zip(names, shapes, strict=False)) | named)

    register_flop_formula(packet)(flops)


def _convolution(*shapes: Any, out_shape: Any = None, **named: Any) -> int:
    """Images and weight; a packed weight has the sizes of the plain one."""
    return int(2 * math.prod(out_shape) * math.prod(shapes[1][1:]))


def _linear(*shapes: Any, out_shape: Any = None, **named: Any) -> int:
    return int(2 * math.prod(out_shape) * shapes[0][-1])


def _batched_product(*shapes: Any, out_shape: Any = None, **named: Any) -> int:
    """total, then the two factors (Bt, M, K) and (Bt, K, N)."""
    return int(2 * math.prod(shapes[1]) * shapes[2][-1])


def _attention(*shapes: Any, out_shape: Any = None, **named: Any) -> int:
    """q k^T and its product with v: (B, heads, L, E) each."""
    query, key, value = shapes[:3]
    return int(2 * math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1]))


def _attention_backward(*shapes: Any, out_shape: Any = None, **named: Any) -> int:
    """Scores again, and two products for each of the forward's."""
    _, query, key, value = shapes[:4]
    return int(2 * math.prod(query[:-1]) * key[-2] * (3 * query[-1] + 2 * value[-1]))


OF_TORCH: Mapping[str, Callable[..., int]] = {
    "mkldnn._convolution_pointwise": _convolution,
    "mkldnn._linear_pointwise": _linear,
    "aten.baddbmm_": _batched_product,
    "aten._scaled_dot_product_flash_attention_for_cpu": _attention,
    "aten._scaled_dot_product_flash_attention_for_cpu_backward": _attention_backward,
}
"""Operator -> its FLOPs from the shapes of its arguments and of its result."""


def _register_torch(name: str, formula: Callable[..., int]) -> None:
    namespace, _, op = name.partition(".")
    packet = getattr(getattr(torch.ops, namespace), op, None)  # a build may lack oneDNN
    if packet is not None and packet not in flop_registry:
        register_flop_formula(packet)(formula)


for _name, _formula in MACS.items():
    _register(_name, _formula)
for _name, _flops in OF_TORCH.items():
    _register_torch(_name, _flops)
