"""EfficientViM's Proposition 1 (arXiv 2411.15241): where HSM-SSD is NC-SSD."""

import torch
import torch.nn.functional as F

from evnas.kernels import hsm_ssd, nc_ssd


def test_with_a_state_per_token_and_a_diagonal_read_out_hsm_ssd_is_nc_ssd() -> None:
    """N = L, scores * B the identity, C diagonal: the gate on states is the gate on tokens."""
    channels, inner, length = 6, 10, 7
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    x, scores = drawn(2, channels, length), drawn(2, length, length)
    identity = torch.diag_embed(1 / torch.softmax(scores, -1).diagonal(dim1=1, dim2=2))
    read_out = torch.diag_embed(drawn(2, length))
    q, o, skip = drawn(2 * inner, channels), drawn(channels, inner), drawn(1)
    got, _ = hsm_ssd(x, scores, identity, read_out, None, q, o, skip, impl="reference")

    value, gate = (q @ x).chunk(2, dim=1)
    ones, zero = torch.ones(2, 1, length, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    eye = torch.eye(length, dtype=torch.float64).expand(2, -1, -1)
    y, _ = nc_ssd(value, ones, zero, eye, read_out, zero, heads=1, impl="reference")
    want = o @ (y * (F.silu(gate) + skip))
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)
