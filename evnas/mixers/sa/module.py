"""Softmax self-attention over all tokens, as in VSSD's last stage."""

import torch.nn.functional as F
from torch import Tensor, nn

from evnas.blocks.layers import PixelLinear
from evnas.blocks.norms import Norms
from evnas.kernels import Impl


class SelfAttention(nn.Module):
    """softmax(q k^T / sqrt(C / heads)) v, without position bias, mask, norm or gate.

    Args:
        dim: C.
        heads: of width C / heads.

    Source: Attention Is All You Need, arXiv 1706.03762, Section 3.2; VSSD, arXiv 2407.18559, as
    released (qkv without bias, output with).
    """

    hidden_width = None

    def __init__(self, dim: int, *, heads: int, norms: Norms, impl: Impl = "auto") -> None:
        super().__init__()
        self.heads = heads
        self.qkv = PixelLinear(dim, 3 * dim, bias=False)
        self.out = PixelLinear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        B, C, H, W = x.shape
        qkv = self.qkv(x).view(B, 3, self.heads, C // self.heads, H * W)
        qkv = qkv.transpose(3, 4).contiguous()  # fused attention wants the width innermost
        q, k, v = qkv.unbind(1)  # each (B, heads, L, C / heads)
        y = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.out(y.transpose(2, 3).reshape(B, C, H, W))
        return out

    def sections(self) -> dict[str, tuple[int, dict[str, int]]]:
        """Parameter -> (axis, name -> size) where several things lie along one axis."""
        width = self.qkv.in_channels // self.heads
        parts = {f"{part} of head {h}": width for part in "qkv" for h in range(self.heads)}
        return {"qkv.weight": (0, parts)}

    def extra_repr(self) -> str:
        """Heads, which the parameters' shapes do not show."""
        return f"heads={self.heads}"
