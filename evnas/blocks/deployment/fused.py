"""Convolutions and linear maps with their activation, on a CPU as oneDNN primitives."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evnas.errors import KernelUnavailable
from evnas.kernels import Impl, dense_conv, depthwise_conv, pixel_linear
from evnas.kernels.dispatch import choose

Act = Literal["none", "relu", "gelu"]
ACTIVATIONS: Mapping[Act, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "relu": torch.relu_,
    "gelu": F.gelu,
}
EXACT: Mapping[Act, str] = {"none": "", "relu": "", "gelu": "none"}
"""What oneDNN's wrapper wants to know of an activation: the exact GELU, not the tanh one."""


class Reordered:
    """A weight in the order that oneDNN asked for: a cache, neither saved nor copied.

    It has to notice every edit of the weight, also one that raises no version: through `.data`, a
    NumPy view, a swap of storages. Hence it holds a copy-on-write copy. While the weight still
    shares that one's memory nobody has written to it, since a write through any tensor, and
    handing out a pointer too, would have moved it. After that values are compared, for as long as
    somebody may hold a pointer.
    """

    def __init__(self) -> None:
        self._made: Tensor | None = None
        self._of: Tensor | None = None

    def of(self, weight: Tensor, reorder: Callable[..., Tensor], *shape: torch.Size) -> Tensor:
        """The reordered weight, made again when the weight has changed.

        Args:
            weight: what is reordered.
            reorder: a weight, and the shape if there is one, to the reordered weight.
            shape: of the input that the order is made for.
        """
        if self._made is not None and self._of is not None:
            if _unwritten(weight, self._of):
                return self._made
            if _same_bits(weight, self._of):
                self._of = _guarded(weight, self._of)
                return self._made
        plain = weight.detach().clone(memory_format=torch.contiguous_format)
        self._made = reorder(plain, *shape)
        self._of = _guarded(weight, plain)
        return self._made

    def __reduce__(self) -> tuple[type["Reordered"], tuple[()]]:
        return Reordered, ()


def _unwritten(weight: Tensor, copy: Tensor) -> bool:
    """Whether a weight still shares its memory with its copy-on-write copy."""
    torch_c: Any = torch._C  # its stub lacks them
    same: bool = torch_c._data_address(weight) == torch_c._data_address(copy)
    return same and bool(torch_c._is_cow_tensor(weight))


def _same_bits(weight: Tensor, copy: Tensor) -> bool:
    """Whether two float32 tensors hold the same values, NaN like any other."""
    if weight.shape != copy.shape:
        return False
    return torch.equal(weight.detach().view(torch.int32), copy.view(torch.int32))


def _guarded(weight: Tensor, plain: Tensor) -> Tensor:
    """A copy that shares the weight's memory until one of them is written to; where somebody else
    may hold a pointer to it, `plain`, whose values are the same."""
    storage = weight.untyped_storage()
    owners: int = torch._C._storage_Use_Count(storage._cdata)
    if owners > 2 or storage.is_shared():  # the weight, and the line above
        return plain
    return torch._lazy_clone(weight.detach())


class FusedConv(nn.Module):
    """A convolution and its activation.

    On a CPU, in eager float32, it is one oneDNN primitive on weights that were reordered once: of
    a 1x1 convolution of a channels-last map the linear map of its pixels, which takes 3 to 20 %
    less; compilers, exporters and other devices see a plain convolution and activation. A ReLU is
    a pass of its own: oneDNN's turns NaN into 0. On a GPU operators of `evnas.kernels` join what
    torch runs one by one, by their name in `impl`, or where they were measured to be faster.
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
        self.impl: Impl = "auto"
        self._fused: Act = fused_with(act)
        shape = (*conv.kernel_size, *self.stride, *self.padding, self.groups)
        self._by_pixel = shape == (1, 1, 1, 1, 0, 0, 1)
        self._operator = "pixel_linear" if self._by_pixel else _convolution(self)
        self._packed, self._packed_linear = Reordered(), Reordered()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W')."""
        if x.ndim == 4 and takes_kernel(self._operator, self.impl, x, self.weight):
            return self._by_kernel(x)
        if not runs_on_onednn(x, self.weight):
            y = F.conv2d(x, self.weight, self.bias, self.stride, self.padding, 1, self.groups)
            return ACTIVATIONS[self.act](y)
        if self._by_pixel and (rows := pixels(x)).is_contiguous():
            weight = self._packed_linear.of(self.weight, _reordered_linear)
            return as_map(linear(rows, weight, self.bias, self.act))
        packed: Tensor = torch.ops.mkldnn._convolution_pointwise.default(
            x,
            self._packed.of(self.weight, self._reordered, x.shape),
            self.bias,
            self.padding,
            self.stride,
            [1, 1],
            self.groups,
            self._fused,
            [],
            EXACT[self._fused],
        )
        return torch.relu_(packed) if self.act == "relu" else packed

    def _by_kernel(self, x: Tensor) -> Tensor:
        given = (x, self.weight, self.bias)
        if self._operator == "pixel_linear":
            weight, rows = self.weight.flatten(1), pixels(x)
            if rows.is_contiguous():
                return as_map(_rows_by_kernel(rows, weight, self.bias, act=self.act))
            return pixel_linear(x, weight, self.bias, act=self.act, impl="triton")
        if self._operator == "depthwise_conv":
            return depthwise_conv(*given, stride=self.stride[0], act=self.act, impl="triton")
        shape: dict[str, Any] = {"stride": self.stride, "padding": self.padding}
        return dense_conv(*given, **shape, groups=self.groups, act=self.act, impl="triton")

    def _reordered(self, weight: Tensor, shape: torch.Size) -> Tensor:
        # the stub of torch.C knows an older signature
        packed: Tensor = torch._C._nn.mkldnn_reorder_conv2d_weight(  # type: ignore[call-arg]
            weight.to_mkldnn(), self.padding, self.stride, [1, 1], self.groups, list(shape)
        )
        return packed

    def extra_repr(self) -> str:
        """Shapes and activation."""
        return f"{tuple(self.weight.shape)}, stride={self.stride[0]}, act={self.act}"


def _convolution(conv: FusedConv) -> str:
    """The operator of `evnas.kernels` for it: that of a 3x3 for each channel, or of all others."""
    shape = (*conv.weight.shape, *conv.padding, conv.stride[1])
    depthwise = shape == (conv.groups, 1, 3, 3, 1, 1, conv.stride[0]) and conv.stride[0] < 3
    return "depthwise_conv" if depthwise else "dense_conv"


class FusedLinear(nn.Module):
    """A linear map of the last axis and its activation in one pass, as `FusedConv` is one."""

    def __init__(self, weight: Tensor, bias: Tensor, act: Act = "none") -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach(), requires_grad=False)
        self.bias = nn.Parameter(bias.detach(), requires_grad=False)
        self.act: Act = act
        self.impl: Impl = "auto"
        self._packed = Reordered()

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C')."""
        if takes_kernel("pixel_linear", self.impl, x, self.weight):
            return _rows_by_kernel(x, self.weight, self.bias, act=self.act)
        if runs_on_onednn(x, self.weight):
            weight = self._packed.of(self.weight, _reordered_linear)
            return linear(x, weight, self.bias, self.act)
        return ACTIVATIONS[self.act](F.linear(x, *self._parameters_for(x)))

    def added_to(self, total: Tensor, x: Tensor) -> Tensor:
        """total + the map of x, without the activation: (..., C') and (..., C) -> (..., C')."""
        if takes_kernel("pixel_linear", self.impl, x, self.weight):
            return _rows_by_kernel(x, self.weight, self.bias, total)
        if runs_on_onednn(x, self.weight):
            weight = self._packed.of(self.weight, _reordered_linear)
            summed: Tensor = torch.ops.mkldnn._linear_pointwise.binary(
                x, total, weight, self.bias, "add"
            )
            return summed
        return total + F.linear(x, *self._parameters_for(x))

    def _parameters_for(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Weight and bias for hidden states, which stay float32 where weights are half."""
        return self.weight.to(x.dtype), self.bias.to(x.dtype)

    def extra_repr(self) -> str:
        """Shapes and activation."""
        return f"{tuple(self.weight.shape)}, act={self.act}"


def pixels(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H, W, C), a view that is contiguous of a channels-last map."""
    return x.permute(0, 2, 3, 1)


def as_map(rows: Tensor) -> Tensor:
    """(B, H, W, C) -> (B, C, H, W), a view."""
    return rows.permute(0, 3, 1, 2)


def _rows_by_kernel(
    x: Tensor, weight: Tensor, bias: Tensor, total: Tensor | None = None, *, act: Act = "none"
) -> Tensor:
    """total + act(W x + bias), (..., C) -> (..., C'), rows as the pixels of one map: so no tile
    ends with an image."""
    rows, *added = (
        t.reshape(1, -1, 1, t.shape[-1]).permute(0, 3, 1, 2) for t in (x, total) if t is not None
    )
    y = pixel_linear(rows, weight, bias, *added, act=act, impl="triton")
    return y[0, :, :, 0].mT.reshape(*x.shape[:-1], -1)


def by_pixel(conv: nn.Conv2d, act: Act = "none") -> FusedLinear:
    """A 1x1 convolution as the linear map of its pixels."""
    bias = conv.weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias
    return FusedLinear(conv.weight.flatten(1), bias, act)


def linear(x: Tensor, packed: Tensor, bias: Tensor, act: Act) -> Tensor:
    """A linear map and its activation, (..., C) -> (..., C'), by oneDNN."""
    fused = fused_with(act)
    y: Tensor = torch.ops.mkldnn._linear_pointwise.default(
        x, packed, bias, fused, [], EXACT[fused]
    )
    return torch.relu_(y) if act == "relu" else y


def fused_with(act: Act) -> Act:
    """The activation that oneDNN may apply: its ReLU turns NaN into 0 and is left out."""
    return "none" if act == "relu" else act


def _reordered_linear(weight: Tensor) -> Tensor:
    """Of (C', C), or (C', C, 1, 1); for any number of rows."""
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.flatten(1), None)
    return packed


def takes_kernel(operator: str, impl: Impl, x: Tensor, weight: Tensor) -> bool:
    """Whether the operator's Triton kernel stands for torch's own on `x`: in eager inference in
    one dtype, by its name, or where it was measured to be faster on such a GPU. Compilers, and
    float32 states of a model in half precision, see torch's own under any name.

    Raises:
        KernelUnavailable: it was asked for by name, and a gradient or autocast is in its way.
    """
    if impl != "triton" and not (impl == "auto" and x.is_cuda):
        return False
    if followed():
        return False
    obstacles = {
        "a gradient to its input": torch.is_grad_enabled() and x.requires_grad,
        "autocast": torch.is_autocast_enabled(x.device.type),
    }
    found = [obstacle for obstacle, there in obstacles.items() if there]
    if found and impl == "triton":
        raise KernelUnavailable(
            f"impl='triton' was asked for, but the kernel of {operator} is for inference in one "
            f"dtype, without {found[0]}"
        )
    if found or x.dtype != weight.dtype:
        return False
    return choose(operator, impl, (x,)) == "triton"


def runs_on_onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether a fused oneDNN primitive may stand for the plain operators on `x`."""
    return (
        not followed()
        and x.is_cpu
        and x.shape[0] > 0
        and x.dtype == weight.dtype == torch.float32
        and not x.requires_grad
        and not weight.is_inference()  # such a one has no copy-on-write copy
        and type(x) is Tensor
        and not torch.is_autocast_enabled("cpu")
        and torch._C._has_mkldnn
        and bool(torch.backends.mkldnn.enabled)
    )


def followed() -> bool:
    """Whether a compiler, exporter or tracer follows the operators instead of running them."""
    return torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None
