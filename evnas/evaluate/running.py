"""A model in a runtime that is handed one batch of images after another."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from evnas.errors import MeasurementError
from evnas.measure.runtimes import DEFINITION, ready_call
from evnas.measure.runtimes.agreement import as_tensor, difference
from evnas.measure.runtimes.torch_eager import eager
from evnas.measure.target import Target
from evnas.runtime import Pictures, Ready
from evnas.tables import RUNTIMES


class Running:
    """A model that is ready for batches of one shape.

    Args:
        model: in evaluation mode and in the target's form, on its device.
        target: resolved, with a batch size of its own; its runtime runs it, held to torch's
            logits first.
        pictures: for a runtime that calibrates.

    Raises:
        MeasurementError: the runtime cannot run it, does not give what torch gives, or keeps the
            images that it was made with.
    """

    def __init__(
        self, model: nn.Module, target: Target, pictures: Callable[[], Pictures] | None = None
    ) -> None:
        assert isinstance(target.batch_size, int)
        self.target = target
        shape = (target.batch_size, 3, target.resolution, target.resolution)
        generator = torch.Generator().manual_seed(0)
        self._images = torch.randn(shape, generator=generator).to(target.device)
        self._ready: Ready = ready_call(model, self._images, target, pictures)
        self.facts: Mapping[str, Any] = self._ready.facts
        if target.runtime != DEFINITION:
            _must_follow(self, model, torch.randn(shape, generator=generator))

    def __call__(self, images: Tensor) -> tuple[Tensor, float]:
        """Images (B', 3, H, W), B' at most the batch -> logits (B', classes) float32 on the CPU,
        and seconds of the forward, of a whole batch whatever B' is."""
        missing = len(self._images) - len(images)
        padding = images[:1].expand(missing, -1, -1, -1)
        whole = torch.cat([images, padding]) if missing else images
        placed = whole.to(self._images.device)
        if self._ready.load is not None:
            self._ready.load(placed)
        else:
            self._images.copy_(placed)
        self._wait()
        start = time.perf_counter()
        result = self._ready()
        self._wait()
        seconds = time.perf_counter() - start
        return as_tensor(result).float().cpu()[: len(images)], seconds

    def _wait(self) -> None:
        if self._images.device.type == "cuda":
            torch.cuda.synchronize(self._images.device)


def _must_follow(running: Running, model: nn.Module, others: Tensor) -> None:
    """Other images change the answer as they change torch's."""
    target = running.target
    first, others = running._images.clone(), others.to(running._images.device)
    logits, _ = running(others)
    want, before = (as_tensor(eager(model, x, target)()) for x in (others, first))
    off = difference(logits, want, before)
    exact = RUNTIMES.get(target.runtime).agreement == "logits"
    # in int8 logits are only nearer to those of these images than those of the others are
    if not (off.fits(target.precision) if exact else off.share < 1.0):
        raise MeasurementError(
            f"runtime {target.runtime!r} must follow the images that it is handed, and its logits "
            f"differ from torch's for them by {off}; evaluate with runtime torch"
        )
