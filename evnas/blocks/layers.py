"""The small layers that every part is made of, on channels-first maps."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from evnas.blocks import init


class PixelLinear(nn.Conv2d):
    """A linear map at each pixel, (B, C, H, W) -> (B, C', H, W), initialized as a linear layer.

    A 1x1 convolution proper keeps a convolution's initialization: `nn.Conv2d`.
    """

    def __init__(self, dim: int, out_dim: int, *, bias: bool = True) -> None:
        super().__init__(dim, out_dim, 1, bias=bias)

    def reset_parameters(self) -> None:
        """Truncated normal of std 0.02, zero bias."""
        init.linear_(self.weight, self.bias)


class ConvNorm(nn.Module):
    """Convolution, normalization, activation; the padding keeps H x W at stride 1.

    Children are `conv`, `norm` and `act`; a norm or activation that is not there is an identity.
    """

    def __init__(
        self,
        dim: int,
        out_dim: int,
        kernel: int = 1,
        *,
        norm: Callable[[int], nn.Module] = nn.Identity,
        stride: int = 1,
        groups: int = 1,
        bias: bool = False,
        act: type[nn.Module] = nn.Identity,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            dim, out_dim, kernel, stride, (kernel - 1) // 2, groups=groups, bias=bias
        )
        self.norm = norm(out_dim)
        self.act = act()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', ceil(H / stride), ceil(W / stride))."""
        y: Tensor = self.act(self.norm(self.conv(x)))
        return y


class Mlp(nn.Module):
    """Two linear maps at each pixel around an exact GELU: the FFN of VMamba and VSSD."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = PixelLinear(dim, hidden)
        self.act = nn.GELU()
        self.fc2 = PixelLinear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        y: Tensor = self.fc2(self.act(self.fc1(x)))
        return y


class GlobalPool(nn.Module):
    """Mean over all pixels, (B, C, H, W) -> (B, C)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C)."""
        return x.mean((2, 3))


class StatePool(nn.Module):
    """Mean over hidden states, (B, C, N) -> (B, C)."""

    def forward(self, h: Tensor) -> Tensor:
        """(B, C, N) -> (B, C)."""
        return h.mean(2)


class DropPath(nn.Module):
    """Stochastic depth: a sample's branch is dropped with probability `rate`, in training only.

    Source: arXiv 1603.09382; what is kept is divided by its probability, as in the releases.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) -> the same shape."""
        if not self.training or self.rate == 0:
            return x
        shape = (x.shape[0], *([1] * (x.ndim - 1)))
        return x * torch.bernoulli(x.new_full(shape, 1 - self.rate)) / (1 - self.rate)


def mix(mixer: nn.Module, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """Run a mixer on (B, C, H, W): its map, and its hidden states or None."""
    out = mixer(x)
    return out if isinstance(out, tuple) else (out, None)
