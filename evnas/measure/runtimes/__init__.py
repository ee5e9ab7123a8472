"""Ways to run a model, one file each; `evnas.tables.RUNTIMES` has them by name."""

from collections.abc import Callable
from dataclasses import asdict, replace

import torch
from torch import nn

from evnas.errors import MeasurementError
from evnas.measure.runtimes.agreement import must_agree
from evnas.measure.runtimes.training_step import training_step
from evnas.measure.target import Target
from evnas.runtime import Pictures, Ready
from evnas.tables import RUNTIMES

DEFINITION = "torch"
"""The runtime whose outputs are what all others are held to."""


def ready_call(
    model: nn.Module,
    images: torch.Tensor,
    target: Target,
    pictures: Callable[[], Pictures] | None = None,
) -> Ready:
    """What a target times: a forward by its runtime, held to torch's, or a training step.

    Args:
        model: in the mode and form of the target, on the images' device.
        images: (B, 3, S, S).
        pictures: gives images of a data set, for a runtime that calibrates.

    Raises:
        MeasurementError: the runtime cannot run here, or not this model, or does not give what
            torch gives.
    """
    if target.mode == "training":
        return Ready(run=training_step(model, images, target))
    runtime = RUNTIMES.get(target.runtime)
    if runtime.why_not:
        raise MeasurementError(
            f"runtime {target.runtime} cannot run on this machine: {runtime.why_not}"
        )
    shown = pictures() if runtime.calibrates and pictures is not None else None
    call = runtime.call(model, images, target, shown)
    ready = call if isinstance(call, Ready) else Ready(run=call)
    facts = {"precision": target.precision, "threads": torch.get_num_threads(), **ready.facts}
    if target.runtime != DEFINITION and runtime.agreement == "logits":
        facts["difference_from_torch"] = asdict(must_agree(ready.run, model, images, target))
    return replace(ready, facts=facts)
