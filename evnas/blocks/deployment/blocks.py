"""Residual blocks and heads whose inference form has another shape than their training form."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from evnas.blocks.deployment.fused import FusedLinear, as_map, pixels
from evnas.blocks.deployment.layers import blend
from evnas.blocks.deployment.rule import RowMixer
from evnas.blocks.layers import mix


class BlendedBlock(nn.Module):
    """The EfficientViM block with its depthwise branches and gates merged.

    Args:
        local1, local2: (1-a) x + a DW(x), each one convolution where its norm is a batch norm.
        norm, mixer: as in the plain block.
        ffn: (1-a) x + a FFN(x).
        share: (C,), a of the mixer.
    """

    def __init__(
        self,
        *,
        local1: nn.Module,
        local2: nn.Module,
        norm: nn.Module,
        mixer: nn.Module,
        ffn: nn.Module,
        share: Tensor,
    ) -> None:
        super().__init__()
        self.local1, self.local2 = local1, local2
        self.norm, self.mixer, self.ffn = norm, mixer, ffn
        self.share = nn.Parameter(share.detach()[:, None, None], requires_grad=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, C, H, W) -> the same shape, and the mixer's hidden states or None."""
        x = self.local1(x)
        y, h = mix(self.mixer, self.norm(x))
        return self.ffn(self.local2(blend(x, y, self.share))), h


class SummedBlock(nn.Module):
    """The EfficientViM block with all of its gates in the weights around them.

    Where `BlendedBlock` computes (1-a) x + a f(x), this keeps x / (1-a): what reads the map takes
    the factor back, and the sum is made by the product that computes f.

    Args:
        local1: as in `BlendedBlock`.
        norm, mixer: as in the plain block.
        share: (C,), a / (1-a) of the mixer.
        local2: of `BlendedBlock`, between the factors of the map before it and after it.
        ffn: x + FFN(x).
    """

    def __init__(
        self,
        *,
        local1: nn.Module,
        norm: nn.Module,
        mixer: RowMixer,
        share: Tensor,
        local2: nn.Module,
        ffn: nn.Module,
    ) -> None:
        super().__init__()
        self.local1, self.local2 = local1, local2
        self.norm, self.mixer, self.ffn = norm, mixer, ffn
        self.share = nn.Parameter(share.detach(), requires_grad=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> the same shape, and the mixer's hidden states."""
        x = self.local1(x)
        rows, h = self.mixer.added_to(pixels(x), pixels(self.norm(x)), self.share)
        return self.ffn(self.local2(as_map(rows))), h


class SummedFfn(nn.Module):
    """x + FFN(x), the sum made by the last linear map."""

    def __init__(self, fc1: FusedLinear, fc2: FusedLinear) -> None:
        super().__init__()
        self.fc1, self.fc2 = fc1, fc2

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        rows = pixels(x)
        return as_map(self.fc2.added_to(rows, self.fc1(rows)))


class MergedLpuBlock(nn.Module):
    """The VSSD block whose local perception units carry their identity paths.

    Args:
        lpu1, lpu2: x + DW(x), each one convolution.
        norm, mixer: as in the plain block.
        mlp: norm and MLP, or None.
    """

    def __init__(
        self,
        *,
        lpu1: nn.Module,
        lpu2: nn.Module,
        norm: nn.Module,
        mixer: nn.Module,
        mlp: nn.Module | None,
    ) -> None:
        super().__init__()
        self.lpu1, self.lpu2 = lpu1, lpu2
        self.norm, self.mixer, self.mlp = norm, mixer, mlp

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, C, H, W) -> the same shape, and the mixer's hidden states or None."""
        x = self.lpu1(x)
        y, h = mix(self.mixer, self.norm(x))
        x = self.lpu2(x + y)
        return (x if self.mlp is None else x + self.mlp(x)), h


class MergedHead(nn.Module):
    """One linear map of all pooled sources side by side: the weighted classifiers in one.

    Args:
        norms: of each source, without weight and bias, which the linear map holds.
        n_states: how many of the sources are hidden states; the others are the last maps.
        classifier: (B, sum of channels) -> (B, classes).
    """

    def __init__(self, norms: Sequence[nn.Module], n_states: int, classifier: nn.Module) -> None:
        super().__init__()
        self.norms = nn.ModuleList(norms)
        self.n_states = n_states
        self.classifier = classifier

    def forward(self, maps: Sequence[Tensor], states: Sequence[Tensor | None]) -> Tensor:
        """Maps (B, C_s, H_s, W_s) and states (B, C_s, N_s) -> (B, classes)."""
        n_maps = len(self.norms) - self.n_states
        sources = [*states[: self.n_states], *maps[len(maps) - n_maps :]]
        pooled = [
            norm(source).flatten(2).mean(2).to(maps[-1].dtype)
            for norm, source in zip(self.norms, sources, strict=True)
        ]
        logits: Tensor = self.classifier(torch.cat(pooled, dim=1))
        return logits
