"""How each paper counted: pure functions from a trace to a count, one convention a paper.

All four printed what fvcore counts, in multiply-adds, on their own code at batch 1: contractions
as they are, batch norms 2 and layer norms 5 an element, average pools 1 an element, the selective
scan by the hardware-aware formula. They differ where their code hides an operator from fvcore.
`exact` counts contractions alone, and all of them.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evnas.measure.counting.op_trace import TracedOp
from evnas.measure.counting.operators import macs
from evnas.measure.counting.pricing import (
    LAYER_NORMS,
    Rule,
    as_einsum,
    elements,
    free,
    inside,
    layer_norm,
    per_element,
)
from evnas.mixers import MIXERS
from evnas.registry import place_of

POOLS = ("aten.mean", "aten.adaptive_avg_pool2d", "aten.adaptive_avg_pool1d")


@dataclass(frozen=True, slots=True)
class Convention:
    """Rules in order; the first that speaks of an operation prices it, else it costs its MACs.

    Of an operation within a mixer, the mixer's own rules for this convention come first.
    """

    name: str
    source: str
    rules: tuple[Rule, ...] = ()

    def price(self, operation: TracedOp) -> int:
        """What one operation counts."""
        for rule in (*_of_mixer(operation.mixer, self.name), *self.rules):
            price = rule(operation)
            if price is not None:
                return price
        return macs(operation.op, operation.arguments, operation.outputs)

    def by_operator(self, trace: Iterable[TracedOp]) -> dict[str, int]:
        """Operator -> what its calls count together; operators that count nothing left out."""
        found: dict[str, int] = {}
        for operation in trace:
            price = self.price(operation)
            if price:
                found[operation.op] = found.get(operation.op, 0) + price
        return found


def _of_mixer(kind: str, convention: str) -> Sequence[Rule]:
    prices = MIXERS.get(kind).prices if kind else None
    return () if prices is None else place_of(prices).get(convention, ())


def _batch_norm(o: TracedOp) -> int | None:
    """2 an element in evaluation, 1 where it has no weight."""
    if o.op != "aten.batch_norm":
        return None
    return elements(o) * (2 if o.arguments.get("weight") is not None else 1)


def _hardware_aware_scan(o: TracedOp) -> int | None:
    """9 L D N, and L D for the skip, over all routes (VMamba's own handler)."""
    if o.op == "evnas.selective_scan":
        batch, width, length = o.arguments["x"]
        return _scan_flops(batch * length * width, o)
    if o.op == "evnas.ss2d_scan":
        batch, width, height, breadth = o.arguments["u"]
        routes, step = o.arguments["A"][0], int(o.arguments.get("step", 1))
        pixels = math.ceil(height / step) * math.ceil(breadth / step)
        return _scan_flops(batch * routes * pixels * width, o)
    return None


def _scan_flops(steps: int, o: TracedOp) -> int:
    skip = o.arguments.get("D") is not None
    return steps * (9 * int(o.arguments["A"][-1]) + int(skip))


def _one_head(o: TracedOp) -> int | None:
    """NC-SSD's two products as fvcore sees them: B and C broadcast over heads, one counted."""
    if o.op != "evnas.nc_ssd":
        return None
    return macs(o.op, o.arguments, o.outputs) // int(o.arguments["delta"][1])


def _einsum_attention(o: TracedOp) -> int | None:
    """Attention written as two einsums."""
    if o.op != "aten.scaled_dot_product_attention":
        return None
    query, key, value = (o.arguments[name] for name in ("query", "key", "value"))
    pairs = math.prod(query[:-1]) * key[-2]
    return as_einsum(pairs * query[-1]) + as_einsum(pairs * value[-1])


_HEAD_POOL = inside("GlobalPool", per_element(1, *POOLS))
_FVCORE: tuple[Rule, ...] = (
    _batch_norm,
    # timm's stand-in for the channel norms that ConvNeXt writes out, and fvcore does not see
    inside("LayerNorm2d", free(*LAYER_NORMS)),
    layer_norm,
    _hardware_aware_scan,
    _one_head,
    per_element(1, "aten.adaptive_avg_pool2d"),
)

EXACT = Convention(
    "exact", "every contraction, all heads; see evnas/measure/counting/operators.py"
)
EFFICIENTVIM = Convention(
    "efficientvim",
    "EfficientViM, arXiv 2411.15241, supplement, Tables B, C: its layer norms are written out, so "
    "free; of the pools only the head's is seen. A mixer of VSSD counts as in its own code.",
    (
        free(*LAYER_NORMS),
        _HEAD_POOL,
        *_FVCORE,
    ),
)
VSSD = Convention(
    "vssd",
    "VSSD, arXiv 2407.18559: no pool is seen, attention is einsums, and of NC-SSD's state "
    "products one head is counted",
    (free(*POOLS), _einsum_attention, *_FVCORE),
)
VMAMBA = Convention(
    "vmamba",
    "VMamba, arXiv 2401.10166: the code of its tables, with projections as convolutions",
    (_HEAD_POOL, *_FVCORE),
)
VMAMBA_V0 = Convention(
    "vmamba_v0",
    "Vanilla-VMamba, arXiv 2401.10166: its first code, with projections as einsums",
    (_HEAD_POOL, *_FVCORE),
)
EFFICIENTVMAMBA = Convention(
    "efficientvmamba",
    "EfficientVMamba, arXiv 2403.09977: projections as einsums, the pool of InRes' SE seen, the "
    "mean of EVSS' SE not",
    (
        _HEAD_POOL,
        inside("InResBlock", per_element(1, *POOLS)),
        *_FVCORE,
    ),
)

CONVENTIONS: Mapping[str, Convention] = {
    convention.name: convention
    for convention in (EXACT, EFFICIENTVIM, VSSD, VMAMBA, VMAMBA_V0, EFFICIENTVMAMBA)
}
PAPER_CONVENTIONS: Mapping[str, str] = {
    "EfficientViM": "efficientvim",
    "VSSD": "vssd",
    "VMamba": "vmamba",
    "EfficientVMamba": "efficientvmamba",
}
"""Paper, as in the published tables -> the convention that its figures follow."""
