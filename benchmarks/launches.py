"""How many kernels a forward of the targets' models launches on a GPU, and what they read and
write, counted on a machine without one.

    python benchmarks/launches.py [--only vmamba]

Models run on tensors that only say that they lie on a GPU. A view is no launch. A convolution's
bias and the sum in a product that is not done in place are passes of their own, as torch runs
them there; a linear map's bias is not. Each operand counts once in each launch, whatever the
caches serve. Nothing is compiled or timed.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest import mock

import torch
from model_launches import BATCHES, HALF, as_on_a_gpu, by_kernels, images
from torch.utils._python_dispatch import TorchDispatchMode
from triton.runtime.jit import JITFunction

from evnas.arch.catalog import entry
from evnas.blocks.backbone import build
from evnas.blocks.deploy import deploy
from evnas.kernels.operator import BODIES, NAMESPACE

SUMS_APART = ("baddbmm", "addmm")
"""Products whose two-dimensional sum torch first copies to the result."""

IN_PLACE = ("_bias_and_activation",)
"""Kernels of ours that write what they read first."""


@dataclass
class Launches:
    """Of one forward."""

    by_kernel: Counter[str] = field(default_factory=Counter)
    bytes_by_kernel: Counter[str] = field(default_factory=Counter)

    def note(self, kernel: str, *operands: Any) -> None:
        """One launch and its operands."""
        self.by_kernel[kernel] += 1
        self.bytes_by_kernel[kernel] += sum(map(_bytes, operands))

    def __str__(self) -> str:
        total = sum(self.bytes_by_kernel.values()) / 1e9
        rows = [f"{sum(self.by_kernel.values())} launches, {total:.2f} GB"]
        for kernel, size in self.bytes_by_kernel.most_common():
            rows.append(f"  {self.by_kernel[kernel]:4} {size / 1e9:6.3f} GB  {kernel}")
        return "\n".join(rows)


class _Watch(TorchDispatchMode):
    def __init__(self, found: Launches) -> None:
        super().__init__()
        self._found = found

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func.namespace == NAMESPACE:
            with self:
                return BODIES[func._opname](*args, **(kwargs or {}))
        result = func(*args, **(kwargs or {}))
        if func.namespace == "prim" or "empty" in func._opname or _is_a_view(func, args, result):
            return result
        name, given = f"{func.namespace}.{func._opname}", list(args)
        if func._opname == "convolution" and given[2] is not None:
            given[2], bias = None, given[2]
            self._found.note("bias of a convolution", result, bias, result)
        if func._opname in SUMS_APART and given[0].ndim > 1:
            self._found.note("sum of a product", given[0], result)
            given[0] = result
        self._found.note(name, *given, *(kwargs or {}).values(), result)
        return result


@contextmanager
def _kernels_noted(found: Launches) -> Iterator[None]:
    """Within, Triton's kernels are noted in place of being compiled and run."""

    def note(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> None:
        tensors = {id(a): a for a in args if isinstance(a, torch.Tensor)}  # some stand for none
        name = self.fn.__name__
        found.note(name, *tensors.values(), *(args[:1] if name in IN_PLACE else ()))

    with mock.patch.object(JITFunction, "run", note):
        yield


def counted(model: torch.nn.Module, batch: int) -> Launches:
    """The launches of one forward in half precision."""
    found = Launches()
    with as_on_a_gpu(model), torch.no_grad():
        pictures = images(batch, HALF)
        with _kernels_noted(found), _Watch(found):
            model(pictures)
    return found


def _is_a_view(func: torch._ops.OpOverload, args: tuple[Any, ...], result: Any) -> bool:
    """Whether an operator gave its input's own memory: `contiguous`, `to` and `reshape` may."""
    made = result[0] if isinstance(result, (tuple, list)) else result
    if func._schema.is_mutable or not isinstance(made, torch.Tensor):
        return False
    given = args[0]
    if not isinstance(given, torch.Tensor):
        return False
    same: bool = made.untyped_storage()._cdata == given.untyped_storage()._cdata
    return same


def _bytes(value: Any) -> int:
    """Of the elements of its own, not of those that a broadcast repeats."""
    if isinstance(value, (tuple, list)):
        return sum(map(_bytes, value))
    if not isinstance(value, torch.Tensor):
        return 0
    sides = [side for side, stride in zip(value.shape, value.stride(), strict=True) if stride]
    return torch.Size(sides).numel() * value.element_size()


def main() -> int:
    """Count, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--only", default="", help="forms whose name contains this")
    args = parser.parse_args()
    for name, batch in BATCHES.items():
        plain = partial(build, entry(name).arch, seed=0)
        for layout in ("contiguous", "channels_last"):
            for kernels in ("", " by kernels"):
                form = f"{name} batch {batch} {layout}{kernels}"
                if args.only not in form:
                    continue
                model: torch.nn.Module = deploy(plain(), dtype=HALF, layout=layout)
                print(form, counted(by_kernels(model) if kernels else model, batch), flush=True)
    return 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
