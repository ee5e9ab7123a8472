"""SS2D and ES2D for inference: norms in the linear maps behind them, A at hand."""

from torch import Tensor, nn

from evnas.blocks.deployment.norms import norm_absorbed
from evnas.blocks.deployment.rule import Convert, Deployment, convert_children, replace_child
from evnas.blocks.norms import ChannelNorm
from evnas.mixers.es2d.module import Es2d
from evnas.mixers.selective.module import ScanParameters, SelectiveMixer
from evnas.mixers.ss2d.module import Ss2d


def _selective_mixer(module: nn.Module, convert: Convert) -> nn.Module:
    assert isinstance(module, SelectiveMixer)
    # a gate stands between the norm's shift and the projection; and what is left of a batch norm,
    # nothing, would leave the scan's float32 sums to half precision
    if not module.gate and type(module.norm) is ChannelNorm:
        norm, out_proj = norm_absorbed(module.norm, module.out_proj)
        replace_child(module, "norm", norm)
        replace_child(module, "out_proj", out_proj)
    return convert_children(module, convert)


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
