"""`deploy`: the inference form of a built model, with the same logits and less to do."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from evnas.blocks.deployment.layers import ChannelsLast, Sliced
from evnas.blocks.deployment.rule import deployments_in, replace_child
from evnas.blocks.deployment.rules import converter_for
from evnas.blocks.deployment.shapes import BATCH_NORMS, frozen_norms
from evnas.blocks.norms import ChannelNorm
from evnas.runtime import Layout, MemoryFormat

KEPT_PRECISE: Mapping[type[nn.Module], tuple[str, ...]] = {
    ChannelNorm: ("*",),
    **dict.fromkeys(BATCH_NORMS, ("*",)),
}
"""Parameters that `dtype` leaves alone; mixers name those of their own. Operators take them in
float32 with any input."""


class Deployed(nn.Module):
    """A model in its inference form; made by `deploy`. It cannot be trained, nor put to training.

    `torch.compile`, `torch.export` and CUDA graphs take it like any module.
    """

    def __init__(self, body: nn.Module, layout: Layout) -> None:
        super().__init__()
        self.body = body
        self.layout: Layout = layout
        self.requires_grad_(False)
        self.eval()

    def forward(self, x: Tensor) -> Any:
        """Images (B, 3, H, W) of any float dtype -> what the model gives in evaluation."""
        return self.body(x.to(self.dtype) if x.is_floating_point() else x)

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights as they are now, hence of the maps: that of the first convolution."""
        return next(p.dtype for p in self.body.parameters() if p.ndim > 1)

    def train(self, mode: bool = True) -> "Deployed":
        """Refuse training mode.

        Raises:
            RuntimeError: `mode` is True.
        """
        if mode:
            raise RuntimeError(
                "a deployed model runs inference only: its norms are folded into its weights; "
                "train the model it was made from and deploy that again"
            )
        super().train(False)
        return self


def deploy(
    model: nn.Module,
    *,
    layout: MemoryFormat = "auto",
    dtype: torch.dtype | None = None,
) -> Deployed:
    """The inference form of a model from `build`, with the same results within rounding.

    Batch norms are folded into convolutions, and the affine part of layer norms into the linear
    map that reads it; depthwise branches take their identity paths and gates in; the classifiers
    of a fusion head become one; on a CPU, eager float32 convolutions run as oneDNN primitives
    with their activation, on weights reordered once.

    Args:
        model: a `Backbone` or `FeatureBackbone`, in any mode; it is copied, not changed. The
            running statistics of its batch norms are what inference uses.
        layout: memory format of the maps. `auto` is channels last on a CPU, where it measures
            faster, and contiguous elsewhere, which the Triton kernels are written for.
        dtype: of weights and maps, None for the model's own. Norms, and the decay and step
            parameters of scans, stay as they are; everything is folded before it is rounded. Say
            float16 here rather than cast afterwards: gates are folded so that its range suffices.

    Returns:
        A module in evaluation mode, without gradients, on the model's device. Images of any
        float dtype go in; logits come out in the dtype of its weights. Its parameters have names
        of their own. Modules that a user has put into the model, or changed, stay as they are.

    Raises:
        ValueError: an unknown layout, a model that is deployed already, or a batch norm without
            running statistics.
    """
    if layout not in ("auto", "channels_last", "contiguous"):
        raise ValueError(f"layout must be 'auto', 'channels_last' or 'contiguous', got {layout!r}")
    if isinstance(model, Deployed):
        raise ValueError("the model is deployed already")
    chosen = _layout(model) if layout == "auto" else layout
    with torch.inference_mode(False), torch.no_grad():
        kept = dtype or next((p.dtype for p in model.parameters()), torch.float32)
        convert = converter_for(
            model, channels_last=chosen == "channels_last", float16=kept == torch.float16
        )
        body = convert(copy.deepcopy(model).eval())
    if chosen == "channels_last":
        body = _channels_last(body)
    if dtype is not None:
        _cast(body, dtype, _kept_precise(model))
    return Deployed(body, chosen)


def _kept_precise(model: nn.Module) -> Mapping[type[nn.Module], tuple[str, ...]]:
    kept = dict(KEPT_PRECISE)
    for deployment in deployments_in(model):
        kept |= deployment.kept_precise
    return kept


def _cast(
    body: nn.Module, dtype: torch.dtype, precise: Mapping[type[nn.Module], tuple[str, ...]]
) -> None:
    for module in body.modules():
        kept = precise.get(type(module), ())
        for name, parameter in module.named_parameters(recurse=False):
            if "*" not in kept and name not in kept:
                parameter.data = parameter.data.to(dtype)
        if type(module) in frozen_norms():  # buffers alone, by which torch would widen the map
            module.to(dtype)


def _channels_last(body: nn.Module) -> nn.Module:
    """Its weights, and its images before or within the stem, in that order."""
    stem = getattr(body, "stem", None)
    if stem is None:  # a peer that calls it something else
        return nn.Sequential(ChannelsLast(), body).to(memory_format=torch.channels_last)
    if isinstance(stem, Sliced):
        stem.module = nn.Sequential(ChannelsLast(), stem.module)
    else:
        replace_child(body, "stem", nn.Sequential(ChannelsLast(), stem))
    return body.to(memory_format=torch.channels_last)


def _layout(model: nn.Module) -> Layout:
    on_cpu = all(p.device.type == "cpu" for p in model.parameters())
    return "channels_last" if on_cpu else "contiguous"
