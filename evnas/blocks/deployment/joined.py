"""Linear maps of pixels with the norm before and the sum after them, one kernel each on a GPU.

Where the kernel does not run, which is everywhere until a measurement says otherwise, each is
what it is made of, operator by operator.
"""

from torch import Tensor, nn

from evnas.blocks.deployment.fused import FusedConv, followed
from evnas.blocks.deployment.layers import TokenNorm
from evnas.blocks.norms import ChannelNorm
from evnas.kernels import Impl, pixel_linear
from evnas.kernels.pixel_linear import kernel_is_fastest


class JoinedLinear(nn.Module):
    """total + conv(norm(x)), conv a linear map of pixels with its activation.

    Args:
        norm: a layer norm whose weights are in the convolution, or an identity.
        conv: 1x1.
    """

    impl: Impl = "auto"
    """"triton" takes the kernel wherever it can run."""

    def __init__(self, norm: nn.Module, conv: FusedConv) -> None:
        super().__init__()
        self.norm, self.conv = norm, conv

    def forward(self, x: Tensor, total: Tensor | None = None) -> Tensor:
        """(B, C, H, W), and (B, C', H, W) or None -> (B, C', H, W)."""
        if not followed() and self._takes_kernel(x, total):
            weight, bias, act = self.conv.weight.flatten(1), self.conv.bias, self.conv.act
            norm = type(self.norm) is not nn.Identity
            return pixel_linear(x, weight, bias, total, norm=norm, act=act, impl="triton")
        x = self.norm(x)
        if x.dtype.itemsize > self.conv.weight.dtype.itemsize:  # a scan's sums, in half precision
            x = x.to(self.conv.weight.dtype)
        y: Tensor = self.conv(x)
        return y if total is None else total + y

    def _takes_kernel(self, x: Tensor, total: Tensor | None) -> bool:
        weight = self.conv.weight
        if self.impl != "triton" and not kernel_is_fastest(x, weight, self.conv.bias, total):
            return False
        fits = total is None or total.dtype == weight.dtype
        return fits and (x.dtype == weight.dtype or type(self.norm) is not nn.Identity)


class JoinedMixer(nn.Module):
    """A mixer between two linear maps of pixels.

    Args:
        enter: what it begins with; may take in the norm before the mixer.
        core: (B, D, H, W) -> what `leave` takes.
        leave: what it ends with.
    """

    def __init__(self, enter: JoinedLinear, core: nn.Module, leave: JoinedLinear) -> None:
        super().__init__()
        self.enter, self.core, self.leave = enter, core, leave

    def forward(self, x: Tensor, total: Tensor | None = None) -> Tensor:
        """(B, C, H, W) -> the same shape, added to `total`."""
        y: Tensor = self.leave(self.core(self.enter(x)), total)
        return y


class JoinedMlp(nn.Module):
    """Norm and MLP."""

    def __init__(self, fc1: JoinedLinear, fc2: JoinedLinear) -> None:
        super().__init__()
        self.fc1, self.fc2 = fc1, fc2

    def forward(self, x: Tensor, total: Tensor | None = None) -> Tensor:
        """(B, C, H, W) -> the same shape, added to `total`."""
        y: Tensor = self.fc2(self.fc1(x), total)
        return y


class JoinedBlock(nn.Module):
    """The VSS block whose sums are made by the linear maps before them."""

    def __init__(self, mixer: JoinedMixer, mlp: JoinedMlp | None) -> None:
        super().__init__()
        self.mixer, self.mlp = mixer, mlp

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """(B, C, H, W) -> the same shape, and no hidden states."""
        x = self.mixer(x, x)
        return (x if self.mlp is None else self.mlp(x, x)), None


def is_bare(norm: nn.Module) -> bool:
    """A layer norm over channels without weights of its own."""
    return type(norm) in (ChannelNorm, TokenNorm) and norm.weight is None and norm.bias is None
