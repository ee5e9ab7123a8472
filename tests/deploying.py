"""What the tests of deployment share: models and parts away from their start, and distances."""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from evnas.blocks.deployment.rules import converter_for
from evnas.runtime import Layout

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}
LAYOUTS: tuple[Layout, ...] = ("channels_last", "contiguous")
FAMILIES = [
    "efficientvim_m1_dist",
    "efficientvim_m2",
    "vssd_micro",
    "vssd_tiny_appendix",
    "vanilla_vmamba_tiny",
    "vmamba_tiny_s1l8",
    "efficient_vmamba_tiny",
]


def settled(model: nn.Module) -> nn.Module:
    """Vectors, gates and running statistics moved off their initial values, in eval mode."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            if name.endswith("running_var"):
                value.uniform_(0.5, 2.0, generator=generator)
            elif value.is_floating_point() and (value.ndim == 1 or name.endswith("alpha")):
                value.add_(torch.randn(value.shape, generator=generator, dtype=value.dtype) / 5)
    return model.eval()


def difference(got: Tensor, want: Tensor) -> float:
    """Relative, in the L2 norm."""
    return float((got - want).norm() / want.norm().clamp(min=1e-12))


M = TypeVar("M", bound=nn.Module)


def settle(module: M) -> M:
    """Float64, eval mode, every value moved off its start."""
    module = module.double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in [*module.named_parameters(), *module.named_buffers()]:
            if name.endswith("running_var"):
                value.uniform_(0.5, 2.0, generator=generator)
            elif value.is_floating_point():
                value.add_(torch.randn(value.shape, generator=generator, dtype=value.dtype) / 3)
    return module


def inference_form(module: nn.Module, *, channels_last: bool) -> nn.Module:
    """Of a copy: a rule uses its module up."""
    return converter_for(module, channels_last=channels_last)(copy.deepcopy(module))


def image(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
