"""Which implementation of each state-space operator a model runs on a device."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from evnas.kernels import implementation_in_use
from evnas.kernels.dispatch import OPERATORS


def implementations(model: nn.Module, images: torch.Tensor) -> dict[str, str]:
    """Operator -> implementation, of those that one forward of `images` calls.

    Where dispatch chooses differently for maps of different size, both stand: `cpu+triton`.

    Args:
        model: takes `images`, in eager mode; run as for evaluation, and left in its mode.
        images: (B, 3, H, W); one of them is run, for its maps' sizes.
    """
    noting, training = _Noting(), model.training
    try:
        model.eval()  # one image is too few for batch norms that learn
        with torch.inference_mode(), noting:
            model(images[:1])
    finally:
        model.train(training)
    found: dict[str, set[str]] = {}
    for name, dtype, elements in noting.seen:
        ran = implementation_in_use(name, images.device, dtype, elements=elements * len(images))
        found.setdefault(name, set()).add(ran)
    return {name: "+".join(sorted(ran)) for name, ran in sorted(found.items())}


class _Noting(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch's own
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch's own
        self.seen: set[tuple[str, torch.dtype, int]] = set()

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func.namespace == "evnas" and func._opname in OPERATORS:
            self.seen.add((func._opname, args[0].dtype, args[0].numel()))
        return func(*args, **(kwargs or {}))
