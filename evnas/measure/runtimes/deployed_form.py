"""The deployed form that a target runs."""

import torch
from torch import nn

from evnas.blocks.deploy import Deployed, deploy
from evnas.measure.target import Target
from evnas.tables import RUNTIMES


def deployed_form(model: nn.Module, target: Target) -> Deployed:
    """A model as a target deploys it: for runtimes that export it in float32 on the CPU; else in
    the target's precision, where the target's weights lie, since that decides which form a device
    runs.

    Args:
        model: a `Backbone` or a part of one, anywhere; it may be moved.
        target: resolved, of form `deployed`.
    """
    if is_exported(target):
        return deploy(model)
    precision = None if target.precision == "float32" else getattr(torch, target.precision)
    return deploy(model.to(target.host_device), dtype=precision)


def is_exported(target: Target) -> bool:
    """Whether a target runs a file that is made from the model, in float32 on the CPU."""
    if target.by_command:
        return True
    runtime = RUNTIMES.get(target.runtime)
    return runtime.plain_operators or runtime.onnx_form
