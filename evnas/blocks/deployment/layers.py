"""The layers that deployed models are made of, on maps in whichever layout they come."""

from collections.abc import Callable, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evnas.blocks.norms import EPS

Act = Literal["none", "relu", "gelu"]
ACTIVATIONS: Mapping[Act, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "relu": torch.relu_,
    "gelu": F.gelu,
}
SLICE_ELEMENTS = 2**20
"""4 MiB of float32: what stays in a core's cache, and below what malloc gives back each time."""
FEW_PLANES = 4  # of an image


class Reordered:
    """A weight in the order that oneDNN asked for: a cache, neither saved nor copied."""

    def __init__(self) -> None:
        self._made: tuple[object, Tensor] | None = None

    def of(self, weight: Tensor, reorder: Callable[[Tensor], Tensor]) -> Tensor:
        """The reordered weight, made again when the weight has changed."""
        state = (weight.data_ptr(), weight._version)
        if self._made is None or self._made[0] != state:
            self._made = (state, reorder(weight.detach().contiguous()))
        return self._made[1]

    def __reduce__(self) -> tuple[type["Reordered"], tuple[()]]:
        return Reordered, ()


class FusedConv(nn.Module):
    """A convolution and its activation in one pass.

    On a CPU, in eager float32, it is one oneDNN primitive on weights that were reordered once;
    compilers, exporters and other devices see a plain convolution and activation.
    """

    def __init__(self, conv: nn.Conv2d, act: Act = "none") -> None:
        super().__init__()
        self.weight = nn.Parameter(conv.weight.detach(), requires_grad=False)
        bias = conv.weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias
        self.bias = nn.Parameter(bias.detach(), requires_grad=False)
        self.stride = [conv.stride[0], conv.stride[1]]
        self.padding = [int(conv.padding[0]), int(conv.padding[1])]
        self.groups = conv.groups
        self.act: Act = act
        self._packed = Reordered()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W')."""
        if runs_on_onednn(x, self.weight):
            packed: Tensor = torch.ops.mkldnn._convolution_pointwise(
                x,
                self._weight_for(x),
                self.bias,
                self.padding,
                self.stride,
                [1, 1],
                self.groups,
                self.act,
                [],
                "none" if self.act == "gelu" else "",  # the exact GELU, not the tanh one
            )
            return packed
        y = F.conv2d(x, self.weight, self.bias, self.stride, self.padding, 1, self.groups)
        return ACTIVATIONS[self.act](y)

    def added_to(self, total: Tensor, x: Tensor) -> Tensor:
        """total + conv(x), without the activation; `total` may hold the result afterwards.

        Args:
            total: (B, C', H', W'), in the layout of x, read by nobody else.
            x: (B, C, H, W).
        """
        if runs_on_onednn(x, self.weight):
            summed: Tensor = torch.ops.mkldnn._convolution_pointwise_.binary(
                total,
                x,
                self._weight_for(x),
                self.bias,
                self.padding,
                self.stride,
                [1, 1],
                self.groups,
                "add",
                1.0,
                None,
                [],
                None,
            )
            return summed
        return total + F.conv2d(
            x, self.weight, self.bias, self.stride, self.padding, 1, self.groups
        )

    def _weight_for(self, x: Tensor) -> Tensor:
        return self._packed.of(self.weight, lambda w: self._reordered(w, x.shape))

    def _reordered(self, weight: Tensor, shape: torch.Size) -> Tensor:
        # the stub of torch.C knows an older signature
        packed: Tensor = torch._C._nn.mkldnn_reorder_conv2d_weight(  # type: ignore[call-arg]
            weight.to_mkldnn(), self.padding, self.stride, [1, 1], self.groups, list(shape)
        )
        return packed

    def extra_repr(self) -> str:
        """Shapes and activation."""
        return f"{tuple(self.weight.shape)}, stride={self.stride[0]}, act={self.act}"


class FusedLinear(nn.Module):
    """A linear map of (B, C) and its activation in one pass, as `FusedConv` is one."""

    def __init__(self, weight: Tensor, bias: Tensor, act: Act = "none") -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach(), requires_grad=False)
        self.bias = nn.Parameter(bias.detach(), requires_grad=False)
        self.act: Act = act
        self._packed = Reordered()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C) -> (B, C')."""
        if runs_on_onednn(x, self.weight):
            weight = self._packed.of(
                self.weight, lambda w: torch.ops.mkldnn._reorder_linear_weight(w, None)
            )
            fused: Tensor = torch.ops.mkldnn._linear_pointwise(
                x, weight, self.bias, self.act, [], "none" if self.act == "gelu" else ""
            )
            return fused
        return ACTIVATIONS[self.act](F.linear(x, self.weight, self.bias))

    def extra_repr(self) -> str:
        """Shapes and activation."""
        return f"{tuple(self.weight.shape)}, act={self.act}"


def runs_on_onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether a fused oneDNN primitive may stand for the plain operators on `x`."""
    return (
        not followed()
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and not x.requires_grad
        and not weight.is_inference()  # such a one does not tell when it changes
        and type(x) is Tensor
        and not torch.is_autocast_enabled("cpu")
        and torch._C._has_mkldnn
        and bool(torch.backends.mkldnn.enabled)
    )


def followed() -> bool:
    """Whether a compiler, exporter or tracer follows the operators instead of running them."""
    return torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None


class TokenNorm(nn.Module):
    """Layer norm over the channels of (B, C, H, W), one native pass where the map is channels
    last."""

    def __init__(self, weight: Tensor | None, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = None if weight is None else nn.Parameter(weight.detach(), False)
        self.bias = None if bias is None else nn.Parameter(bias.detach(), False)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape, channels last."""
        y = F.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2], self.weight, self.bias, EPS)
        return y.permute(0, 3, 1, 2)


class Blend(nn.Module):
    """(1 - share) * x + share * branch(x), in one pass over x and the branch's result."""

    def __init__(self, branch: nn.Module, share: Tensor) -> None:
        super().__init__()
        self.branch = branch
        self.share = nn.Parameter(share.detach()[:, None, None], requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return blend(x, self.branch(x), self.share)


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
        if slices == 1:
            whole = self.module(x)
            return whole
        return torch.cat([self.module(part) for part in x.chunk(slices)])
