"""How each paper counted: pure functions from a tape to a count, one convention a paper.

All four printed what fvcore counts, in multiply-adds, on their own code at batch 1: contractions
as they are, batch norms 2 and layer norms 5 an element, average pools 1 an element, the selective
scan by the hardware-aware formula. They differ where their code hides an operator from fvcore.
`exact` counts contractions alone, and all of them.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from evnas.measure.operators import macs
from evnas.measure.tape import Operation

Rule = Callable[[Operation], int | None]
"""The price of an operation, or None where the rule does not speak of it."""

LAYER_NORMS = ("evnas.channel_layer_norm", "aten.layer_norm", "aten.group_norm")
POOLS = ("aten.mean", "aten.adaptive_avg_pool2d", "aten.adaptive_avg_pool1d")
PROJECTIONS = ("aten.conv1d", "aten.conv2d")


@dataclass(frozen=True, slots=True)
class Convention:
    """Rules in order; the first that speaks of an operation prices it, else it costs its MACs."""

    name: str
    source: str
    rules: tuple[Rule, ...] = ()

    def price(self, operation: Operation) -> int:
        """What one operation counts."""
        for rule in self.rules:
            price = rule(operation)
            if price is not None:
                return price
        return macs(operation.op, operation.arguments, operation.outputs)

    def by_operator(self, tape: Iterable[Operation]) -> dict[str, int]:
        """Operator -> what its calls count together; operators that count nothing left out."""
        found: dict[str, int] = {}
        for operation in tape:
            price = self.price(operation)
            if price:
                found[operation.op] = found.get(operation.op, 0) + price
        return found


def _free(*ops: str) -> Rule:
    return lambda operation: 0 if operation.op in ops else None


def _per_element(price: int, *ops: str) -> Rule:
    """`price` for every element of the input."""
    return lambda o: price * _elements(o) if o.op in ops else None


def _inside(owner: str, rule: Rule) -> Rule:
    """The rule, for calls from within modules of class `owner`."""
    return lambda o: rule(o) if o.within(owner) else None


def _by(owner: str, rule: Rule) -> Rule:
    """The rule, for calls that the innermost module of class `owner` makes itself."""
    return lambda o: rule(o) if o.owners[-1:] == (owner,) else None


def _layer_norm(o: Operation) -> int | None:
    """5 an element, 4 where it has no weight."""
    if o.op not in LAYER_NORMS:
        return None
    return _elements(o) * (5 if o.arguments.get("weight") is not None else 4)


def _batch_norm(o: Operation) -> int | None:
    """2 an element in evaluation, 1 where it has no weight."""
    if o.op != "aten.batch_norm":
        return None
    return _elements(o) * (2 if o.arguments.get("weight") is not None else 1)


def _hardware_aware_scan(o: Operation) -> int | None:
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


def _scan_flops(steps: int, o: Operation) -> int:
    skip = o.arguments.get("D") is not None
    return steps * (9 * int(o.arguments["A"][-1]) + int(skip))


def _one_head(o: Operation) -> int | None:
    """NC-SSD's two products as fvcore sees them: B and C broadcast over heads, one counted."""
    if o.op != "evnas.nc_ssd":
        return None
    return macs(o.op, o.arguments, o.outputs) // int(o.arguments["delta"][1])


def _einsum_attention(o: Operation) -> int | None:
    """Attention written as two einsums."""
    if o.op != "aten.scaled_dot_product_attention":
        return None
    query, key, value = (o.arguments[name] for name in ("query", "key", "value"))
    pairs = math.prod(query[:-1]) * key[-2]
    return _as_einsum(pairs * query[-1]) + _as_einsum(pairs * value[-1])


def _einsum_projection(o: Operation) -> int | None:
    """A scan's own projections written as einsums."""
    if o.op not in PROJECTIONS:
        return None
    return _as_einsum(macs(o.op, o.arguments, o.outputs))


def _as_einsum(exact: int) -> int:
    """What fvcore reads of an einsum: half of numpy's count, printed with four digits."""
    return int(float(f"{2 * exact:.3e}") // 2)


def _elements(o: Operation) -> int:
    shape: Any = o.arguments.get("x") or o.arguments.get("input") or o.arguments.get("self")
    return math.prod(shape)


_HEAD_POOL = _inside("GlobalPool", _per_element(1, *POOLS))
_FVCORE: tuple[Rule, ...] = (
    _batch_norm,
    # timm's stand-in for the channel norms that ConvNeXt writes out, and fvcore does not see
    _inside("LayerNorm2d", _free(*LAYER_NORMS)),
    _layer_norm,
    _hardware_aware_scan,
    _one_head,
    _per_element(1, "aten.adaptive_avg_pool2d"),
)

EXACT = Convention("exact", "every contraction, all heads; see evnas/measure/operators.py")
EFFICIENTVIM = Convention(
    "efficientvim",
    "EfficientViM, arXiv 2411.15241, supplement, Tables B, C: its layer norms are written out, so "
    "free; of the pools only the head's is seen. A mixer of VSSD counts as in its own code.",
    (
        _inside("NcSsd", _layer_norm),
        _free(*LAYER_NORMS),
        _HEAD_POOL,
        *_FVCORE,
    ),
)
VSSD = Convention(
    "vssd",
    "VSSD, arXiv 2407.18559: no pool is seen, attention is einsums, and of NC-SSD's state "
    "products one head is counted",
    (_free(*POOLS), _einsum_attention, *_FVCORE),
)
VMAMBA = Convention(
    "vmamba",
    "VMamba, arXiv 2401.10166: the code of its tables, with projections as convolutions",
    (_HEAD_POOL, *_FVCORE),
)
VMAMBA_V0 = Convention(
    "vmamba_v0",
    "Vanilla-VMamba, arXiv 2401.10166: its first code, with projections as einsums",
    (_HEAD_POOL, _by("Ss2d", _einsum_projection), *_FVCORE),
)
EFFICIENTVMAMBA = Convention(
    "efficientvmamba",
    "EfficientVMamba, arXiv 2403.09977: projections as einsums, the pool of InRes' SE seen, the "
    "mean of EVSS' SE not",
    (
        _HEAD_POOL,
        _inside("InResBlock", _per_element(1, *POOLS)),
        _by("Es2d", _einsum_projection),
        _by("Ss2d", _einsum_projection),
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
