"""SS2D and ES2D for inference: norms in the linear maps behind them, A at hand."""

from torch import Tensor, nn

from evnas.blocks.deployment.fused import FusedConv
from evnas.blocks.deployment.joined import JoinedLinear, JoinedMixer, is_bare
from evnas.blocks.deployment.norms import norm_absorbed
from evnas.blocks.deployment.rule import Convert, Deployment, convert_children, replace_child
from evnas.blocks.deployment.shapes import is_by_pixel
from evnas.blocks.norms import ChannelNorm
from evnas.mixers.es2d.module import Es2d
from evnas.mixers.selective.module import ScanParameters, SelectiveMixer
from evnas.mixers.ss2d.module import Ss2d


def _selective_mixer(module: nn.Module, convert: Convert) -> nn.Module:
    assert isinstance(module, SelectiveMixer)
    # a gate stands between the norm's shift and the projection; and what is left of a batch norm,
    # nothing, would leave the scan's float32 sums to half precision
    if module.gate or type(module.norm) is not ChannelNorm:
        return convert_children(module, convert)
    norm, out_proj = norm_absorbed(module.norm, module.out_proj)
    in_proj = module.in_proj
    if not is_bare(norm) or not is_by_pixel(in_proj) or not is_by_pixel(out_proj):
        replace_child(module, "norm", norm)
        replace_child(module, "out_proj", out_proj)
        return convert_children(module, convert)
    assert isinstance(out_proj, nn.Conv2d)
    leave = JoinedLinear(convert(norm), FusedConv(out_proj))
    enter = JoinedLinear(nn.Identity(), FusedConv(in_proj))
    for name in ("in_proj", "norm", "out_proj"):
        replace_child(module, name, nn.Identity())
    return JoinedMixer(enter, ScanAlone(convert_children(module, convert)), leave)


class ScanAlone(nn.Module):
    """What a mixer without a gate does between its projections, up to its norm."""

    def __init__(self, mixer: nn.Module) -> None:
        super().__init__()
        self.mixer = mixer

    def forward(self, u: Tensor) -> Tensor:
        """(B, D, H, W) -> the same shape, float32 at least."""
        assert isinstance(self.mixer, SelectiveMixer)
        return self.mixer.scanned(u)


class FixedScanParameters(ScanParameters):
    """The parameters of a scan with A at hand instead of its logarithm."""

    def A(self) -> Tensor:
        """Continuous decay, (K, D, N), negative."""
        return self.A_log


def _scan_parameters(module: nn.Module, convert: Convert) -> nn.Module:
    assert isinstance(module, ScanParameters)
    module.A_log = nn.Parameter(module.A().detach(), requires_grad=False)
    module.__class__ = FixedScanParameters  # the same fields, another reading of one
    return module


DEPLOYMENT = Deployment(
    rules={Ss2d: _selective_mixer, Es2d: _selective_mixer, ScanParameters: _scan_parameters},
    entry="in_proj",
    kept_precise={FixedScanParameters: ("A_log", "D", "dt_bias")},
)
