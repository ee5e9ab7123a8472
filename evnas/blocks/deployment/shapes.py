"""What a rule may take for granted of a module: a user may have put another in its place.

A rule reads a few settings of the modules that it replaces. What it would not carry over is found
here, and the module then stays as it is.
"""

import sys

from torch import nn

from evnas.blocks.layers import PixelLinear
from evnas.blocks.norms import BatchNorm1d, BatchNorm2d

CONVOLUTIONS = (nn.Conv2d, PixelLinear)
BATCH_NORMS = (BatchNorm1d, BatchNorm2d, nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)
FROZEN = (("torchvision.ops.misc", "FrozenBatchNorm2d"),)


def is_convolution(module: nn.Module | None) -> bool:
    """A two-dimensional convolution without dilation, on zeros as padding, if any."""
    return (
        type(module) in CONVOLUTIONS
        and isinstance(module, nn.Conv2d)
        and module.padding_mode == "zeros"
        and module.dilation == (1, 1)
        and not isinstance(module.padding, str)
    )


def is_by_pixel(module: nn.Module | None) -> bool:
    """A linear map of each pixel."""
    return (
        is_convolution(module)
        and isinstance(module, nn.Conv2d)
        and module.kernel_size == module.stride == (1, 1)
        and module.padding == (0, 0)
        and module.groups == 1
    )


def takes_identity(module: nn.Module | None) -> bool:
    """A depthwise convolution to which its own input can be added as a weight."""
    return (
        is_convolution(module)
        and isinstance(module, nn.Conv2d)
        and module.groups == module.in_channels == module.out_channels
        and module.stride == (1, 1)
        and all(
            k % 2 and p == k // 2 for k, p in zip(module.kernel_size, module.padding, strict=True)
        )
    )


def is_batch_norm(module: nn.Module | None) -> bool:
    """In inference a scale and a shift a channel by running statistics: torch's, its synchronized
    one, ours, and torchvision's frozen one."""
    return type(module) in BATCH_NORMS or type(module) in frozen_norms()


def frozen_norms() -> tuple[type[nn.Module], ...]:
    """Those that can occur: nobody has made one of a module that is not imported."""
    found = (getattr(sys.modules.get(module), name, None) for module, name in FROZEN)
    return tuple(kind for kind in found if isinstance(kind, type))


def is_standard(module: nn.Module) -> bool:
    """No setting that the rules do not carry over; of types that have no settings, always."""
    if isinstance(module, nn.Conv2d):
        return is_convolution(module)
    return not isinstance(module, nn.GELU) or module.approximate == "none"
