"""What a forward asks of a device: bytes, counted operator by operator.

    python benchmarks/traffic.py [--batch 128]

prints those of deployed VMamba-T in half precision on a GPU that is not there, as it runs today
and with the kernels that only a measurement turns on. What cuDNN does beside a convolution, a pass
over its result for a bias, is not among them, nor are copies by `to` and `contiguous` there.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from evnas.kernels import Impl
from evnas.measure.anatomy.torch_operators import is_shared

WAYS: tuple[tuple[Impl, Impl], ...] = (
    ("auto", "auto"),
    ("triton_fused", "auto"),
    ("auto", "triton"),
    ("triton_fused", "triton"),
)
"""Implementations of the scan, and of the linear maps around it."""


def traffic_bytes(call: Callable[[], object]) -> int:
    """Bytes that the operators of a call read and write, each tensor counted at each use.

    Views cost nothing. Within an operator nothing is counted, so what a fused one keeps to itself
    does not show, and caches may serve a part of the rest.
    """
    return sum(traffic_by_operator(call).values())


def traffic_by_operator(call: Callable[[], object]) -> Counter[str]:
    """The same, by the operators' names."""
    with torch.inference_mode(), _Traffic() as traffic:
        call()
        found: Counter[str] = traffic.bytes
    return found


class _Traffic(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.bytes: Counter[str] = Counter()

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.namespace == "prim":  # asks a tensor without data for its device
            return result
        # in inference mode `contiguous` or `to` come whole, as views that may have copied
        if not (func.is_view and is_shared(result, args)) and "empty" not in func._opname:
            moved = sum(map(_bytes, (*args, *(kwargs or {}).values(), result)))
            self.bytes[str(func)] += int(moved)
        return result


def _bytes(value: Any) -> int:
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    return sum(map(_bytes, value)) if isinstance(value, (tuple, list)) else 0


def _deployed(batch: int, scan: Impl, joined: Impl) -> Counter[str]:
    """Of VMamba-T with implementations by name."""
    from model_launches import HALF, as_on_a_gpu

    from evnas.arch.catalog import entry
    from evnas.blocks.backbone import build
    from evnas.blocks.deploy import deploy
    from evnas.blocks.deployment.joined import JoinedLinear
    from evnas.mixers.ss2d.module import Ss2d

    plain = build(entry("vmamba_tiny_s1l8").arch, seed=0)
    model: nn.Module = deploy(plain, dtype=HALF, layout="contiguous")
    for module in model.modules():
        if isinstance(module, Ss2d):
            module.impl = scan
        if isinstance(module, JoinedLinear):
            module.impl = joined
    with as_on_a_gpu(model, launching=False):
        images = torch.empty(batch, 3, 224, 224, dtype=HALF, device="cuda")
        return traffic_by_operator(lambda: model(images))


def main() -> int:
    """Count, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=128)
    args = parser.parse_args()
    for scan, joined in WAYS:
        found = _deployed(args.batch, scan, joined)
        print(f"scan {scan}, linear maps {joined}: {sum(found.values()) / 1e9:.2f} GB")
        for name, moved in found.most_common(10):
            print(f"  {name:40} {moved / 1e9:6.2f} GB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
