"""The token mixers: modules (B, C, H, W) -> the same shape, on any H x W.

A mixer's constructor takes `dim`, then by keyword the fields of its spec (`evnas.space.mixers`)
but `kind`, then `norms` and `impl`. Its `hidden_width` is None, or the channels of the hidden
states that it returns beside the map, (B, hidden_width, N).
"""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from evnas.blocks.mixers.es2d import Es2d
from evnas.blocks.mixers.hsm_ssd import HsmSsd
from evnas.blocks.mixers.nc_ssd import NcSsd
from evnas.blocks.mixers.sa import SelfAttention
from evnas.blocks.mixers.ss2d import Ss2d

MIXERS: Mapping[str, Callable[..., nn.Module]] = {
    "hsm_ssd": HsmSsd,
    "nc_ssd": NcSsd,
    "sa": SelfAttention,
    "ss2d": Ss2d,
    "es2d": Es2d,
}


def mix(mixer: nn.Module, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """Run a mixer on (B, C, H, W): its map, and its hidden states or None."""
    out = mixer(x)
    return out if isinstance(out, tuple) else (out, None)
