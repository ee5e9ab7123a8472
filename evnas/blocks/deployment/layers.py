"""The layers that deployed models are made of, on maps in whichever layout they come."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evnas.blocks.deployment.fused import by_pixel, followed
from evnas.blocks.norms import EPS
from evnas.blocks.squeeze_excite import SqueezeExcite

SLICE_ELEMENTS = 2**20
"""4 MiB of float32: what stays in a core's cache, and below what malloc gives back each time."""
FEW_PLANES = 4  # of an image


class TokenNorm(nn.Module):
    """Layer norm over the channels of (B, C, ...), one native pass where they lie side by side."""

    def __init__(self, weight: Tensor | None, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = None if weight is None else nn.Parameter(weight.detach(), False)
        self.bias = None if bias is None else nn.Parameter(bias.detach(), False)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape, a position's channels side by side."""
        rows = x.permute(0, *range(2, x.ndim), 1)
        width = int(rows.shape[-1])  # ONNX wants a constant, which slices before it would hide
        weight, bias = (None if v is None else v.to(x.dtype) for v in (self.weight, self.bias))
        y = F.layer_norm(rows, (width,), weight, bias, EPS)
        return y.permute(0, x.ndim - 1, *range(1, x.ndim - 1))


class Blend(nn.Module):
    """(1 - share) * x + share * branch(x), in one pass over x and the branch's result."""

    def __init__(self, branch: nn.Module, share: Tensor) -> None:
        super().__init__()
        self.branch = branch
        self.share = nn.Parameter(share.detach()[:, None, None], requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return blend(x, self.branch(x), self.share)


class Plus(nn.Module):
    """x + branch(x)."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        y: Tensor = self.branch(x)
        return x + y


def blend(x: Tensor, y: Tensor, share: Tensor) -> Tensor:
    """(1 - share) * x + share * y in the dtype of x, which autocast may have lowered."""
    return torch.lerp(x, y.to(x.dtype), share.to(x.dtype))


class ChannelsLast(nn.Module):
    """Puts images in channels-last order.

    On a CPU plane by plane: torch's own copy, which follows the narrow rows that it writes, takes
    1.5 times as long for three channels.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same values."""
        if x.device.type != "cpu" or followed() or x.requires_grad or x.shape[1] > FEW_PLANES:
            return x.contiguous(memory_format=torch.channels_last)
        if x.is_contiguous(memory_format=torch.channels_last):
            return x
        y = torch.empty_like(x, memory_format=torch.channels_last)
        for plane in range(x.shape[1]):
            y[:, plane] = x[:, plane]
        return y


class Sliced(nn.Module):
    """Runs a module on a few images at a time, so that its widest map stays small.

    For eager CPU alone: there a map of many MiB is fresh memory from the system in every
    forward, and its page faults cost more than the convolution that fills it. Compilers and
    exporters see the module whole.

    Args:
        module: (B, C, H, W) -> a tensor with B in front, each image on its own.
        widest: elements of the module's widest map for each input pixel.
    """

    def __init__(self, module: nn.Module, widest: float) -> None:
        super().__init__()
        self.module = module
        self.widest = widest

    def forward(self, x: Tensor) -> Tensor:
        """What the module gives on the whole batch."""
        whole: Tensor
        if x.device.type != "cpu" or followed():
            whole = self.module(x)
            return whole
        images = max(1, int(SLICE_ELEMENTS / (self.widest * x.shape[2] * x.shape[3])))
        slices = -(-x.shape[0] // images)
        if slices <= 1:
            whole = self.module(x)
            return whole
        return torch.cat([self.module(part) for part in x.chunk(slices)])


class RowSqueezeExcite(nn.Module):
    """Squeeze-and-excitation whose two layers are linear maps of (B, C)."""

    def __init__(self, se: SqueezeExcite) -> None:
        super().__init__()
        self.fc1, self.fc2 = by_pixel(se.fc1, "relu"), by_pixel(se.fc2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        gate = self.fc2(self.fc1(x.mean((2, 3))))
        return x * torch.sigmoid(gate)[..., None, None]
