"""Whether a runtime gives what torch gives: asked before its speed counts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from evnas.errors import MeasurementError
from evnas.measure.runtimes.torch_eager import eager
from evnas.measure.target import Target

LARGEST_ERROR: Mapping[str, float] = {"float32": 1e-4, "bfloat16": 5e-2, "float16": 1e-2}
"""Of the logits' difference from torch's: its norm over the norm of torch's, by precision."""
LARGEST_SHARE = 1e-2
"""Of the same difference in float32: its norm over that of what other images change of torch's
logits. A fresh model's logits may be one large constant beside little that its images decide;
what is wrong in that little shows here alone."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How far logits are from torch's."""

    error: float
    """Norm of the difference over that of torch's logits."""
    share: float
    """Norm of the difference over that of what other images change."""

    def fits(self, precision: str) -> bool:
        """Whether it is within what rounding explains; not where it is no number."""
        alike = self.error <= LARGEST_ERROR[precision]
        return alike and (precision != "float32" or self.share <= LARGEST_SHARE)

    def __str__(self) -> str:
        return (
            f"{self.error:.1e} of their norm and {self.share:.1e} of what other images change "
            "of them"
        )


def difference(logits: Tensor, want: Tensor, elsewhere: Tensor) -> Difference:
    """How far logits are from those that are wanted.

    Args:
        logits: (B, classes), of the runtime.
        want: (B, classes), torch's for the same images.
        elsewhere: (B, classes), torch's for others.
    """
    logits, want, elsewhere = (x.detach().cpu().double() for x in (logits, want, elsewhere))
    off = float((logits - want).norm())
    least = float(torch.finfo(torch.float64).tiny)
    return Difference(
        off / max(least, float(want.norm())), off / max(least, float((want - elsewhere).norm()))
    )


def must_agree(
    call: Callable[[], object], model: nn.Module, images: Tensor, target: Target
) -> Difference:
    """The logits of a call are those of torch.

    Args:
        call: the runtime's, for `images`.
        model: what it runs, on the images' device.
        images: (B, 3, S, S).

    Raises:
        MeasurementError: they are not; with the figures.
    """
    logits = as_tensor(call())
    generator = torch.Generator().manual_seed(1)
    others = torch.randn(images.shape, generator=generator).to(images.device)
    defined = _definition(model, target)
    want, elsewhere = (as_tensor(eager(model, x, defined)()) for x in (images, others))
    if logits.shape != want.shape:
        raise MeasurementError(
            f"runtime {target.runtime!r} must give logits of torch's shape {tuple(want.shape)}, "
            f"got {tuple(logits.shape)}; its speed does not count"
        )
    found = difference(logits, want, elsewhere)
    if not found.fits(target.precision):
        most = f"{LARGEST_ERROR[target.precision]:g}"
        most += f" and {LARGEST_SHARE:g}" if target.precision == "float32" else ""
        raise MeasurementError(
            f"runtime {target.runtime!r} must give torch's logits in {target.precision} within "
            f"{most}, and they differ by {found}; its speed does not count"
        )
    return found


def _definition(model: nn.Module, target: Target) -> Target:
    """What torch computes of a model that a runtime was given. What is exported keeps its float32
    weights whatever the runtime computes in; such a deployed form is run just so."""
    weights = next((p.dtype for p in model.parameters() if p.ndim > 1), None)
    if target.form == "plain" or weights is not torch.float32:
        return target
    return replace(target, precision="float32")


@dataclass(frozen=True, slots=True)
class Top1Agreement:
    """How often two models find the same class the likeliest."""

    percent: float
    images: int
    classes: int
    """That torch finds among these images: with one, agreement says nothing."""


def top1_agreement(logits: Tensor, want: Tensor) -> Top1Agreement:
    """Of logits (N, classes) with torch's for the same images."""
    mine, theirs = logits.cpu().argmax(1), want.cpu().argmax(1)
    same = 100.0 * float((mine == theirs).double().mean())
    return Top1Agreement(round(same, 2), len(theirs), len(set(theirs.tolist())))


def as_tensor(result: Any) -> Tensor:
    """What a call gives as a tensor of its own: of torch, NumPy or ONNX Runtime, or the first of a
    list of them."""
    if isinstance(result, list | tuple) and result:
        result = result[0]
    if not isinstance(result, Tensor) and hasattr(result, "numpy"):
        result = result.numpy()
    if isinstance(result, np.ndarray):
        return torch.from_numpy(np.array(result))
    if not isinstance(result, Tensor):
        raise MeasurementError(
            f"a runtime's call must give the logits, a tensor (B, classes), got {result!r:.60}"
        )
    return result.detach().clone()
